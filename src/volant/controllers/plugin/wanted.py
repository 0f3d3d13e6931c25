"""Long work that ends early when nobody wants its result any more.

A download may take half an hour, and whoever deletes the plugin meanwhile should not wait for it. The row says whether
the work is still wanted, so the row is looked at now and then; no event has to arrive for that.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

from msgspec import Struct

from volant.clock import Clock
from volant.errors import VolantError

T = TypeVar("T")

LOOK_S = 0.5
"""How often to look whether the work is still wanted: a look is one read by key."""


class Ended(Struct, Generic[T], frozen=True):
    """Work that came to its end, with what it gave or raised."""

    value: T | None = None
    error: Exception | None = None


async def while_wanted(
    work: Callable[[], Awaitable[T]], is_wanted: Callable[[], bool], clock: Clock, look_s: float = LOOK_S
) -> T | None:
    """What `work` gives or raises; None when it was cancelled because `is_wanted` turned false before its end."""

    async def run() -> Ended[T]:
        try:
            return Ended(value=await work())
        except Exception as error:  # noqa: BLE001 -- because a task group would wrap it; it is raised again below
            return Ended(error=error)

    def may_be_wanted() -> bool:
        try:
            return is_wanted()
        except VolantError:
            return True  # because a store that cannot be read at the moment says nothing

    async def watch() -> None:
        while may_be_wanted():
            await clock.sleep(look_s)
        working.cancel()

    async with asyncio.TaskGroup() as tasks:
        working = tasks.create_task(run(), name="fetch")
        watching = tasks.create_task(watch(), name="whether the fetch is wanted")
        working.add_done_callback(lambda _: watching.cancel())
    if working.cancelled():
        return None
    ended = working.result()
    if ended.error is not None:
        raise ended.error
    return ended.value
