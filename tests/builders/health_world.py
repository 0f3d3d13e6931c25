"""The whole core in virtual time on a simulated host whose guests are probed; daemons that come and go.

    @in_health_world()
    async def test_x(world):
        await world.install(readiness=Probe(period_s=1))
        await world.create("web-1")
        await world.until(lambda: world.is_ready("web-1"))

Every probe is written down with its time. Time passes only when everybody waits.
"""

from __future__ import annotations

import asyncio
import itertools
import random
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from msgspec.structs import replace
from tests.builders.objects import a_deployment, a_manifest, a_plugin, a_vm
from tests.builders.virtual_time import VirtualClock, run_virtual
from tests.builders.world_cache import WorldCache

from volant.bus import Bus
from volant.clock import Uid
from volant.daemon.engine import Engine
from volant.drivers.simulated import (
    SimulatedDisks,
    SimulatedHost,
    SimulatedHypervisor,
    SimulatedNetwork,
    SimulatedProber,
)
from volant.drivers.simulated.network import POOL
from volant.model.conditions import Condition, condition
from volant.model.event import Committed, Happening
from volant.model.health import HealthCheck, Probe, ProbeOutcome
from volant.model.meta import Key
from volant.model.vm import READY, VM, HealthWord, is_ready
from volant.reconcile.effects import Effects, Hook
from volant.store import Store, StoreSettings, Transaction

SETTINGS = StoreSettings(inline=True, synchronous="off")
STEP_S = 0.05


class Asked(SimulatedProber):
    """A prober that writes down when it was asked, and to what address."""

    def __init__(self, host: SimulatedHost, clock: VirtualClock, asked: list[tuple[float, str]]) -> None:
        super().__init__(host, clock)
        self._asked = asked
        self._now = clock.monotonic

    async def http(self, address: str, port: int, path: str, timeout_s: float) -> ProbeOutcome:
        """As the port says."""
        self._asked.append((self._now(), address))
        return await super().http(address, port, path, timeout_s)


