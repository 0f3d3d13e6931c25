"""A controller that runs in virtual time, and a reconcile that follows a script."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from itertools import pairwise
from typing import Any

from tests.builders.virtual_time import VirtualClock, settle

from volant.reconcile import DONE, Backoff, Controller, Outcome


def a_controller(clock: VirtualClock, reconcile: Callable[[str], Awaitable[Outcome]], **knobs: Any) -> Controller[str]:
    """A controller that resyncs nothing and practically never, unless told otherwise."""
    settings: dict[str, Any] = {"rng": random.Random(1), "resync_keys": list, "resync_s": 1e9, "workers": 2}
    return Controller("test", reconcile, clock=clock, **settings | knobs)


@asynccontextmanager
async def running(*controllers: Controller[Any]) -> AsyncIterator[None]:
    """The controllers run inside the block and are cancelled at its end."""
    async with asyncio.TaskGroup() as tasks:
        runs = [tasks.create_task(controller.run(), name=f"run {controller.name}") for controller in controllers]
        await settle()
        yield
        for run in runs:
            run.cancel()


class Turns:
    """A reconcile that follows a script: raises or returns what is next in it, DONE when it is over."""

    def __init__(self, clock: VirtualClock, *script: Outcome | BaseException, takes_s: float = 0.0) -> None:
        self._clock = clock
        self._script = list(script)
        self._takes_s = takes_s
        self.at: list[float] = []

    async def __call__(self, key: str) -> Outcome:
        self.at.append(self._clock.monotonic())
        await self._clock.sleep(self._takes_s)
        what = self._script.pop(0) if self._script else DONE
        if isinstance(what, BaseException):
            raise what
        return what

    @property
    def gaps(self) -> list[float]:
        """Seconds between the beginnings of turns."""
        return [later - earlier for earlier, later in pairwise(self.at)]


def plain_backoff(clock: VirtualClock, base_s: float = 1.0) -> Backoff[str]:
    """Doubles from `base_s` to a minute, without jitter."""
    return Backoff(clock, random.Random(1), base_s=base_s, cap_s=60.0, jitter=0.0)
