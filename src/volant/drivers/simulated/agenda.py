"""What will happen in the simulated world, and when.

    at(when, happen) ──▶ [ heap ] ──timer of the loop, or the next look──▶ happen()

One timer for the whole world: it wakes those who watch. What is due has also happened for whoever looks before the
timer rings, and a world whose loop is gone goes on with the next loop.
"""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Callable

from volant.clock import Clock


class Agenda:
    """Callbacks in order of monotonic time, first come first served at the same instant."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._due: list[tuple[float, int, Callable[[], None]]] = []
        self._count = 0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._timer: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        """How much is still to happen."""
        return len(self._due)

    def after(self, seconds: float, happen: Callable[[], None]) -> None:
        """`happen` in so many seconds; now when that is not positive."""
        if seconds <= 0:
            happen()
            return
        self._count += 1
        heapq.heappush(self._due, (self._clock.monotonic() + seconds, self._count, happen))
        self.arm()

    def advance(self) -> None:
        """Let everything happen that is due."""
        now = self._clock.monotonic()
        while self._due and self._due[0][0] <= now:
            heapq.heappop(self._due)[2]()

    def arm(self) -> None:
        """Have the running loop, if there is one, ring when the next thing is due."""
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            return
        if not self._due:
            return
        when = self._due[0][0]
        if self._timer is not None and self._loop is loop and not self._timer.cancelled():
            if self._timer.when() <= when:
                return
            self._timer.cancel()
        self._loop = loop
        self._timer = loop.call_at(when, self._ring)

    def _ring(self) -> None:
        self._timer = None
        self.advance()
        self.arm()
