"""The forecast itself: the real engine on a copy of the store and a simulated host, until everything is as asked for.

    copy ──▶ guests placed ──▶ engine up and at rest ──▶ POST /apply ──▶ step by step ──▶ Timeline

The apply is the very request, answered by the very API: what it refuses is refused here. Nothing outside this process
is touched but the database, which is opened for reading.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from pathlib import Path
from typing import Final

from volant.bus import Bus
from volant.clock import Uid
from volant.daemon.engine import Engine
from volant.daemon.forecast.aims import STEADY_S, Aims
from volant.daemon.forecast.asking import Desk
from volant.daemon.forecast.ground import Everywhere, Files, populate
from volant.daemon.forecast.pace import Guests, Paces
from volant.daemon.forecast.question import Question
from volant.daemon.forecast.record import Record
from volant.daemon.forecast.virtual_time import Runaway, VirtualClock, run_virtual
from volant.drivers.simulated import SimulatedDisks, SimulatedHost, SimulatedHypervisor, SimulatedProber
from volant.errors import VolantError
from volant.model.meta import Key
from volant.model.timeline import Bound, End, Timeline
from volant.store import Fork

NODE: Final = "forecast"
LOOK_S: Final = 0.25
"""Virtual seconds between two looks whether it is over. No step is made later for it: they tell their own times."""
FIRST_LOOK_S: Final = 1.0
"""What the engine is given to see the world as it is, before anything is asked of it."""

CpuTime = Callable[[], float]
"""Processor seconds that this process has used."""


class Spent(Exception):
    """A bound was met."""

    def __init__(self, bound: Bound) -> None:
        super().__init__(bound)
        self.bound: Bound = bound


def foretell(question: Question, cpu_time: CpuTime) -> Timeline:
    """What would come of it. Raises ForecastTooLarge, Unavailable, and what the apply is refused for."""
    run: list[_Run] = []

    async def main(clock: VirtualClock) -> Timeline:
        run.append(_Run(question, clock, cpu_time))
        return await run[0].timeline()

    try:
        return run_virtual(main, epoch=question.now, max_iterations=question.bounds.turns)
    except Runaway:
        return run[0].told("work")


class _Run:
    """One forecast: made on its own loop."""

    def __init__(self, question: Question, clock: VirtualClock, cpu_time: CpuTime) -> None:
        self._question = question
        self._bounds = question.bounds
        self._clock = clock
        self._cpu_time = cpu_time
        self._rng = random.Random(question.seed)  # noqa: S311 -- spreads retries; no secret hangs on it
        bus = Bus()
        fork = Fork(Path(question.path), most=question.bounds.objects)
        self.store = fork.store(bus=bus, clock=clock, uids=self._uid, pools=question.pools, mode=question.mode)
        vms = self.store.vms()
        self.paces = Paces(vms, self.store.plugins(), fork)
        guests = Guests(vms, self.paces, lambda: self.store)
        host = SimulatedHost(clock, self._rng, script=guests.script, log_keep=0)
        populate(host, vms, guests, clock.now())
        self._hypervisor = SimulatedHypervisor(host, clock)
        self.engine = Engine(
            store=self.store,
            bus=bus,
            hypervisor=self._hypervisor,
            network=Everywhere(host, clock, question.mode, question.pools),
            disks=SimulatedDisks(host),
            prober=SimulatedProber(host, clock),
            cache=Files(self.store.plugins()),
            clock=clock,
            rng=self._rng,
            node=NODE,
        )
        self._bus = bus
        self.record = Record(clock.now())
        self.aims = Aims(self.store, (), clock.now)
        self._set = ""
        self._applied_at = 0.0
        self._applied_on = clock.now()

    def _uid(self) -> Uid:
        return Uid(f"{self._rng.getrandbits(128):032x}")

    async def timeline(self) -> Timeline:
        """Run it. Raises what the apply is refused for."""
        bound: Bound | None = None
        refused: VolantError | None = None
        async with asyncio.TaskGroup() as tasks:
            engine = tasks.create_task(self.engine.run(), name="engine")
            try:
                await self._clock.sleep(FIRST_LOOK_S)
                await self._apply()
                await self._until_over()
            except Spent as spent:
                bound = spent.bound
            except VolantError as error:
                refused = error  # because a group of tasks would make a group of errors of it
            finally:
                engine.cancel()
        told = self.told(bound)
        await self._hypervisor.close()
        self.store.abandon()
        if refused is not None:
            raise refused
        return told

    async def _apply(self) -> None:
        self.record = Record(self._clock.now(), ready=self.store.vms())
        self._applied_at, self._applied_on = self._clock.monotonic(), self._clock.now()
        desk = Desk(self.store, self._bus, self._clock, self._question.body.encode())
        view = await desk.plan()
        self._set = view.set
        keys = [Key(one.kind, one.name) for one in view.objects]
        self.record.about(keys)
        self._bus.listen(self.record.hear)
        await desk.apply(view)
        self.aims = Aims(self.store, keys, self._clock.now)

    async def _until_over(self) -> None:
        revision, look_at = -1, 0.0
        while True:
            # Without a write nothing has moved, but for what only has to stay as it is for a while.
            if self.store.revision != revision or self._clock.monotonic() >= look_at:
                revision, look_at = self.store.revision, self._clock.monotonic() + STEADY_S
                if self.aims.hopeless() is not None and not self._is_watched():
                    return
            self._check_bounds()
            await self._clock.sleep(LOOK_S)

    def _is_watched(self) -> bool:
        """Whether the set may still be taken back: it is atomic, and not where it was to go."""
        last = next(iter(self.store.set_revisions(self._set)), None)
        return last is not None and last.state == "progressing" and last.deadline_s is not None

    def _reverted(self) -> str | None:
        last = next(iter(self.store.set_revisions(self._set)), None)
        if last is None or last.state != "reverted" or last.at < self._applied_on:
            return None
        return last.message or last.reason or ""

    def _check_bounds(self) -> None:
        bounds = self._bounds
        if self._clock.monotonic() - self._applied_at >= bounds.ahead_s:
            raise Spent("time")
        if len(self.record.steps) >= bounds.steps:
            raise Spent("steps")
        if self._cpu_time() >= bounds.cpu_s:
            raise Spent("work")

    def told(self, bound: Bound | None) -> Timeline:
        """What is known by now."""
        unsettled, reverted = self.aims.unsettled(), self._reverted()
        end: End = "stuck" if unsettled else "settled"
        end = "cut" if bound is not None else "reverted" if reverted is not None else end
        return Timeline(
            end=end,
            total_s=self.record.last_s,
            looked_ahead_s=round(self._clock.monotonic() - self._applied_at, 3),
            steps=tuple(self.record.steps),
            lowest=self.record.lowest(),
            pace=self.paces.said(self.record.plugins),
            unsettled=tuple(unsettled),
            bound=bound,
            reverted=reverted,
        )
