"""Keys that are to be added later: one heap and one timer for all of them.

    put(key, due) ──▶ [ heap ] ──loop.call_at──▶ ring ──▶ wake(key, priority)

A key has at most one due time, the earliest asked for (Q9). There is deliberately no task and no timer per key: ten
thousand delayed keys cost ten thousand heap entries.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Hashable
from heapq import heapify, heappop, heappush
from itertools import count
from typing import Generic, TypeVar

from volant.clock import Clock
from volant.reconcile.priority import Priority

K = TypeVar("K", bound=Hashable)

_SPARE = 64
"""Dead entries the heap may hold besides as many as there are live ones; keeps sweeping rare and memory bounded."""


_Entry = tuple[float, int, K, Priority]


class DueTimes(Generic[K]):
    """When which key is due. Calls `wake` on the loop, once a key, not before its time."""

    def __init__(self, clock: Clock, wake: Callable[[K, Priority], None]) -> None:
        self._clock = clock
        self._wake = wake
        self._live: dict[K, _Entry[K]] = {}
        self._heap: list[_Entry[K]] = []
        self._order = count()
        self._timer: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        return len(self._live)

    def put(self, key: K, due: float, priority: Priority) -> None:
        """Ask for `key` at `due` (monotonic). Of several asks the earliest time and the highest priority count."""
        known = self._live.get(key)
        if known is not None:
            due, priority = min(due, known[0]), min(priority, known[3])
            if (due, priority) == (known[0], known[3]):
                return
        entry = (due, next(self._order), key, priority)
        self._live[key] = entry
        heappush(self._heap, entry)
        self._sweep()
        self._arm()

    def due(self, key: K) -> float | None:
        """When (monotonic) `key` is due; None when it is not."""
        entry = self._live.get(key)
        return None if entry is None else entry[0]

    def discard(self, key: K) -> None:
        """Nobody needs `key` later any more. Harmless when nobody did."""
        if self._live.pop(key, None) is not None and not self._live:
            self.clear()

    def clear(self) -> None:
        """Forget every key."""
        self._live.clear()
        self._heap.clear()
        self._disarm()

    def _ring(self, when: float) -> None:
        self._timer = None
        # The loop may ring early by its clock's resolution: what is due at `when` is due now, or it would ring again.
        now = max(when, self._clock.monotonic())
        while self._heap and self._heap[0][0] <= now:
            entry = heappop(self._heap)
            if self._live.get(entry[2]) is entry:
                del self._live[entry[2]]
                self._wake(entry[2], entry[3])
        self._arm()

    def _arm(self) -> None:
        heap = self._heap
        while heap and self._live.get(heap[0][2]) is not heap[0]:
            heappop(heap)
        if not heap:
            return
        when = heap[0][0]
        if self._timer is not None:
            if self._timer.when() <= when:
                return  # because a ring with nothing due costs less than another timer for each discarded key
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_at(when, self._ring, when)

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _sweep(self) -> None:
        if len(self._heap) > 2 * len(self._live) + _SPARE:
            self._heap = list(self._live.values())
            heapify(self._heap)
