"""Waiting for an observed state: the bus says when to look again, the store says what is so.

A wait ends when it is so, when its bound has passed, or when the daemon stops; never by itself in any other way. What
changed is not passed on: whoever waits looks at the row.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Literal

from volant.bus import Bus
from volant.model.event import Committed
from volant.model.meta import Key

WaitEnd = Literal["reached", "timeout", "stopping"]


class Waits:
    """Who waits for which key. One listener on the bus for all, so a commit costs its events and not the waits."""

    def __init__(self, bus: Bus, stopping: asyncio.Event) -> None:
        self._stopping = stopping
        self._waiting: dict[Key, set[asyncio.Future[None]]] = {}
        bus.listen(self._published)

    async def until(self, key: Key, is_reached: Callable[[], bool], bound_s: float) -> WaitEnd:
        """Look now and after each change of `key`; at most `bound_s` seconds. Raises what `is_reached` raises."""
        if is_reached():
            return "reached"
        try:
            async with asyncio.timeout(bound_s) as bound, asyncio.TaskGroup() as tasks:
                stop = tasks.create_task(self._end_at_stop(bound))
                while not is_reached():
                    await self._changed(key)
                stop.cancel()
        except TimeoutError:
            return "stopping" if self._stopping.is_set() else "timeout"
        except ExceptionGroup as group:
            raise group.exceptions[0] from None
        return "reached"

    async def _end_at_stop(self, bound: asyncio.Timeout) -> None:
        await self._stopping.wait()
        bound.reschedule(asyncio.get_running_loop().time())

    async def _changed(self, key: Key) -> None:
        future = asyncio.get_running_loop().create_future()
        waiting = self._waiting.setdefault(key, set())
        waiting.add(future)
        try:
            await future
        finally:
            waiting.discard(future)
            if not waiting and self._waiting.get(key) is waiting:
                del self._waiting[key]

    def _published(self, batch: Sequence[Committed]) -> None:
        if not self._waiting:
            return
        for key in {event.key for event in batch}:
            for future in self._waiting.get(key, ()):
                if not future.done():
                    future.set_result(None)
