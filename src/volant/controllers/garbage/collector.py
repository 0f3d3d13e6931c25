"""One sweep: look at the host, at the cache and at the owners, and remove what has been nobody's for long enough.

Sweeps are turns of a controller with one key, `SWEEP`: one look at the host serves all suspects. A sweep goes on when
one suspect cannot be removed and raises at its end, so the trouble is logged and tried again like any other.

Quarantine is the only memory, and it is lost on restart: a suspect then waits once more.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from typing import Literal, Protocol

from msgspec import Struct

from volant.clock import Clock, Uid
from volant.controllers.garbage import plan
from volant.controllers.garbage.plan import Suspect
from volant.drivers import Disks, Hypervisor, Network
from volant.errors import ArtifactError, DriverError
from volant.model.event import Committed, Happening
from volant.model.meta import Key
from volant.model.objects import Object
from volant.model.plugin import Plugin
from volant.reconcile import DONE, Again, Outcome
from volant.reconcile.effects import Effects
from volant.store import Store, Transaction
from volant.telemetry import logger

log = logger("volant.controllers.garbage")

ACTOR = "garbage"
SWEEP: Literal["sweep"] = "sweep"
"""The one key."""

QUARANTINE_S = 30.0
ORPHANS_AT_ONCE = 500


class Files(Protocol):
    """The port to the artifact cache."""

    def digests(self) -> Iterable[str]:
        """Every complete file that the cache holds."""

    async def remove(self, digest: str) -> None:
        """Remove the file. Harmless when it is gone."""


class SweepReport(Struct, frozen=True, kw_only=True):
    """What a sweep found and did.

    `held` are in quarantine, `removed` are gone from host or cache, `orphans` were marked for deletion. `again_s`:
    seconds until the next one in quarantine is due.
    """

    held: tuple[Suspect, ...] = ()
    removed: tuple[Suspect, ...] = ()
    orphans: int = 0
    again_s: float | None = None


class GarbageCollector:
    """Finds and removes what the store knows nothing of."""

    gap_s = 0.0
    """No event is waited for."""

    def __init__(  # noqa: PLR0913 -- everything that can hold garbage
        self,
        *,
        store: Store,
        hypervisor: Hypervisor,
        network: Network,
        disks: Disks,
        files: Files,
        clock: Clock,
        quarantine_s: float = QUARANTINE_S,
        effects: Effects | None = None,
    ) -> None:
        self._store = store
        self._hypervisor = hypervisor
        self._network = network
        self._disks = disks
        self._files = files
        self._clock = clock
        self._quarantine_s = quarantine_s
        self._effects = effects or Effects()
        self._held: dict[Suspect, float] = {}

    def concerns(self, event: Committed) -> Iterable[str]:
        """None: garbage is what no event tells of."""
        return ()

    def resync_keys(self) -> Iterable[str]:
        """The one key, so that every resync is a sweep."""
        return (SWEEP,)

    async def reconcile(self, key: str) -> Outcome:  # the only key there is
        """One sweep, and another when somebody's quarantine ends."""
        report = await self.sweep()
        return DONE if report.again_s is None else Again(report.again_s)

    async def sweep(self) -> SweepReport:
        """Look once, and remove what is due. Raises the first DriverError or ArtifactError after all was tried."""
        orphans = await self._mark_orphans()
        self._hold(await self._look())
        removed: list[Suspect] = []
        errors: list[DriverError | ArtifactError] = []
        for suspect in plan.due(self._held, self._clock.monotonic(), self._quarantine_s):
            try:
                is_gone = await self._remove(suspect)
            except (DriverError, ArtifactError) as error:
                errors.append(error)
                continue
            del self._held[suspect]
            if is_gone:
                removed.append(suspect)
                log.warning("garbage.removed", **suspect._asdict())
        if errors:
            raise errors[0]
        again_s = plan.next_look_s(self._held, self._clock.monotonic(), self._quarantine_s)
        return SweepReport(held=tuple(self._held), removed=tuple(removed), orphans=orphans, again_s=again_s)

    async def _look(self) -> frozenset[Suspect]:
        """The suspects of this moment.

        The store is read after the host and the cache: a row is written before anything is made for it, so whatever a
        look at the host can find of a living VM has its row by now.
        """
        found = [instance.uid for instance in await self._hypervisor.observe()]
        found += await self._network.observe()
        found += await self._disks.observe()
        files = list(self._files.digests())
        return plan.suspects(found, self._store.uids("VM"), files, self._referenced())

    def _hold(self, seen: frozenset[Suspect]) -> None:
        held = plan.quarantined(self._held, seen, self._clock.monotonic())
        for suspect in held.keys() - self._held.keys():
            log.warning("garbage.quarantined", for_s=self._quarantine_s, **suspect._asdict())
        self._held = held

    async def _remove(self, suspect: Suspect) -> bool:
        """Remove what is left of `suspect`; False when the store answers for it after all."""
        if suspect.what == "digest":
            digest = suspect.name
            return await self._act("artifacts.remove", suspect, lambda: self._files.remove(digest))
        uid = Uid(suspect.name)
        return (
            await self._act("hypervisor.kill", suspect, lambda: self._hypervisor.kill(uid))
            and await self._act("hypervisor.forget", suspect, lambda: self._hypervisor.forget(uid))
            and await self._act("network.ensure_absent", suspect, lambda: self._network.ensure_absent(uid))
            and await self._act("disks.ensure_absent", suspect, lambda: self._disks.ensure_absent(uid))
        )

    async def _act(self, op: str, suspect: Suspect, fn: Callable[[], Awaitable[None]]) -> bool:
        """One destructive step, unless the store, asked directly, answers for the suspect (D9)."""
        if self._is_answered_for(suspect):
            return False
        self._store.check_epoch()
        await self._effects.act(op, suspect.name, fn)
        return True

    def _is_answered_for(self, suspect: Suspect) -> bool:
        if suspect.what == "digest":
            return suspect.name in self._referenced()
        return self._store.find_uid(Uid(suspect.name)) is not None

    def _referenced(self) -> set[str]:
        return {digest for plugin in self._store.plugins() for digest in _digests(plugin)}

    async def _mark_orphans(self) -> int:
        """Mark every VM whose owner is gone; how many were marked."""
        marked = 0
        for owner in self._store.owners():
            if self._store.find_uid(owner) is None:
                marked += await self._mark_children_of(owner)
        return marked

    async def _mark_children_of(self, owner: Uid) -> int:
        marked = 0
        while any(not child.is_deleting for child in self._store.children(owner)):
            batch = await self._effects.act("store.mark_orphans", owner, lambda: self._mark(owner))
            if not batch:
                break  # because the transaction found an owner after all
            marked += batch
        return marked

    async def _mark(self, owner: Uid) -> int:
        return await self._store.write(lambda tx: _mark_in(tx, owner))


def _mark_in(tx: Transaction, owner: Uid) -> int:
    """Mark some of the VMs that `owner` left, each after a direct look for its owner (D9); how many."""
    living = [child for child in tx.children(owner) if not child.is_deleting]
    message = "the object that it was made for is gone"
    happening = Happening(type="vm.deleting", actor=ACTOR, reason="OwnerGone", message=message)
    marked = 0
    for child in living[:ORPHANS_AT_ONCE]:
        vm = tx.get(Key("VM", child.name))
        if _is_orphan(tx, vm):
            tx.mark_deleting(vm, happening)
            marked += 1
    return marked


def _is_orphan(tx: Transaction, vm: Object) -> bool:
    owner = vm.meta.owner
    row = tx.find(Key(owner.kind, owner.name)) if owner is not None else None
    return owner is not None and (row is None or row.meta.uid != owner.uid)


def _digests(plugin: Plugin) -> Iterable[str]:
    return (artifact.digest for artifact in plugin.status.artifacts.values() if artifact.digest is not None)
