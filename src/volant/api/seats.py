"""Who is at the consoles of guests now: how many read them, and the one who is attached to each."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from volant.clock import Uid
from volant.errors import ConsoleInUse, Unavailable

MAX_READERS = 256
"""Consoles that are read at a time: each costs a few files, and a look several times a second."""


class Readers:
    """How many are reading consoles: enter it to be one."""

    def __init__(self) -> None:
        self.count = 0

    def __enter__(self) -> None:
        if self.count >= MAX_READERS:
            raise Unavailable(f"cannot read another console: {MAX_READERS} are being read", code="too_many_logs")
        self.count += 1

    def __exit__(self, *_: object) -> None:
        self.count -= 1


class Seat:
    """The place of whoever is attached to a console. `is_wanted` is set when somebody takes it from them."""

    def __init__(self) -> None:
        self.is_wanted = asyncio.Event()
        self.is_free = asyncio.Event()


class Seats:
    """One seat a console."""

    def __init__(self) -> None:
        self._taken: dict[Uid, Seat] = {}

    @asynccontextmanager
    async def seat(self, uid: Uid, name: str, *, force: bool) -> AsyncIterator[Seat]:
        """Have the seat of a VM for as long as the context lasts. Raises ConsoleInUse, unless it is taken by `force`.

        By force it waits until whoever was there has left: two on one line would mix up what they type.
        """
        while (before := self._taken.get(uid)) is not None:
            if not force:
                raise ConsoleInUse(
                    f"cannot attach to the console of VM {name}: somebody else is",
                    details={"name": name},
                )
            before.is_wanted.set()
            await before.is_free.wait()
        seat = self._taken[uid] = Seat()
        try:
            yield seat
        finally:
            del self._taken[uid]
            seat.is_free.set()
