"""The controllers, wired: who hears of what, and who runs.

    bus ──batch──▶ concerns(event) ──▶ keys ──▶ each controller's queue
    hypervisor ──"look at uid X"──▶ the VM controller's queue
    network ──"look at uid X"──▶ the network controller's queue
    resync ──▶ every queue

Everything that a daemon is but for its HTTP server: the simulation runs this very object in virtual time. No controller
knows another; they meet in the store. Nothing acts before the first full look at the host (L4), and nothing acts
while the store cannot be written (S4): all queues share one gate.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Protocol

from volant.bus import Bus
from volant.client import NoAnswer
from volant.client.call import Call
from volant.clock import Clock, Instant
from volant.controllers.deployment import DeploymentReconciler
from volant.controllers.garbage import GarbageCollector
from volant.controllers.health import HealthReconciler
from volant.controllers.network import NetworkReconciler
from volant.controllers.plugin import PluginReconciler
from volant.controllers.plugin.reconciler import anything_goes
from volant.controllers.sets import SetReconciler
from volant.controllers.sync import Configured, SyncReconciler
from volant.controllers.sync.reconciler import Send
from volant.controllers.vm import VMReconciler
from volant.controllers.vm.files import nothing_told
from volant.daemon.storewatch import StoreWatch
from volant.drivers import BEAT_S, Attachment, Disks, Hypervisor, Network, Prober
from volant.errors import VolantError
from volant.model.event import Committed
from volant.model.meta import Key, Kind
from volant.model.plugin import Source
from volant.model.sync import Attempts
from volant.model.vm import VM
from volant.reconcile import Beat, Controller, ControllerStats, Gate, Health, Outcome, supervise
from volant.reconcile.effects import Effects
from volant.store import Store
from volant.telemetry import logger

log = logger("volant.daemon")

VM_WORKERS = 16
PLUGIN_WORKERS = 64
"""A turn lasts as long as a download: slow servers must not keep other plugins waiting."""
NETWORK_WORKERS = 4
PROBE_WORKERS = 256
"""A probe of a guest that does not answer holds a worker for its whole timeout, and is all that its worker does."""
DOWNLOAD_S = 1800.0
SYNC_WORKERS = 16
"""Each is a thread and a git while it works: a server that does not answer holds one for minutes."""
SYNC_S = 1800.0
"""More than all bounds in a turn together: a fetch, looks at a commit, two applies."""
SET_S = 300.0
"""Ten thousand objects are taken back in one transaction."""
SET_LOOK_S = 2.0
"""An apply that changes no object is told of by no event: so long it may be until its set is looked at."""
SWEEP_S = 15.0
SILENCE_S = 3 * BEAT_S
"""Watchers beat at least every BEAT_S: one that has not for so long is started again (L8)."""
DATABASE_ALARM_MB = 4096
LOOK_AGAIN_S = 1.0


class Cache(Protocol):
    """What the controllers ask of the artifact cache."""

    async def ensure(self, url: str, checksum: str | None) -> Any:
        """Have the file; see `images.cache`."""

    def has(self, digest: str) -> bool:
        """Whether the file is there."""

    def path(self, digest: str) -> Path:
        """Where the file is."""

    def digests(self) -> Iterable[str]:
        """Every complete file."""

    async def remove(self, digest: str) -> None:
        """Remove the file."""


async def nobody_to_send_to(call: Call[Any]) -> Any:
    """There is no API."""
    raise NoAnswer(f"cannot send {call.method} {call.path}: there is no API here")


class Reconciler(Protocol):
    """What every controller room offers."""

    @property
    def gap_s(self) -> float:
        """How long news of another kind may wait, so that many are one turn."""

    def concerns(self, event: Committed) -> Iterable[Any]:
        """The keys to look at after `event`."""

    def resync_keys(self) -> Iterable[Any]:
        """Every key there is."""

    async def reconcile(self, key: Any) -> Outcome:
        """One turn."""


class Engine:
    """Store, drivers and controllers as one thing that runs."""

    def __init__(  # noqa: PLR0913 -- because this is where everybody is introduced to everybody
        self,
        *,
        store: Store,
        bus: Bus,
        hypervisor: Hypervisor,
        network: Network,
        disks: Disks,
        cache: Cache,
        clock: Clock,
        rng: random.Random,
        node: str,
        prober: Prober | None = None,
        seed: Callable[[VM, Attachment], Awaitable[bytes]] = nothing_told,
        check_artifact: Callable[[Source, Path], None] = anything_goes,
        effects: Effects | None = None,
        quarantine_s: float = 30.0,
        hesitation_s: float = 0.0,
        alarm_mb: int = DATABASE_ALARM_MB,
        syncs: Sequence[Configured] | None = None,
        send: Send = nobody_to_send_to,
    ) -> None:
        """Without `prober` nobody is probed: a guest whose plugin has a health check does not become ready.

        `seed` makes the disk that tells a guest what its config says; `check_artifact` raises ArtifactRefused for a
        file that no guest may be made of.

        `hesitation_s` passes before the first look, where a predecessor may still have to find out that it is none of
        its business any more. `alarm_mb` is how large the database may become before that is said. `syncs` are those
        of the settings, which reach the API through `send`; None: nobody looks at syncs here.
        """
        self.store = store
        self.bus = bus
        self.hypervisor = hypervisor
        self.network = network
        self.clock = clock
        self.gate = Gate(clock)
        self.observed = asyncio.Event()
        self.look_trouble = ""
        """What was in the way of the first look, if it has failed."""
        self.health = Health(clock)
        self.store_watch = StoreWatch(store, self.gate, clock, alarm_mb=alarm_mb)
        self._hesitation_s = hesitation_s
        self._rng = rng
        effects = effects or Effects()
        vms = VMReconciler(
            store=store,
            hypervisor=hypervisor,
            network=network,
            disks=disks,
            seed=seed,
            artifact_path=cache.path,
            clock=clock,
            node=node,
            effects=effects,
        )
        garbage = GarbageCollector(
            store=store,
            hypervisor=hypervisor,
            network=network,
            disks=disks,
            files=cache,
            clock=clock,
            quarantine_s=quarantine_s,
            effects=effects,
        )
        self._wired: list[tuple[Reconciler, Controller[Any]]] = []
        self.vms = self._wire("vm", vms, workers=VM_WORKERS, timeout_s=120.0)
        self._wire("deployment", DeploymentReconciler(store=store, clock=clock, effects=effects), workers=4)
        self.plugins = PluginReconciler(store=store, cache=cache, clock=clock, check=check_artifact, effects=effects)
        self._wire("plugin", self.plugins, workers=PLUGIN_WORKERS, timeout_s=DOWNLOAD_S)
        self._wire("garbage", garbage, workers=1, resync_s=SWEEP_S)
        self._networks: Controller[Any] | None = None
        if network.is_watched:
            attachments = NetworkReconciler(
                store=store, network=network, hypervisor=hypervisor, clock=clock, effects=effects
            )
            self._networks = self._wire("network", attachments, workers=NETWORK_WORKERS, timeout_s=60.0)
        self._probes: HealthReconciler | None = None
        if prober is not None:
            self._probes = HealthReconciler(store=store, prober=prober, clock=clock, effects=effects)
            self._wire("health", self._probes, workers=PROBE_WORKERS, timeout_s=120.0)
        sets = SetReconciler(store=store, clock=clock, effects=effects)
        self._wire("set", sets, workers=1, timeout_s=SET_S, resync_s=SET_LOOK_S)
        self._syncs = SyncReconciler(store=store, syncs=syncs or (), send=send, clock=clock)
        self._synced: Controller[Any] | None = None
        if syncs or (syncs is not None and store.count("Sync")):
            self._synced = self._wire("sync", self._syncs, workers=SYNC_WORKERS, timeout_s=SYNC_S)

    def _wire(self, name: str, reconciler: Reconciler, **settings: Any) -> Controller[Any]:
        controller: Controller[Any] = Controller(
            name,
            reconciler.reconcile,
            clock=self.clock,
            rng=self._rng,
            resync_keys=reconciler.resync_keys,
            ready=self.observed,
            gate=self.gate,
            **settings,
        )
        self._wired.append((reconciler, controller))
        return controller

    @property
    def controllers(self) -> list[Controller[Any]]:
        """Each controller."""
        return [controller for _, controller in self._wired]

    def stats(self) -> list[ControllerStats]:
        """The figures of each controller now."""
        return [controller.stats() for controller in self.controllers]

    def concerned(self, kind: Kind) -> list[Controller[Any]]:
        """The controllers that look at objects of a kind, that of the kind itself first."""
        names = [kind.lower(), *(["health", "network"] if kind == "VM" else [])]
        return [controller for name in names for controller in self.controllers if controller.name == name]

    def last_check(self, vm: VM) -> Instant | None:
        """When a probe of the VM's guest last said something, as far as this daemon knows."""
        return self._probes.last_check(vm) if self._probes is not None else None

    def attempts(self, name: str) -> Attempts:
        """What is not stored of a sync."""
        return self._syncs.attempts(name)

    def sync_now(self, name: str) -> Awaitable[object]:
        """Have a sync tried at once, as far as anything acts; what is returned is done when it was."""
        tried = self._syncs.ask(name)
        if self._synced is not None:
            self._synced.add(Key("Sync", name))
        return tried

    @property
    def is_ready(self) -> bool:
        """Whether the first full look is done, the store can be written and every watcher lives (S5)."""
        return self.observed.is_set() and self.store.healthy and self.health.is_healthy

    async def run(self) -> None:
        """Live until cancelled. Guests outlive it."""
        unlisten = self.bus.listen(self._heard)
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._look_first(), name="first look")
                for name, watch in self._watchers():
                    watched = supervise(name, watch, self.clock, self.health, silence_s=SILENCE_S)
                    tasks.create_task(watched, name=name)
                for controller in self.controllers:
                    tasks.create_task(controller.run(), name=controller.name)
        finally:
            unlisten()

    async def drain(self, deadline_s: float) -> None:
        """Begin no more turns; wait for those under way, at most `deadline_s`."""
        async with asyncio.TaskGroup() as tasks:
            for controller in self.controllers:
                tasks.create_task(controller.drain(deadline_s))

    def _watchers(self) -> Sequence[tuple[str, Callable[[Beat], Any]]]:
        network = (("network", self._watch_network),) if self._networks is not None else ()
        return (("hypervisor", self._watch_hypervisor), *network, ("store", self.store_watch.watch))

    def _heard(self, batch: Sequence[Committed]) -> None:
        for reconciler, controller in self._wired:
            gap_s = reconciler.gap_s
            for event in batch:
                for key in reconciler.concerns(event):
                    # A controller looks again after each write of its own in the same turn: the news of it is old.
                    if event.actor == controller.name and key == event.key:
                        continue
                    # News of another kind comes in storms (a thousand replicas): they may wait to become one turn.
                    if gap_s and key.kind != event.key.kind:
                        controller.add_after(key, gap_s)
                    else:
                        controller.add(key)

    async def _look_first(self) -> None:
        """Open the way for the controllers once hypervisor and network have been seen in full."""
        if self._hesitation_s:
            await self.clock.sleep(self._hesitation_s)
        while not self.observed.is_set():
            try:
                found = await self.hypervisor.observe()
                await self.network.observe()
                vms = self.store.count("VM")
            except VolantError as error:
                log.error("daemon.cannot_look", reason=error.reason, message=error.message)
                self.look_trouble = error.message
                await self.clock.sleep(LOOK_AGAIN_S)
            else:
                log.info("daemon.observed", instances=len(found), vms=vms)
                self.observed.set()

    async def _watch_hypervisor(self, beat: Beat) -> None:
        async for uid in self.hypervisor.watch():
            beat()
            found = self.store.find_uid(uid) if uid is not None else None
            if found is not None:
                self.vms.add(found.meta.key)

    async def _watch_network(self, beat: Beat) -> None:
        async for uid in self.network.watch():
            beat()
            found = self.store.find_uid(uid) if uid is not None else None
            if found is not None and self._networks is not None:
                self._networks.add(found.meta.key)
