"""Time, chance and identity, handed in.

Nothing in Volant asks the machine what time it is: whoever needs to know is given a `Clock`. A test that hands in its
own clock, seed and uid factory replays a run exactly.

Wall time (`Instant`: seconds since the Unix epoch, UTC) is what is stored and shown. Monotonic time is what waits are
measured with, because the wall clock may jump.
"""

from __future__ import annotations

import os
import time
from datetime import UTC, datetime
from typing import NewType, Protocol

Instant = float
"""Seconds since the Unix epoch, UTC. Stored in objects."""

Uid = NewType("Uid", str)
"""Identity in space and time: 32 hex digits, never reused. What drivers get instead of a name."""


class Clock(Protocol):
    """What time it is, and how to wait for another."""

    def now(self) -> Instant:
        """Wall time in seconds since the epoch. May jump, forwards and backwards."""
        ...

    def monotonic(self) -> float:
        """Seconds from an arbitrary start; never goes back. Same base as the running loop's `time()`."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Wait; other tasks run meanwhile."""
        ...


class UidFactory(Protocol):
    """Hands out identities."""

    def __call__(self) -> Uid:
        """A uid that was never handed out before."""
        ...


class SystemClock:
    """The machine's own clock."""

    def now(self) -> Instant:
        """Wall time in seconds since the epoch."""
        return time.time()

    def monotonic(self) -> float:
        """The clock the event loop runs on."""
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        """Wait on the event loop."""
        import asyncio  # Who never waits does without: a command that asks one question starts in half the time.

        await asyncio.sleep(seconds)


def random_uid() -> Uid:
    """A fresh uid: 128 random bits."""
    return Uid(os.urandom(16).hex())


def rfc3339(at: Instant) -> str:
    """`2025-01-15T10:30:00Z`; with milliseconds only when there are some, as the reference prints whole seconds."""
    whole = datetime.fromtimestamp(at, UTC)
    # isoformat and a cut: strftime takes five times as long, and there is one of these in every event.
    seconds, millis = whole.isoformat()[:19], whole.microsecond // 1000
    return f"{seconds}.{millis:03d}Z" if millis else f"{seconds}Z"
