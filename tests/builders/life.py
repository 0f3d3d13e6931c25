"""One daemon from its start to its end: the real engine on the real store, between a host and a file that outlive it.

    Life.run ──until killed──▶ Engine: controllers, watchers, queues
       └── kill: nothing that it still does reaches the database or the host any more

Beside the engine there is what a simulation wants to be able to spoil: a bus that loses news, and a driver that loses
hints or cannot look at all; and a host that counts.
"""

from __future__ import annotations

import asyncio
import random
import sqlite3
import tempfile
from collections.abc import AsyncIterator, Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any, cast

from tests.builders.spoils import Spoils
from tests.builders.virtual_time import VirtualClock

from volant.bus import RING_EVENTS, Bus, Listener
from volant.clock import SystemClock, Uid, UidFactory, random_uid
from volant.daemon.engine import Cache, Engine
from volant.drivers import Boot, Instance
from volant.drivers.simulated import (
    Behaviour,
    SimulatedDisks,
    SimulatedHost,
    SimulatedHypervisor,
    SimulatedNetwork,
    SimulatedProber,
)
from volant.drivers.simulated.guest import Guest
from volant.drivers.simulated.network import POOL
from volant.errors import DriverUnavailable
from volant.model.event import Committed
from volant.model.meta import Key
from volant.model.objects import Object
from volant.model.vm import Booted
from volant.reconcile.effects import Effects
from volant.store import Store, StoreSettings

SETTINGS = StoreSettings(inline=True, synchronous="off", busy_s=0.0)


class Killed(BaseException):
    """The daemon ends here. Not an Exception, because nothing in the daemon may catch it."""


class Host(SimulatedHost):
    """A host that writes down its births: a launch that the daemon did not live to see through is none."""

    def __init__(self, clock: VirtualClock, rng: random.Random, **options: Any) -> None:
        super().__init__(clock, rng, log_keep=None, **options)
        self.births: list[tuple[Uid, float]] = []
        """Whose guest began, and when (monotonic)."""
        self._since = clock.monotonic

    def made_for(self, uid: Uid) -> dict[str, bool]:
        """What there is of a VM here."""
        return {
            "process or record": self.guest(uid) is not None,
            "network": uid in self.networks,
            "disks": uid in self.disks,
        }

    @property
    def is_idle(self) -> bool:
        """Whether nothing is going to happen that nobody has asked for."""
        return not len(self._agenda)

    def spawn(self, uid: Uid, behaviour: Behaviour, boot: Boot | None = None, booted: Booted | None = None) -> Guest:
        """As the host does."""
        self.births.append((uid, self._since()))
        return super().spawn(uid, behaviour, boot, booted)


class Senses:
    """How well a daemon hears and sees. `deaf`: the chance that it misses a piece of news or a hint."""

    def __init__(self, rng: random.Random) -> None:
        self.deaf = 0.0
        self.is_blind = False
        self.is_numb = False
        self.spoils = Spoils()
        self._rng = rng

    def miss(self) -> bool:
        """Whether this one is missed."""
        return self.deaf > 0 and self._rng.random() < self.deaf


class HardOfHearing(Bus):
    """A bus whose listeners miss some events. What streams read is complete, as it is not what this is about."""

    def __init__(self, senses: Senses, ring_events: int) -> None:
        super().__init__(ring_events)
        self._senses = senses

    def listen(self, listener: Listener) -> Callable[[], None]:
        """As the bus does."""

        def heard(batch: Sequence[Committed]) -> None:
            senses = self._senses
            told = [event for event in batch if not senses.miss()]
            listener([heard for event in told for heard in senses.spoils.notices(event.key, event)])

        return super().listen(heard)

    def listen_to_all(self, listener: Listener) -> Callable[[], None]:
        """For those who check: nothing is missed."""
        return super().listen(listener)


