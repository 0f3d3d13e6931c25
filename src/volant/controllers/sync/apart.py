"""Blocking work in a thread of its own, which is not waited for beyond a second at the end.

Not the loop's executor: that is joined when the loop ends, and a large set takes longer to read than a daemon may take
to stop. The thread changes nothing but a temporary directory.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

LAST_S = 1.0
"""How long work may take to end once it is told to, before it is left alone."""

T = TypeVar("T")
F = TypeVar("F")


async def apart(work: Callable[[], T], end: Callable[[], None]) -> T:
    """What `work` gives, run in a thread; raises what it raises. `end` is called when nobody wants it any more."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[T] = loop.create_future()

    def run() -> None:
        try:
            found = work()
        except BaseException as error:  # noqa: BLE001 -- because it is raised where it is waited for
            _told(loop, future.set_exception, future, error)
        else:
            _told(loop, future.set_result, future, found)

    threading.Thread(target=run, name="sync", daemon=True).start()
    try:
        # Awaited itself, it would be cancelled together with who awaits it.
        await asyncio.wait([future])
    except asyncio.CancelledError:
        end()
        # A git that is not ended before this process is would be nobody's.
        await asyncio.wait([future], timeout=LAST_S)
        if future.done():
            future.exception()  # Looked at, so that nobody is told that nobody did.
        raise
    return future.result()


def _told(loop: asyncio.AbstractEventLoop, tell: Callable[[T], None], future: asyncio.Future[F], value: T) -> None:
    def deliver() -> None:
        if not future.done():
            tell(value)

    with suppress(RuntimeError):  # The loop is gone, and with it whoever asked.
        loop.call_soon_threadsafe(deliver)
