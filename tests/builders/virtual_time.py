"""Tests in virtual time: `@virtual` makes one of an `async def`. The loop is the one that forecasts run on."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from volant.daemon.forecast.virtual_time import (
    EPOCH,
    Deadlock,
    Runaway,
    Unhandled,
    VirtualClock,
    VirtualTimeLoop,
    run_virtual,
)

__all__ = [
    "EPOCH",
    "Deadlock",
    "Runaway",
    "Unhandled",
    "VirtualClock",
    "VirtualTimeLoop",
    "run_virtual",
    "settle",
    "virtual",
]


def virtual(test: Callable[[VirtualClock], Coroutine[Any, Any, None]]) -> Callable[[], None]:
    """Make a test of an `async def test_x(clock)`: it runs on virtual time."""

    def run() -> None:
        run_virtual(test)

    # Not functools.wraps: pytest would follow it to the signature and look for a fixture called clock.
    run.__name__, run.__doc__, run.__module__ = test.__name__, test.__doc__, test.__module__
    return run


async def settle(turns: int = 20) -> None:
    """Let everything that is ready run, without letting time pass."""
    for _ in range(turns):
        await asyncio.sleep(0)
