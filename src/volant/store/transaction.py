"""What a job may do: look things up, and write objects together with the events that tell of it.

    job(tx) ──insert, update, mark_deleting, finalize──▶ object row + event row + next revision

Every write takes exactly one revision and leaves exactly one event; a write that would change nothing does neither, and
a write that fails has changed nothing, so a job may catch the error and go on. Writes to an object name the one that
they were decided on: when the row has moved on since, they raise Conflict.

Deliberately absent: writing a status together with a spec, adding a finalizer, taking a deletion back.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

from msgspec.structs import replace

from volant.clock import Instant, Uid, UidFactory
from volant.errors import AlreadyExists, Conflict, Invalid, VolantError
from volant.model.apply.documents import live
from volant.model.apply.merge import Fields, moved
from volant.model.apply.sets import SetRevision, Undo
from volant.model.deployment import DeploymentSpec, DeploymentStatus
from volant.model.event import GONE, UPDATED, Committed, Happening, committed
from volant.model.meta import Key
from volant.model.objects import Object
from volant.model.plugin import PluginSpec, PluginStatus
from volant.model.sync import SyncSpec, SyncStatus
from volant.model.vm import VM, NetworkMode, VMSpec, VMStatus
from volant.store import addresses, history, idempotency, ownership, ports, revisions, rows, setlog
from volant.store.addresses import Pools
from volant.store.database import Execute, Row
from volant.store.idempotency import Given, Remembered
from volant.store.ownership import Member, Pruned
from volant.store.refused import changed, named
from volant.store.rows import Rows

Obj = TypeVar("Obj", bound=Object)
Spec = VMSpec | DeploymentSpec | PluginSpec | SyncSpec
Status = VMStatus | DeploymentStatus | PluginStatus | SyncStatus


class Transaction(Rows):
    """One job's hold on the store; worthless once the job has returned.

    `now` is one instant for the whole job. `revision` is that of the last write, `events` what the job has written.
    `mode` is the network mode of a VM that asks for none.
    """

    def __init__(self, execute: Execute, *, now: Instant, uids: UidFactory, revision: int, pools: Pools) -> None:
        super().__init__(self._fetch)
        self._execute = execute
        self._uids = uids
        self._pools = pools
        self._spare: dict[tuple[Uid, str], str] = {}
        """What this job was handed out and has not used yet: (uid, mode) -> address, or (uid, address) -> address."""
        self._moves: ports.Moves | None = None
        self.mode = pools.mode
        self.now = now
        self.revision = revision
        self.events: list[Committed] = []

    def vms_using(self, plugin: str) -> list[str]:
        """The names of the VMs made from a plugin, in the order of their creation."""
        return self._names_using(plugin, "VM")

    def deployments_using(self, plugin: str) -> list[str]:
        """The names of the deployments that make VMs from a plugin, in the order of their creation."""
        return self._names_using(plugin, "Deployment")

    def new_uid(self) -> Uid:
        """An identity for an object to be inserted."""
        return self._uids()

    def allocate_address(self, uid: Uid, mode: NetworkMode | None = None) -> str | None:
        """The lowest free address of the mode's pool, held by `uid` until its row goes; the same one when asked again.

        None for a mode that has no pool. Goes back to the pool when the job ends without an object that has it. Raises
        Conflict (`addresses_exhausted`).
        """
        pool = self._pools.of.get(mode or self._pools.mode)
        if pool is None:
            return None
        held = addresses.held_by(self._execute, uid, pool)
        if held is None:
            held = self._spare[uid, pool.text] = addresses.allocate(self._execute, uid, pool)
        return held

    @contextmanager
    def at_once(self) -> Iterator[ports.Moves]:
        """Ports of the host change hands between all that is written within as in one write, in whatever order.

        What is marked for deletion within lets go of what is asked for. Who cannot have what it asks for is told by
        `settle` of what is given; still so in the end, it is raised as Conflict `port_taken`. After that, and any
        other VolantError, nothing of what was written within is.
        """
        kept = self.revision, len(self.events), dict(self._spare)
        self._execute("SAVEPOINT at_once")
        self._moves = moves = ports.Moves(self._execute)
        try:
            yield moves
            for error in moves.settle().values():
                raise error
        except VolantError:
            self._execute("ROLLBACK TO at_once")
            self.revision, events, self._spare = kept
            del self.events[events:]
            raise
        finally:
            self._moves = None
        self._execute("RELEASE at_once")

    def insert(self, obj: Obj, happening: Happening) -> Obj:
        """Store a new object; its revision is set. Raises AlreadyExists, or Conflict when its address is taken.

        An address in its spec that it does not hold yet becomes its own, if it is free.
        """
        self._claim_address(obj)
        new = self._next(obj)
        self._hold_ports(new)
        try:
            self._execute(rows.INSERT, rows.insert_row(new))
        except sqlite3.IntegrityError as error:
            ports.release(self._execute, new.meta.uid)
            if self._moves is not None:
                self._moves.leave(new.meta.uid)
            raise self._taken(new) from error
        self._use_address(new)
        history.begun(self._execute, new, happening, self.now)
        revisions.begun(self._execute, new)
        self._tell(new, happening)
        return new

    def update_spec(
        self,
        obj: Obj,
        spec: Spec,
        happening: Happening,
        *,
        labels: dict[str, str] | None = None,
        annotations: dict[str, str] | None = None,
        fields: Fields | None = None,
    ) -> Obj:
        """The object with that spec; `generation` grows iff it differs. Nothing is written when nothing differs.

        `labels` and `annotations` replace those that are there (None: as they are). `fields` is who has said what from
        now on; left out, what differs is the actor's of `happening`, where that is kept of the object. Raises Conflict
        when `obj` is not the stored one, or when a port of the host that it publishes is another's.
        """
        current = self._current(obj)
        new = self._with_spec(current, spec)
        if labels is not None:
            new = replace(new, meta=replace(new.meta, labels=labels))
        if annotations is not None:
            new = replace(new, meta=replace(new.meta, annotations=annotations))
        if new != current:
            self._hold_ports(new)  # before anything is written, because it is what may be refused
        self._keep_fields(current, new, happening, fields)
        if new == current:
            return current
        self._use_address(new)
        return self._rewrite(current, new, happening)

    def update_status(self, obj: Obj, status: Status, happening: Happening) -> Obj:
        """The object with that status. Nothing is written when it has it already.

        Raises Conflict when `obj` is not the stored one, Invalid for an `observed_generation` that was not yet or that
        is older than the reported one.
        """
        current = self._current(obj)
        if type(status) is not type(current.status):
            raise Invalid(f"cannot report a {type(status).__name__} of {named(obj)}")
        if not current.status.observed_generation <= status.observed_generation <= current.meta.generation:
            raise Invalid(
                f"cannot report generation {status.observed_generation} of {named(obj)}: the reported one is "
                f"{current.status.observed_generation}, the last one {current.meta.generation}"
            )
        if status == current.status:
            return current
        return self._rewrite(current, replace(current, status=status), happening)

    def mark_deleting(self, obj: Obj, happening: Happening, *, spec: Spec | None = None) -> Obj:
        """The object, on its way out from now on, with `spec` in place of its own when given.

        When it is on its way out already the time stays, and nothing is written unless `spec` differs. An object that
        nobody has to clean up after goes at once. Raises Conflict when `obj` is not the stored one.
        """
        current = self._current(obj)
        new = current if spec is None else self._with_spec(current, spec)
        if not new.meta.is_deleting:
            new = replace(new, meta=replace(new.meta, deleting_since=self.now))
        if new == current:
            return current
        new = self._rewrite(current, new, happening)
        if self._moves is not None:
            self._moves.leave(new.meta.uid)
        if not new.meta.finalizers:
            self._remove(new, replace(happening, type=GONE[new.meta.kind]))
        return new

    def finalize(self, obj: Object, finalizer: str, happening: Happening) -> None:
        """`finalizer` has cleaned up. The row goes with the last one of an object on its way out, and its address.

        `happening` is the event of the row's end; while it stays, the event is an `*.updated` with the same words.
        Raises Conflict when `obj` is not the stored one.
        """
        current = self._current(obj)
        left = tuple(f for f in current.meta.finalizers if f != finalizer)
        if current.meta.is_deleting and not left:
            self._remove(current, happening)
        elif left != current.meta.finalizers:
            new = replace(current, meta=replace(current.meta, finalizers=left))
            self._rewrite(current, new, replace(happening, type=UPDATED[new.meta.kind]))

    def fields(self, uid: Uid) -> dict[str, frozenset[str]]:
        """Who has said which field of an object: nothing of one that was never applied."""
        return ownership.fields_of(self._execute, uid)

    def set_fields(self, uid: Uid, fields: Fields) -> None:
        """From now on that is who has said what."""
        ownership.set_fields(self._execute, uid, fields)

    def set_of(self, uid: Uid) -> str | None:
        """The set that an object was applied with."""
        return ownership.set_of(self._execute, uid)

    def join(self, name: str, uid: Uid) -> None:
        """The object is of that set from now on."""
        ownership.join(self._execute, name, uid)

    def members(self, name: str) -> list[Member]:
        """The objects of a set, in the order of their creation."""
        return ownership.members(self._execute, name)

    def keep_pruned(self, name: str, key: Key, document: bytes) -> None:
        """Keep the manifest of what is pruned of a set, for a day."""
        ownership.keep_pruned(self._execute, name, key, self.now, document)

    def pruned(self, name: str) -> list[Pruned]:
        """What was pruned of a set and can be restored, oldest first."""
        return ownership.pruned(self._execute, name, self.now)

    def restored(self, name: str, key: Key) -> None:
        """It is there again."""
        ownership.restored(self._execute, name, key)

    def leave(self, uid: Uid) -> None:
        """The object is of no set from now on."""
        ownership.leave(self._execute, uid)

    def set_revision(self, name: str) -> SetRevision | None:
        """The current revision of a set; None of one that was never applied atomically."""
        return setlog.last(self._execute, name)

    def set_revisions(self, name: str) -> list[SetRevision]:
        """The revisions of a set, newest first."""
        return setlog.revisions(self._execute, name)

    def set_documents(self, name: str, number: int) -> bytes | None:
        """The manifests that a revision of a set was made of, as a JSON array; None when they are not kept."""
        return setlog.documents(self._execute, name, number)

    def set_undo(self, revision: SetRevision) -> Undo:
        """What it takes to take a revision back, while it is progressing."""
        return setlog.undo(self._execute, revision.set, revision.number)

    def begin_set_revision(self, revision: SetRevision, said: bytes, undo: Undo) -> None:
        """The revision is the set's from now on; `said` are the manifests that it was made of."""
        setlog.begin(self._execute, revision, said, undo)

    def amend_set_revision(self, revision: SetRevision) -> None:
        """Write a revision anew; one that is no longer progressing cannot be taken back."""
        (setlog.amend if revision.state == "progressing" else setlog.end)(self._execute, revision)

    def remembered(self, key: str) -> Remembered | None:
        """What is known of the request that came with this Idempotency-Key."""
        return idempotency.find(self._execute, key, self.now)

    def remember(self, key: str, record: Remembered) -> None:
        """Keep a request for a day, from now on."""
        idempotency.keep(self._execute, key, record, self.now)

    def complete(self, key: str, record: Remembered, given: Given) -> None:
        """Add its answer to what is known of a request."""
        idempotency.complete(self._execute, key, record, given)

    def touch(self) -> None:
        """Write to the disk without changing anything that can be read."""
        self._execute("UPDATE head SET probes = probes + 1")

    def end(self) -> None:
        """The job has returned: take back what it asked for and did not use. For the writer."""
        for (uid, _), address in self._spare.items():
            addresses.release(self._execute, uid, address)

    def seal(self) -> None:
        """From now on every call raises: the connection is the next job's. For the writer."""
        self._execute = _ended

    def _fetch(self, sql: str, params: Sequence[object]) -> list[Row]:
        return self._execute(sql, params).fetchall()

    def _current(self, obj: Obj) -> Obj:
        found = self.find(obj.meta.key)
        if found is None or found.meta.uid != obj.meta.uid or found.meta.revision != obj.meta.revision:
            raise changed(obj, found)
        return found  # type: ignore[return-value]  # the same key is the same kind

    def _next(self, obj: Obj) -> Obj:
        return replace(obj, meta=replace(obj.meta, revision=self.revision + 1))

    def _rewrite(self, old: Obj, new: Obj, happening: Happening) -> Obj:
        new = self._next(new)
        self._execute(rows.UPDATE, rows.update_row(new))
        if rows.plugin_of(old) != rows.plugin_of(new):
            self._execute(rows.SET_PLUGIN, (rows.plugin_of(new), new.meta.uid))
        history.changed(self._execute, old, new, happening, self.now)
        revisions.changed(self._execute, old, new, happening, self.now)
        self._tell(new, happening, old)
        return new

    def _remove(self, obj: Object, happening: Happening) -> None:
        self._execute(rows.DELETE, (obj.meta.uid,))
        addresses.release(self._execute, obj.meta.uid)
        ports.release(self._execute, obj.meta.uid)
        ownership.release(self._execute, obj.meta.uid)
        history.forgotten(self._execute, obj)
        revisions.forgotten(self._execute, obj)
        self._tell(obj, happening, obj, is_gone=True)

    def _tell(self, obj: Object, happening: Happening, old: Object | None = None, *, is_gone: bool = False) -> None:
        self.revision += 1
        self.events.append(committed(obj, happening, self.revision, self.now, old=old, is_gone=is_gone))

    def _claim_address(self, obj: Object) -> None:
        address, uid = rows.address_of(obj), obj.meta.uid
        if address is None:
            return
        if addresses.is_held_by(self._execute, uid, address):
            return
        held = addresses.held_beside(self._execute, uid, address, self._pools)
        if held is not None:
            raise Conflict(f"cannot give {named(obj)} {address}: it holds {held}", code="address_taken")
        addresses.claim(self._execute, address, uid)
        self._spare[uid, address] = address

    def _use_address(self, obj: Object) -> None:
        """What it was handed out is its own from now on."""
        address, uid = rows.address_of(obj), obj.meta.uid
        self._spare = {of: held for of, held in self._spare.items() if (of[0], held) != (uid, address)}

    def _keep_fields(self, old: Object, new: Object, happening: Happening, fields: Fields | None) -> None:
        uid = old.meta.uid
        if fields is not None:
            if fields != self.fields(uid):
                self.set_fields(uid, fields)
        elif new != old and (known := self.fields(uid)):
            self.set_fields(uid, moved(known, happening.actor, live(old), live(new)))

    def _hold_ports(self, obj: Object) -> None:
        if isinstance(obj, VM):
            uid, wanted = obj.meta.uid, obj.spec.config.network.publish
            if self._moves is not None:
                self._moves.ask(uid, wanted)
            else:
                ports.hold(self._execute, uid, wanted)

    def _with_spec(self, obj: Obj, spec: Spec) -> Obj:
        if type(spec) is not type(obj.spec):
            raise Invalid(f"cannot give {named(obj)} a {type(spec).__name__}")
        if spec == obj.spec:
            return obj
        address = spec.address if isinstance(spec, VMSpec) else None
        is_new = address is not None and address != rows.address_of(obj)
        if is_new and not addresses.is_held_by(self._execute, obj.meta.uid, str(address)):
            raise Invalid(f"cannot give {named(obj)} another address: it has to be one that it was handed out")
        return replace(obj, spec=spec, meta=replace(obj.meta, generation=obj.meta.generation + 1))

    def _taken(self, obj: Object) -> AlreadyExists | Conflict:
        if self.find(obj.meta.key) is not None:
            return AlreadyExists(*obj.meta.key)
        return Conflict(f"cannot create {named(obj)}: its uid is another's", details={"uid": obj.meta.uid})


def _ended(*_: object) -> sqlite3.Cursor:
    raise RuntimeError("cannot use a transaction after its job has returned")
