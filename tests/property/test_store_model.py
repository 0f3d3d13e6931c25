"""The store against a dict: whatever is done in whatever order, and whenever it crashes, both hold the same.

After every step: the same objects in the same order; revisions strictly increasing, one event for each; the events
replayed are the objects; the log is the end of what was published; addresses are unique and those of the rows; the
columns say what the documents say; what a failed or stale job did is nothing.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from msgspec.structs import replace
from tests.builders.objects import a_deployment, a_plugin, a_vm, running_status, stopped_status
from tests.builders.stores import CREATED, HandClock, counted_uids, open_store, told

from volant.bus import Bus
from volant.clock import Uid
from volant.errors import AlreadyExists, Conflict, Gone, Invalid, VolantError
from volant.model.deployment import DeploymentStatus
from volant.model.event import GONE, UPDATED, Committed, Happening
from volant.model.meta import Key
from volant.model.objects import Object
from volant.model.plugin import PluginStatus
from volant.model.vm import VM, VMStatus, is_ready, ready_since, status_word
from volant.store import Child, Store, Tally, Transaction

POOL = "127.88.0.0/28"
ADDRESSES = [f"127.88.0.{host}" for host in range(10, 15)]
KEEP, STEP = 12, 4

KEYS = [Key("Deployment", "web"), *(Key("VM", name) for name in "abcdefg"), Key("Plugin", "p")]
keys = st.sampled_from(KEYS)
which = st.integers(0, 30)
pids = st.integers(1, 2)


class Abort(Exception):
    """A job that changed its mind."""


has_objects = precondition(lambda self: bool(self.objects))
has_started = precondition(lambda self: hasattr(self, "store"))


class StoreModel(RuleBasedStateMachine):
    """`objects` is what the store should hold, in order; `past` is every version that anybody ever saw."""

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.directory = tempfile.TemporaryDirectory()
        self.clock = HandClock()
        self.uids = counted_uids()
        self.objects: dict[Key, Object] = {}
        self.past: dict[Key, list[Object]] = {}
        self.published: list[Committed] = []
        self.store: Store

    @initialize(population=st.integers(0, 4))
    def populate(self, population: int) -> None:
        self.start()
        for n in range(population):
            self.create(KEYS[n], owned=True, addressed=n % 2 == 1, finalizers=("x",) * (n % 3 != 2))

    def start(self) -> None:
        bus = Bus()
        bus.listen(self.published.extend)
        self.store = open_store(
            Path(self.directory.name),
            bus=bus,
            clock=self.clock,
            uids=self.uids,
            pool=POOL,
            event_keep=KEEP,
            compact_events=STEP,
        )

    def teardown(self) -> None:
        self.store.abandon()
        self.runner.close()
        self.directory.cleanup()

    # What can be done

    @rule(key=keys, owned=st.booleans(), addressed=st.booleans(), finalizers=st.sampled_from([(), ("x",), ("x", "y")]))
    def create(self, key: Key, owned: bool, addressed: bool, finalizers: tuple[str, ...]) -> None:
        owner = self.objects.get(Key("Deployment", "web")) if owned else None

        def job(tx: Transaction) -> Object:
            uid = tx.new_uid()
            meta = {"finalizers": finalizers}
            if key.kind == "Deployment":
                return tx.insert(a_deployment(key.name, uid=uid, meta=meta), told("deployment.created"))
            if key.kind == "Plugin":
                return tx.insert(a_plugin(key.name, uid=uid, meta=meta), told("plugin.installed"))
            address = tx.allocate_address(uid) if addressed else None
            return tx.insert(a_vm(key.name, uid=uid, address=address, owner=owner, meta=meta), CREATED)

        held = {address_of(obj) for obj in self.objects.values()}
        free = [address for address in ADDRESSES if address not in held]
        if addressed and key.kind == "VM" and not free:
            assert self.fails(job).code == "addresses_exhausted"
        elif key in self.objects:
            assert isinstance(self.fails(job), AlreadyExists)
        else:
            made = self.succeeds(job)
            assert address_of(made) == (free[0] if addressed and key.kind == "VM" else None)
            assert made.meta.finalizers == finalizers
            self.hold(made)

    @has_objects
    @rule(which=which, stale=st.booleans(), change=st.booleans(), labelled=st.booleans())
    def update_spec(self, which: int, stale: bool, change: bool, labelled: bool) -> None:
        obj = self.pick(which, stale)
        if obj is None:
            return
        current = self.objects.get(obj.meta.key)
        spec = other_spec(obj) if change else obj.spec
        labels = {"k": str(len(obj.meta.labels))} if labelled else None
        job = lambda tx: tx.update_spec(obj, spec, updated(obj.meta.key), labels=labels)  # noqa: E731
        if obj != current:
            assert isinstance(self.fails(job), Conflict)
            return
        differs = spec != obj.spec
        meta = replace(obj.meta, labels=obj.meta.labels if labels is None else labels)
        meta = replace(meta, generation=meta.generation + differs)
        self.expect(job, obj, replace(obj, spec=spec, meta=meta))

    @has_objects
    @rule(which=which, stale=st.booleans(), pid=pids, forged=st.booleans())
    def update_status(self, which: int, stale: bool, pid: int, forged: bool) -> None:
        obj = self.pick(which, stale)
        if obj is None:
            return
        seen = replace(obj, spec=other_spec(obj)) if forged else obj
        status = some_status(obj, pid)
        job = lambda tx: tx.update_status(seen, status, updated(obj.meta.key))  # noqa: E731
        if obj != self.objects.get(obj.meta.key):
            assert isinstance(self.fails(job), Conflict)
            return
        self.expect(job, obj, replace(obj, status=status))

    @has_objects
    @rule(which=which)
    def report_the_future(self, which: int) -> None:
        """V6"""
        obj = self.pick(which)
        if obj is not None:
            status = replace(obj.status, observed_generation=obj.meta.generation + 1)
            assert isinstance(self.fails(lambda tx: tx.update_status(obj, status, updated(obj.meta.key))), Invalid)

    @has_objects
    @rule(which=which, stale=st.booleans(), forceful=st.booleans())
    def delete(self, which: int, stale: bool, forceful: bool) -> None:
        obj = self.pick(which, stale)
        if obj is None:
            return
        spec = replace(obj.spec, force=True) if forceful and isinstance(obj, VM) else None
        job = lambda tx: tx.mark_deleting(obj, told("vm.deleting"), spec=spec)  # noqa: E731
        if obj != self.objects.get(obj.meta.key):
            assert isinstance(self.fails(job), Conflict)
            return
        wanted = obj.spec if spec is None else spec
        since = self.clock.now() if obj.meta.deleting_since is None else obj.meta.deleting_since
        meta = replace(obj.meta, deleting_since=since, generation=obj.meta.generation + (wanted != obj.spec))
        self.expect(job, obj, replace(obj, spec=wanted, meta=meta), gone=not obj.meta.finalizers)

    @has_objects
    @rule(which=which, stale=st.booleans(), finalizer=st.sampled_from(["x", "y"]))
    def finalize(self, which: int, stale: bool, finalizer: str) -> None:
        obj = self.pick(which, stale)
        if obj is None:
            return
        job = lambda tx: tx.finalize(obj, finalizer, told(GONE[obj.meta.kind]))  # noqa: E731
        if obj != self.objects.get(obj.meta.key):
            assert isinstance(self.fails(job), Conflict)
            return
        left = tuple(f for f in obj.meta.finalizers if f != finalizer)
        if obj.meta.is_deleting and not left:
            self.succeeds(job)
            self.drop(obj)
        elif left != obj.meta.finalizers:
            self.succeeds(job)
            self.hold(self.numbered(replace(obj, meta=replace(obj.meta, finalizers=left))))
        else:
            self.succeeds(job, events=0)

    @has_objects
    @rule(which=which)
    def a_job_that_fails_after_writing(self, which: int) -> None:
        obj = self.pick(which)

        def job(tx: Transaction) -> None:
            if obj is not None:
                found = tx.update_status(obj, some_status(obj, 9), updated(obj.meta.key))
                tx.mark_deleting(found, told("vm.deleting"))
            uid = tx.new_uid()
            tx.insert(a_vm("doomed", uid=uid, meta={"finalizers": ()}), CREATED)
            raise Abort

        with pytest.raises(Abort):
            self.run(job)

    @rule(pairs=st.lists(st.tuples(keys, st.booleans()), min_size=2, max_size=5, unique_by=lambda pair: pair[0]))
    def several_at_once(self, pairs: list[tuple[Key, bool]]) -> None:
        """One commit: the jobs that raise harm none of the others."""

        def touch(key: Key, fails: bool) -> Callable[[Transaction], Object | None]:
            def job(tx: Transaction) -> Object | None:
                found = tx.find(key)
                new = tx.update_spec(found, found.spec, updated(key), labels={"n": str(tx.revision)}) if found else None
                if fails:
                    raise Abort
                return new

            return job

        async def all_of() -> list[Any]:
            writes = (self.store.write(touch(key, fails)) for key, fails in pairs)
            return await asyncio.gather(*writes, return_exceptions=True)

        for (_, fails), result in zip(pairs, self.runner.run(all_of()), strict=True):
            assert isinstance(result, Abort) == fails
            if not fails and result is not None:
                self.hold(result)

    @rule(seconds=st.sampled_from([1.0, 3600.0]))
    def time_passes(self, seconds: float) -> None:
        self.clock.forward(seconds)

    @rule(hoped_for=st.integers(0, 2))
    def crash(self, hoped_for: int) -> None:
        """Jobs that were asked for and not committed are as if they had never been."""

        async def ask_and_die() -> None:
            async with asyncio.TaskGroup() as group:
                for n in range(hoped_for):
                    group.create_task(self.store.write(lambda tx, n=n: tx.insert(a_vm(f"lost-{n}"), CREATED)))  # type: ignore[misc]
                await asyncio.sleep(0)
                self.store.abandon()

        self.runner.run(ask_and_die())
        self.start()

    @rule()
    def restart(self) -> None:
        self.runner.run(self.store.close())
        self.start()

    # What must hold

    @invariant()
    @has_started
    def holds_the_same_objects(self) -> None:
        for key in KEYS:
            assert self.store.find(key) == self.objects.get(key)
        held = list(self.objects.values())
        assert self.store.vms() == [obj for obj in held if obj.meta.kind == "VM"]
        assert [*self.store.deployments(), *self.store.plugins()] == sorted(
            (obj for obj in held if obj.meta.kind != "VM"), key=lambda obj: obj.meta.kind
        )

    @invariant()
    @has_started
    def has_one_event_for_each_revision(self) -> None:
        """V1, E3, W1, W10"""
        assert [event.revision for event in self.published] == list(range(1, self.store.revision + 1))
        oldest = self.store.oldest_event
        assert self.store.revision - oldest < KEEP + STEP
        assert self.store.events_after(oldest, 10_000) == self.published[oldest:]
        if oldest:
            with pytest.raises(Gone):
                self.store.events_after(oldest - 1, 1)

    @invariant()
    @has_started
    def replays_to_the_same_objects(self) -> None:
        last: dict[Uid, int] = {}
        for event in self.published:
            last[event.uid] = event.revision
            if event.type in ("vm.deleted", "deployment.deleted", "plugin.removed"):
                del last[event.uid]
        assert last == {obj.meta.uid: obj.meta.revision for obj in self.objects.values()}

    @invariant()
    @has_started
    def shares_no_address(self) -> None:
        rows = self.store._select("SELECT uid, address FROM addresses", ())
        held = [(obj.meta.uid, address_of(obj)) for obj in self.objects.values() if address_of(obj)]
        assert sorted((uid, f"127.88.0.{number & 255}") for uid, number in rows) == sorted(held)
        assert len({address for _, address in held}) == len(held)

    @invariant()
    @has_started
    def counts_what_the_documents_say(self) -> None:
        web = self.objects.get(Key("Deployment", "web"))
        uid = web.meta.uid if web is not None else Uid("nobody")
        expected = [
            Child(vm.meta.name, vm.meta.uid, vm.meta.revision, *flags_of(vm), vm.spec.template, ready_since(vm))
            for vm in self.store.vms()
            if vm.meta.owner is not None and vm.meta.owner.uid == uid
        ]
        children = self.store.children(uid)
        assert children == expected
        flags = [sum(flag) for flag in zip(*(child[3:6] for child in children), strict=True)] or [0, 0, 0]
        assert self.store.tally(uid) == Tally(len(children), *flags)

    # How it is done

    def run(self, job: Callable[[Transaction], Any]) -> Any:
        return self.runner.run(self.store.write(job))

    def succeeds(self, job: Callable[[Transaction], Any], events: int | None = None) -> Any:
        before = self.store.revision
        result = self.run(job)
        assert events is None or self.store.revision == before + events
        return result

    def fails(self, job: Callable[[Transaction], Any]) -> VolantError:
        before = self.store.revision
        with pytest.raises(VolantError) as raised:
            self.run(job)
        assert self.store.revision == before
        return raised.value

    def expect(self, job: Callable[[Transaction], Any], old: Object, new: Object, *, gone: bool = False) -> None:
        """`job` turns `old` into `new`; when they are the same it writes nothing (V4, L7)."""
        if new == old:
            assert self.succeeds(job, events=0) == old
            return
        made = self.succeeds(job, events=2 if gone else 1)
        if gone:
            self.drop(old)
        else:
            assert made == self.numbered(new)
            self.hold(made)

    def numbered(self, obj: Object) -> Object:
        return replace(obj, meta=replace(obj.meta, revision=self.store.revision))

    def hold(self, obj: Object) -> None:
        self.objects[obj.meta.key] = obj
        self.past.setdefault(obj.meta.key, []).append(obj)

    def drop(self, obj: Object) -> None:
        del self.objects[obj.meta.key]

    def pick(self, which: int, stale: bool = False) -> Object | None:
        """One of the objects, or with `stale` any version of any object that there ever was."""
        among = [obj for versions in self.past.values() for obj in versions] if stale else list(self.objects.values())
        return among[which % len(among)] if among else None


def address_of(obj: Object) -> str | None:
    return obj.spec.address if isinstance(obj, VM) else None


def flags_of(vm: VM) -> tuple[bool, bool, bool]:
    return status_word(vm) == "running", is_ready(vm), vm.meta.is_deleting


def updated(key: Key) -> Happening:
    return told(UPDATED[key.kind])


def other_spec(obj: Object) -> Any:
    if isinstance(obj, VM):
        return replace(obj.spec, power="stopped" if obj.spec.power == "running" else "running")
    if obj.meta.kind == "Deployment":
        return replace(obj.spec, replicas=obj.spec.replicas % 2 + 1)  # type: ignore[union-attr]
    return replace(obj.spec, enabled=not obj.spec.enabled)  # type: ignore[union-attr]


def some_status(obj: Object, pid: int) -> Any:
    generation = obj.meta.generation
    if isinstance(obj, VM):
        make: Callable[..., VMStatus] = running_status if pid > 1 else stopped_status
        return make(observed_generation=generation, restarts=pid)
    if obj.meta.kind == "Deployment":
        return DeploymentStatus(observed_generation=generation, replicas=pid)
    return PluginStatus(observed_generation=generation)


TestStoreModel = StoreModel.TestCase
TestStoreModel.settings = settings(
    max_examples=100,
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
