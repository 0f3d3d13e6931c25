"""The API on a real socket with the real engine behind it, on a host that is simulated: a daemon inside a test.

async with alive(tmp_path, behaviour=Behaviour(ends_after_s=0.05)) as daemon:
    await daemon.post("/plugins", ...)
    why = await daemon.why("/vms/web", until=lambda said: said["chain"][0]["reason"] == "Crashed")
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.builders.server import PATIENCE_S, Served, serving

from volant.clock import Instant, SystemClock
from volant.daemon.engine import Engine
from volant.daemon.forecast.process import Forecaster
from volant.daemon.forecast.question import Bounds
from volant.daemon.standings import Standings
from volant.drivers.simulated import Behaviour, SimulatedDisks, SimulatedHost, SimulatedHypervisor, SimulatedNetwork
from volant.images.cache import ArtifactCache
from volant.images.fetch import FetchPolicy
from volant.model.meta import Key
from volant.model.why import Facts
from volant.store import StoreSettings

SETTINGS = StoreSettings(busy_s=0.05)


@dataclass
class Late:
    """Facts of an engine that is made after the API which asks for them."""

    standings: list[Standings] = field(default_factory=list)

    def of(self, now: Instant, keys: Sequence[Key]) -> Facts:
        """As the engine has them."""
        return self.standings[0].of(now, keys) if self.standings else Facts(now=now)


@dataclass
class Alive:
    """An API and what works behind it."""

    served: Served
    engine: Engine
    host: SimulatedHost

    async def why(self, path: str, *, until: Callable[[dict[str, Any]], object] = bool) -> dict[str, Any]:
        """The answer of `path/why`, asked until it is like that."""
        async with asyncio.timeout(PATIENCE_S):
            while True:
                answer = await self.served.get(f"{path}/why")
                assert answer.status_code == 200, answer.text
                said: dict[str, Any] = answer.json()
                if until(said):
                    return said
                await asyncio.sleep(0.01)


@asynccontextmanager
async def alive(
    directory: Path, *, behaviour: Behaviour | None = None, root: Path | None = None, bounds: Bounds | None = None
) -> AsyncIterator[Alive]:
    """Everything runs inside the block. Artifacts may come from loopback and from below `root`."""
    clock, late = SystemClock(), Late()
    policy = FetchPolicy(allow=("127.0.0.0/8",), roots=(root,) if root else ())
    cache = ArtifactCache(directory / "cache", policy=policy, clock=clock)
    host = SimulatedHost(clock, random.Random(1), behaviour=behaviour or Behaviour())
    hypervisor = SimulatedHypervisor(host, clock)
    ahead = Forecaster(
        directory / "volant.db", clock=clock, mode="user", pools={"user": "127.88.0.0/24"}, bounds=bounds
    )
    async with (
        serving(directory, settings=SETTINGS, facts=late.of, forecast=ahead.of) as served,
        asyncio.TaskGroup() as tasks,
    ):
        engine = Engine(
            store=served.store,
            bus=served.deps.bus,
            hypervisor=hypervisor,
            network=SimulatedNetwork(host, clock),
            disks=SimulatedDisks(host),
            cache=cache,
            clock=clock,
            rng=random.Random(2),
            node="host-1",
        )
        late.standings.append(Standings(engine, served.store, clock, cache.progress))
        run = tasks.create_task(engine.run(), name="engine")
        try:
            yield Alive(served, engine, host)
        finally:
            run.cancel()
            await asyncio.wait([run])
            await hypervisor.close()
