"""Waiting for an observed state: the bus says when to look again, the store says what is so.

A wait ends when it is so, when its bound has passed, or when the daemon stops; never by itself in any other way. What
changed is not passed on: whoever waits looks at the row.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
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

    async def until(
        self,
        key: Key,
        is_reached: Callable[[], bool],
        bound_s: float,
        *,
        also: Key | None = None,
        gone: Callable[[], Awaitable[object]] | None = None,
    ) -> WaitEnd:
        """Look now and after each change of `key` (or `also`); at most `bound_s` seconds. Raises what the look raises.

        With a bound of 0 it is looked once. When `gone` returns nobody wants to know any more, and the bound has come.
        """
        if is_reached():
            return "reached"
        try:
            async with asyncio.timeout(bound_s) as bound, asyncio.TaskGroup() as tasks:
                ends = [tasks.create_task(_end_after(self._stopping.wait, bound))]
                if gone is not None:
                    ends.append(tasks.create_task(_end_after(gone, bound)))
                while not is_reached():
                    await self._changed((key,) if also is None else (key, also))
                for end in ends:
                    end.cancel()
        except TimeoutError:
            return "stopping" if self._stopping.is_set() else "timeout"
        except ExceptionGroup as group:
            raise group.exceptions[0] from None
        return "reached"

    async def over(self, what: Awaitable[object], bound_s: float) -> WaitEnd:
        """Wait for `what`, at most `bound_s` seconds."""
        try:
            async with asyncio.timeout(bound_s) as bound, asyncio.TaskGroup() as tasks:
                end = tasks.create_task(_end_after(self._stopping.wait, bound))
                await what
                end.cancel()
        except TimeoutError:
            return "stopping" if self._stopping.is_set() else "timeout"
        return "reached"

    async def _changed(self, keys: Sequence[Key]) -> None:
        future = asyncio.get_running_loop().create_future()
        for key in keys:
            self._waiting.setdefault(key, set()).add(future)
        try:
            await future
        finally:
            for key in keys:
                self._forget(key, future)

    def _forget(self, key: Key, future: asyncio.Future[None]) -> None:
        waiting = self._waiting[key]
        waiting.discard(future)
        if not waiting:
            del self._waiting[key]

    def _published(self, batch: Sequence[Committed]) -> None:
        if not self._waiting:
            return
        for key in {event.key for event in batch}:
            for future in self._waiting.get(key, ()):
                if not future.done():
                    future.set_result(None)


async def _end_after(event: Callable[[], Awaitable[object]], bound: asyncio.Timeout) -> None:
    await event()
    bound.reschedule(asyncio.get_running_loop().time())
