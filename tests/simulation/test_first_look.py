"""What a daemon has to have seen before it does anything: the processes, the networks and the rows, each in full."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from tests.builders.objects import a_plugin, a_vm
from tests.builders.stores import CREATED, a_store, told
from tests.builders.virtual_time import VirtualClock, run_virtual
from tests.builders.world_cache import WorldCache

from volant.bus import Bus
from volant.clock import Uid
from volant.daemon.engine import Engine
from volant.drivers import Instance
from volant.drivers.simulated import SimulatedDisks, SimulatedHost, SimulatedHypervisor, SimulatedNetwork
from volant.drivers.simulated.network import POOL
from volant.errors import DriverUnavailable

HOURS_S = 7200.0


class Light:
    """Whether what hides behind it can be seen."""

    is_on = False

    def shines(self, what: str) -> None:
        """Raises DriverUnavailable while it is dark."""
        if not self.is_on:
            raise DriverUnavailable(f"cannot look at the {what}")


class DarkHypervisor(SimulatedHypervisor):
    """A driver that cannot look around."""

    light: Light

    async def observe(self) -> list[Instance]:
        self.light.shines("processes")
        return await super().observe()


class DarkNetwork(SimulatedNetwork):
    """A network that cannot look around."""

    light: Light

    async def observe(self) -> list[Uid]:
        self.light.shines("networks")
        return await super().observe()


@asynccontextmanager
async def a_daemon(
    directory: Path, clock: VirtualClock, dark: str
) -> AsyncIterator[tuple[Engine, SimulatedHost, Light]]:
    """A daemon with a VM to start, one of whose two looks at the host fails."""
    light, bright = Light(), Light()
    bright.is_on = True
    host, bus = SimulatedHost(clock, random.Random(1)), Bus()
    hypervisor, network = DarkHypervisor(host, clock), DarkNetwork(host, clock)
    hypervisor.light, network.light = (light, bright) if dark == "hypervisor" else (bright, light)
    async with a_store(directory, bus=bus, clock=clock, pool=POOL) as store:
        await store.create(a_plugin("hello"), told("plugin.installed"))
        await store.create(a_vm("web-1"), CREATED)
        engine = Engine(
            store=store,
            bus=bus,
            hypervisor=hypervisor,
            network=network,
            disks=SimulatedDisks(host),
            cache=WorldCache(),
            clock=clock,
            rng=random.Random(2),
            node="host-1",
        )
        running = asyncio.create_task(engine.run())
        try:
            yield engine, host, light
        finally:
            running.cancel()
            await asyncio.wait([running])
            await hypervisor.close()


@pytest.mark.parametrize("dark", ["hypervisor", "network"])
def test_a_look_that_fails_keeps_everybody_waiting_however_long_it_takes(dark: str, tmp_path: Path) -> None:
    """L4: nothing is fetched, started or written until each has been seen once; then it begins by itself."""

    async def main(clock: VirtualClock) -> None:
        async with a_daemon(tmp_path, clock, dark) as (engine, host, light):
            before = engine.store.revision
            await clock.sleep(HOURS_S)
            assert (engine.store.revision, list(host.log)) == (before, [])
            assert not engine.is_ready
            light.is_on = True
            await clock.sleep(60.0)
            assert engine.is_ready
            assert len(host.alive()) == 1

    run_virtual(main)
