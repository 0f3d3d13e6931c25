"""What is told to whoever watches: uids worth a look, and a sign of life when there are none.

    Vmm ──tell(uid)──▶ a queue for each watcher ──watch()──▶ controllers
                                  ╰── at every beat: on_beat, while somebody watches

A beat is also when the logs of the living are looked at: what they may grow by between two is what they can hold too
much. There is no timer of its own for it, because a driver that nobody watches is about to go.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable

from volant.clock import Uid


class Hints:
    """The watchers of one driver. `is_trusted` says whether silence means that there is nothing to tell."""

    def __init__(
        self, beat_s: float, *, is_trusted: Callable[[], bool], on_beat: Callable[[], Awaitable[None]]
    ) -> None:
        self._beat_s = beat_s
        self._is_trusted = is_trusted
        self._on_beat = on_beat
        self._watchers: set[asyncio.Queue[Uid | None]] = set()

    def tell(self, uid: Uid | None) -> None:
        """Tell everybody who watches. None: there will be nothing more."""
        for queue in self._watchers:
            queue.put_nowait(uid)

    async def watch(self) -> AsyncGenerator[Uid | None, None]:
        """Everything that is told from now on, and None when there was nothing for a beat. Ends with `tell(None)`."""
        queue: asyncio.Queue[Uid | None] = asyncio.Queue()
        loop = asyncio.get_running_loop()
        beaten_at = loop.time()
        self._watchers.add(queue)
        try:
            while True:
                if loop.time() - beaten_at >= self._beat_s:
                    beaten_at = loop.time()
                    await self._on_beat()
                try:
                    async with asyncio.timeout(self._beat_s):
                        uid = await queue.get()
                except TimeoutError:
                    # What is told in the instant in which the beat ends is told first.
                    if queue.empty() and self._is_trusted():
                        yield None
                    continue
                if uid is None:
                    return
                yield uid
        finally:
            self._watchers.discard(queue)
