"""A gate: while it is closed, nobody is handed anything to act on.

    store in trouble ──close──▶ [ gate ] ──is_open──▶ every Workqueue that was given it

Volant's controllers share one gate. Whoever learns that acting would be blind (the store cannot be written, so what is
done could not be recorded) closes it, and all controllers stop acting together and go on alone afterwards (S4).

There can be several reasons at once; the gate is open when none is left. Turns that are under way are not interrupted:
they meet the same trouble on their own. Not thread-safe: lives on one loop.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from volant.clock import Clock


class Gate:
    """Open, or closed for one or more reasons."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._reasons: dict[str, asyncio.TimerHandle | None] = {}
        self._on_open: list[Callable[[], None]] = []
        self._opened = asyncio.Event()
        self._opened.set()
        self.is_open = True

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why it is closed; empty when it is open."""
        return tuple(self._reasons)

    @property
    def opens_at(self) -> float | None:
        """When (monotonic) it opens by itself; None when it is open, or closed until somebody opens it."""
        ends = [None if timer is None else timer.when() for timer in self._reasons.values()]
        known = [end for end in ends if end is not None]
        return max(known) if known and len(known) == len(ends) else None

    def close(self, reason: str) -> None:
        """Close until somebody calls `open` with the same reason."""
        self._forget_timer(reason)
        self._shut(reason, None)

    def close_for(self, seconds: float, reason: str) -> None:
        """Close for a while. A later end replaces an earlier one of the same reason; an endless closure stays."""
        until = self._clock.monotonic() + seconds
        if reason in self._reasons:
            timer = self._reasons[reason]
            if timer is None or timer.when() >= until:
                return
            timer.cancel()
        self._shut(reason, asyncio.get_running_loop().call_at(until, self.open, reason))

    def open(self, reason: str) -> None:
        """Take back a reason. Harmless when it was none."""
        self._forget_timer(reason)
        self._reasons.pop(reason, None)
        if not self._reasons and not self.is_open:
            self.is_open = True
            self._opened.set()
            for wake in self._on_open:
                wake()

    async def wait(self) -> None:
        """Return when it is open. It may be closed again by the time the caller runs."""
        await self._opened.wait()

    def when_open(self, wake: Callable[[], None]) -> None:
        """Call `wake` each time the gate opens, for as long as the gate lives."""
        self._on_open.append(wake)

    def _shut(self, reason: str, timer: asyncio.TimerHandle | None) -> None:
        self._reasons[reason] = timer
        self.is_open = False
        self._opened.clear()

    def _forget_timer(self, reason: str) -> None:
        timer = self._reasons.get(reason)
        if timer is not None:
            timer.cancel()
