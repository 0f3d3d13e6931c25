"""Real stores on real files, with a clock that obeys and uids that can be told apart.

    async with a_store(tmp_path) as store: ...

Inline and without waiting for the disk unless told otherwise: such a store behaves the same every time.
"""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from tests.builders.objects import NOW

from volant.bus import Bus
from volant.clock import Clock, Instant, Uid, UidFactory
from volant.model.event import EventType, Happening
from volant.model.vm import VM, NetworkMode
from volant.store import Holder, Store, StoreSettings, Transaction

POOL = "127.88.0.0/24"


class HandClock:
    """A clock that is moved by hand."""

    def __init__(self, now: Instant = NOW) -> None:
        self._now = now
        self._monotonic = 0.0

    def now(self) -> Instant:
        """What it was set to."""
        return self._now

    def monotonic(self) -> float:
        """Seconds it was moved forward by."""
        return self._monotonic

    async def sleep(self, seconds: float) -> None:
        """Nobody waits."""
        self.forward(seconds)

    def forward(self, seconds: float) -> None:
        """Let time pass."""
        self._now += seconds
        self._monotonic += seconds


def counted_uids(start: int = 1) -> UidFactory:
    """Uids 1, 2, 3, ... as 32 hex digits."""
    numbers = itertools.count(start)
    return lambda: Uid(f"{next(numbers):032x}")


def open_store(
    directory: Path,
    *,
    bus: Bus | None = None,
    clock: Clock | None = None,
    uids: UidFactory | None = None,
    pool: str | Mapping[NetworkMode, str] = POOL,
    mode: NetworkMode = "user",
    holder: Holder | None = None,
    **settings: Any,
) -> Store:
    """The store in `directory`; `settings` are fields of StoreSettings."""
    return Store.open(
        directory / "volant.db",
        bus=bus or Bus(),
        clock=clock or HandClock(),
        uids=uids or counted_uids(),
        pool=pool,
        mode=mode,
        holder=holder,
        settings=StoreSettings(**{"inline": True, "synchronous": "off", **settings}),
    )


@asynccontextmanager
async def a_store(directory: Path, **options: Any) -> AsyncIterator[Store]:
    """`open_store`, closed at the end."""
    store = open_store(directory, **options)
    try:
        yield store
    finally:
        await store.close()


def told(event: EventType, **words: Any) -> Happening:
    """What a test says of a write."""
    return Happening(type=event, actor="test", **words)


CREATED = told("vm.created")
UPDATED = told("vm.updated")
STARTED = told("vm.started")
DELETING = told("vm.deleting")
DELETED = told("vm.deleted")


def admit(make: Callable[[Uid, str | None], VM]) -> Callable[[Transaction], VM]:
    """A job that creates what `make(uid, address)` gives, as the API does."""

    def job(tx: Transaction) -> VM:
        uid = tx.new_uid()
        return tx.insert(make(uid, tx.allocate_address(uid)), CREATED)

    return job
