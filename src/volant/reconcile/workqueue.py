"""A queue of keys that somebody should look at.

    bus, drivers ──add(key)──────▶ [ FRESH   ] ──┐
    resync ──add(key, ROUTINE)───▶ [ ROUTINE ] ──┴─get()──▶ worker ──done(key)──▶
    retries ──add_after(key, s)──▶ [ due times ]──▲

The queue promises, and the whole of volant leans on it:

* A key is handed to at most one worker at a time, so a reconciler may assume it is alone with its object.
* A key added while it is being worked on is handed out once more afterwards, so no change is ever missed.
* A key added a hundred times while it waits is handed out once, so a storm of changes costs one reconcile.
* After `add_after(key, s)` the key is handed out within `s` seconds of waiting for its turn. An earlier hand-out that
  begins after the call fulfils it: whoever looks decides anew when to look again.
* FRESH keys overtake ROUTINE ones; inside each line, first come, first served. ROUTINE keys that have waited `aging_s`
  take every other turn, so a storm of changes slows resync down but never stops it, nor the other way round.

There is deliberately no payload. A queue that carried *what* happened would tempt reconcilers to act on news instead of
looking at the world, and news is lost on restart. There is no task and no thread either; every operation is O(1), or
O(log n) for due times. Not thread-safe: lives on one loop.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from collections.abc import Hashable
from contextlib import suppress
from typing import Generic, TypeVar

from volant.clock import Clock
from volant.reconcile.duetimes import DueTimes
from volant.reconcile.gate import Gate
from volant.reconcile.measures import Place, Spread
from volant.reconcile.priority import Priority

K = TypeVar("K", bound=Hashable)

AGING_S = 30.0
"""From this wait on ROUTINE keys share the turns: half of a minute's turns are theirs before the minute is over."""

_FRESH = Priority.FRESH


class ShutDown(Exception):
    """The queue hands out nothing any more. Never leaves this package."""


class Workqueue(Generic[K]):
    """Keys to look at, each once, and which of them are being looked at."""

    def __init__(self, clock: Clock, *, gate: Gate | None = None, aging_s: float = AGING_S) -> None:
        self._clock = clock
        self._aging_s = aging_s
        self._gate = gate or Gate(clock)
        self._gate.when_open(self._wake_all)
        # Each maps a key to the time since when it stands in that line. Not dicts: taking the first of a dict whose
        # front was emptied walks over the holes.
        self._fresh: OrderedDict[K, float] = OrderedDict()
        self._routine: OrderedDict[K, float] = OrderedDict()
        self._is_routine_turn = False
        self._working: dict[K, float] = {}
        self._once_more: dict[K, Priority] = {}
        self._due: DueTimes[K] = DueTimes(clock, self.add)
        self._getters: deque[asyncio.Future[None]] = deque()
        self._is_shut = False
        self._idle = asyncio.Event()
        self.latency = Spread()

    def __len__(self) -> int:
        """How many keys wait for a worker now."""
        return len(self._fresh) + len(self._routine)

    @property
    def delayed(self) -> int:
        """How many keys will be added at a later time."""
        return len(self._due)

    @property
    def in_flight(self) -> int:
        """How many keys are being worked on."""
        return len(self._working)

    @property
    def is_shut_down(self) -> bool:
        """Whether the queue takes and gives nothing any more."""
        return self._is_shut

    def oldest_age_s(self) -> float:
        """How long the longest-waiting head of a line has stood there; 0 when no key waits."""
        heads = [next(iter(line.values())) for line in (self._fresh, self._routine) if line]
        return self._clock.monotonic() - min(heads) if heads else 0.0

    def running_s(self) -> list[float]:
        """How long each key that is being worked on has been so."""
        now = self._clock.monotonic()
        return [now - since for since in self._working.values()]

    def place(self, key: K) -> tuple[Place, float | None]:
        """Where `key` is, and since when it is there; of a delayed one, until when. Times are monotonic."""
        if key in self._working:
            return "working", self._working[key]
        since = self._fresh.get(key, self._routine.get(key))
        if since is not None:
            return "waiting", since
        due = self._due.due(key)
        return ("idle", None) if due is None else ("delayed", due)

    def add(self, key: K, priority: Priority = _FRESH) -> None:
        """Somebody should look at `key`. Never blocks; costs nothing when the key waits already."""
        if self._is_shut:
            return
        if key in self._working:
            self._once_more[key] = min(priority, self._once_more.get(key, priority))
            return
        if key in self._fresh:
            return
        line = self._fresh
        if priority is not _FRESH:
            line = self._routine
            if key in line:
                return
        elif self._routine:
            self._routine.pop(key, None)
        line[key] = self._clock.monotonic()
        if self._getters and self._gate.is_open:
            self._wake_one()

    def add_after(self, key: K, seconds: float, priority: Priority = _FRESH) -> None:
        """Add `key` in `seconds`, at once when that is not positive. Of several asks the earliest counts."""
        if self._is_shut:
            return
        if seconds > 0:
            self._due.put(key, self._clock.monotonic() + seconds, priority)
        else:
            self.add(key, priority)

    async def get(self) -> K:
        """The next key, which is the caller's alone until `done`. Cancel-safe. Raises ShutDown."""
        while not (self._gate.is_open and (self._fresh or self._routine)):
            if self._is_shut:
                raise ShutDown
            await self._nap()
        return self._take()

    def done(self, key: K) -> None:
        """The caller has ended its work on `key`; due exactly once for each `get`."""
        if self._working.pop(key, None) is None:
            raise RuntimeError(f"cannot end the work on {key!r}: nobody was handed it")
        if self._once_more:
            priority = self._once_more.pop(key, None)
            if priority is not None:
                self.add(key, priority)
        if self._is_shut and not self._working:
            self._idle.set()

    def shutdown(self) -> None:
        """Take and give nothing any more. What waits is dropped: the next start looks at every key anyway."""
        self._is_shut = True
        for line in (self._fresh, self._routine, self._once_more, self._due):
            line.clear()
        if not self._working:
            self._idle.set()
        self._wake_all()

    async def drain(self, deadline_s: float) -> bool:
        """Shut down and wait for the work under way; whether all of it ended within `deadline_s`."""
        self.shutdown()
        try:
            async with asyncio.timeout(deadline_s):
                await self._idle.wait()
        except TimeoutError:
            return False
        return True

    def _take(self) -> K:
        now = self._clock.monotonic()
        key, since = self._next_line(now).popitem(last=False)
        self._working[key] = now
        if self._due:
            self._due.discard(key)
        self.latency.add(now - since)
        return key

    def _next_line(self, now: float) -> OrderedDict[K, float]:
        if not self._routine:
            return self._fresh
        if not self._fresh:
            return self._routine
        is_aged = now - next(iter(self._routine.values())) >= self._aging_s
        self._is_routine_turn = is_aged and not self._is_routine_turn
        return self._routine if self._is_routine_turn else self._fresh

    async def _nap(self) -> None:
        getter = asyncio.get_running_loop().create_future()
        self._getters.append(getter)
        try:
            await getter
        except asyncio.CancelledError:
            with suppress(ValueError):
                self._getters.remove(getter)
            if not getter.cancelled():
                # It was woken and cancelled in the same breath: the key that woke it must wake another.
                self._wake_one()
            raise

    def _wake_one(self) -> None:
        while self._getters:
            getter = self._getters.popleft()
            if not getter.done():
                getter.set_result(None)
                return

    def _wake_all(self) -> None:
        while self._getters:
            self._wake_one()