class DimSighted(SimulatedHypervisor):
    """A driver that misses some hints, whose full look fails while it is blind, and all of whose calls take time."""

    def __init__(self, host: SimulatedHost, clock: VirtualClock, senses: Senses) -> None:
        super().__init__(host, clock)
        self._senses = senses
        self._looks_on = host
        self._waits_on = clock

    async def observe(self) -> list[Instance]:
        """As the driver does. Raises DriverUnavailable while blind."""
        await self._takes()
        if self._senses.is_blind:
            raise DriverUnavailable("cannot look at the host: the simulation has put out the light")
        return await super().observe()

    async def inspect(self, uid: Uid) -> Instance | None:
        """As the driver does, or as it did."""
        seen: Instance | None = self._senses.spoils.guest(uid, await super().inspect(uid))
        return seen

    async def request_stop(self, uid: Uid) -> None:
        """As the driver does."""
        await self._takes()
        await super().request_stop(uid)

    async def kill(self, uid: Uid) -> None:
        """As the driver does."""
        await self._takes()
        await super().kill(uid)

    async def forget(self, uid: Uid, *, keeps_console: bool = False) -> None:
        """As the driver does."""
        await self._takes()
        await super().forget(uid, keeps_console=keeps_console)

    async def watch(self) -> AsyncIterator[Uid | None]:
        """As the driver does, but for what is missed; while numb it hangs for good."""
        async for uid in super().watch():
            while self._senses.is_numb:
                await asyncio.Event().wait()
            if uid is None:
                yield None
            elif not self._senses.miss():
                for heard in self._senses.spoils.notices(uid, uid):
                    yield heard

    async def _takes(self) -> None:
        await self._waits_on.sleep(self._looks_on.look_s)


class Forgetful:
    """A store as controllers see it: some of its rows are looked at too late. Writes are decided by the true ones."""

    def __init__(self, store: Store, spoils: Spoils) -> None:
        self._store = store
        self._spoils = spoils

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def find(self, key: Key) -> Object | None:
        """As the store does, or as it did."""
        seen: Object | None = self._spoils.row(key, self._store.find(key))
        return seen


class Life:
    """One daemon. Made on a running loop; opens the database."""

    def __init__(
        self,
        path: Path,
        *,
        clock: VirtualClock,
        host: SimulatedHost,
        cache: Cache,
        senses: Senses,
        uids: UidFactory,
        effects: Callable[[Life], Effects],
        heard: Callable[[Sequence[Committed]], None],
        seed: int,
        with_probes: bool,
        settings: StoreSettings = SETTINGS,
        ring_events: int = RING_EVENTS,
        hesitation_s: float = 0.0,
    ) -> None:
        """Raises StartupError as the daemon would. Without probes hundreds of idle workers are saved."""
        bus = HardOfHearing(senses, ring_events)
        self.store = Store.open(path, bus=bus, clock=clock, uids=uids, pool=POOL, settings=settings)
        bus.listen_to_all(heard)
        self.is_dead = False
        self.fault: BaseException | None = None
        self._hypervisor = DimSighted(host, clock, senses)
        self.engine = Engine(
            store=cast("Store", Forgetful(self.store, senses.spoils)),
            bus=bus,
            hypervisor=self._hypervisor,
            network=SimulatedNetwork(host, clock),
            disks=SimulatedDisks(host),
            cache=cache,
            clock=clock,
            rng=random.Random(seed),
            node="host-1",
            prober=SimulatedProber(host, clock) if with_probes else None,
            effects=effects(self),
            hesitation_s=hesitation_s,
        )
        self._run: asyncio.Task[None] | None = None

    async def run(self) -> None:
        """Live until killed, or until another daemon has taken over. Any other end is kept in `fault`."""
        self._run = asyncio.create_task(self.engine.run(), name="daemon")
        deposition = asyncio.create_task(self.store.deposed.wait(), name="deposition")
        try:
            await asyncio.wait([self._run, deposition], return_when=asyncio.FIRST_COMPLETED)
            # Of a killed one nothing counts: its tasks have run on for a moment, on a store that was gone.
            if not self.is_dead and not self.store.deposed.is_set():
                cancelled = RuntimeError("the engine was cancelled by nobody")
                self.fault = cancelled if self._run.cancelled() else self._run.exception()
        finally:
            deposition.cancel()
            self.kill()
            await asyncio.wait([self._run])
            await self._hypervisor.close()

    def kill(self) -> None:
        """`kill -9`. From now on this daemon changes nothing, whatever its tasks do before they are gone."""
        if not self.is_dead:
            self.is_dead = True
            self.store.abandon()
        if self._run is not None:
            self._run.cancel()


@cache
def new_database() -> Path:
    """A database in which nothing is: copied for each world, because making its tables takes as long as a story."""
    path = Path(tempfile.mkdtemp(prefix="volant-world-")) / "new.db"
    Store.open(path, bus=Bus(), clock=SystemClock(), uids=random_uid, pool=POOL, settings=SETTINGS).abandon()
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
    return path