class HealthWorld:
    """What outlives the daemon, and the daemon of the moment."""

    def __init__(self, clock: VirtualClock, directory: Path, **host: Any) -> None:
        self.clock = clock
        self.host = SimulatedHost(clock, random.Random(1), log_keep=None, **host)
        self.cache = WorldCache()
        self.events: list[Committed] = []
        self.asked: list[tuple[float, str]] = []
        self.hook: Hook | None = None
        self._path = directory / "volant.db"
        self._numbers = itertools.count(1)

    def start(self) -> None:
        """A fresh daemon on the same host and database."""
        bus = Bus()
        self.store = Store.open(
            self._path,
            bus=bus,
            clock=self.clock,
            uids=lambda: Uid(f"{next(self._numbers):032x}"),
            pool=POOL,
            settings=SETTINGS,
        )
        bus.listen(self.events.extend)
        self._hypervisor = SimulatedHypervisor(self.host, self.clock)
        self.engine = Engine(
            store=self.store,
            bus=bus,
            hypervisor=self._hypervisor,
            network=SimulatedNetwork(self.host, self.clock),
            disks=SimulatedDisks(self.host),
            cache=self.cache,
            clock=self.clock,
            rng=random.Random(2),
            node="host-1",
            prober=Asked(self.host, self.clock, self.asked),
            effects=Effects(self._see),
        )
        self._run = asyncio.create_task(self.engine.run(), name="daemon")

    async def kill(self) -> None:
        """`kill -9`."""
        self.store.abandon()
        self._run.cancel()
        await asyncio.wait([self._run])
        if not self._run.cancelled():
            self._run.exception()  # because a hook may have ended it
        await self._hypervisor.close()

    async def restart(self, down_s: float = 0.0) -> None:
        """`kill -9`, and another start after so long."""
        await self.kill()
        await self.clock.sleep(down_s)
        self.start()

    @property
    def is_alive(self) -> bool:
        """Whether the daemon runs."""
        return not self._run.done()

    def _see(self, moment: Any, op: str, target: object) -> None:
        self.host.check()
        if self.hook is not None:
            self.hook(moment, op, target)

    async def install(self, name: str = "hello", *, is_checked: bool = True, **check: Any) -> None:
        """A plugin with a health check of these fields, its artifacts in the cache."""
        manifest = a_manifest(name, health_check=HealthCheck(**check) if is_checked else None)
        plugin = a_plugin(name, manifest=manifest, ready=True)
        self.cache.files.update(artifact.digest or "" for artifact in plugin.status.artifacts.values())
        await self.store.create(plugin, Happening(type="plugin.installed"))

    async def create(self, *names: str, plugin: str = "hello", **spec: Any) -> None:
        """VMs of that plugin, in one transaction."""

        def job(tx: Transaction) -> None:
            for name in names:
                vm = a_vm(name, plugin=plugin, **spec)
                address = tx.allocate_address(vm.meta.uid)
                tx.insert(replace(vm, spec=replace(vm.spec, address=address)), Happening(type="vm.created"))

        await self.store.write(job)

    async def deploy(self, name: str, replicas: int) -> None:
        """A deployment."""
        await self.store.create(a_deployment(name, replicas=replicas), Happening(type="deployment.created"))

    async def edit(self, name: str, **spec: Any) -> None:
        """A user changes the spec of a VM."""

        def job(tx: Transaction) -> None:
            vm = tx.find(Key("VM", name))
            assert isinstance(vm, VM)
            tx.update_spec(vm, replace(vm.spec, **spec), Happening(type="vm.updated"))

        await self.store.write(job)

    def vm(self, name: str = "web-1") -> VM:
        """The VM as stored."""
        return self.store.vm(name)

    def word(self, name: str = "web-1") -> HealthWord | None:
        """What users read as its health; None when nothing is said of it."""
        health = self.vm(name).status.health
        return health.status if health is not None else None

    def ready(self, name: str = "web-1") -> Condition:
        """Its condition."""
        found = condition(self.vm(name).status.conditions, READY)
        assert found is not None
        return found

    def is_ready(self, name: str = "web-1") -> bool:
        """Whether it counts."""
        return is_ready(self.vm(name))

    def told(self, name: str = "web-1") -> list[str]:
        """The types of its events so far."""
        return [event.type for event in self.events if event.key.name == name]

    def launches(self, name: str = "web-1") -> int:
        """How many guests it has had."""
        return self.host.launches[self.vm(name).meta.uid]

    async def until(self, what: Callable[[], object], *, within_s: float = 120.0) -> float:
        """Let time pass until it is so; the seconds that took."""
        began = self.clock.monotonic()
        while not what():
            assert self.clock.monotonic() - began < within_s, [(e.revision, e.type) for e in self.events[-20:]]
            await self.clock.sleep(STEP_S)
        return self.clock.monotonic() - began

    async def passes(self, seconds: float) -> None:
        """Let time pass."""
        await self.clock.sleep(seconds)


Test = Callable[[HealthWorld], Awaitable[None]]


def in_health_world(**host: Any) -> Callable[[Test], Callable[[Path], None]]:
    """Make a test of an `async def test_x(world)`; `host` are arguments of SimulatedHost."""

    def wrap(test: Test) -> Callable[[Path], None]:
        async def main(clock: VirtualClock, directory: Path) -> None:
            world = HealthWorld(clock, directory, **host)
            world.start()
            try:
                await test(world)
                world.host.check()
                assert world.is_alive
            finally:
                await world.kill()

        def run(tmp_path: Path) -> None:
            run_virtual(lambda clock: main(clock, tmp_path))

        run.__name__, run.__doc__, run.__module__ = test.__name__, test.__doc__, test.__module__
        return run

    return wrap


EVERY_SECOND = Probe(period_s=1.0)
