"""A world put away at rest, and taken out again as often as it is needed: what a story begins with is played once.

    given ──▶ rest ──▶ the daemon is killed ──▶ Frozen ──thaw──▶ World in another loop, at the same time of day
                                                       ──thaw──▶ World ...

Put away are the database file and everything that outlives a daemon: host, cache, users' wishes, what the oracles have
heard. Functions (scripts of a host, say) are shared by all that are taken out; nothing else is.
"""

from __future__ import annotations

import asyncio
import io
import os
import pickle
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FunctionType
from typing import Any, NamedTuple, cast

from tests.builders.virtual_time import VirtualClock
from tests.builders.world import World

SHARED_MEMORY = Path("/dev/shm")


class Frozen(NamedTuple):
    """A world at `at` of its loop, when the wall clock was `epoch` ahead of that."""

    at: float
    epoch: float
    database: bytes
    world: bytes
    functions: list[FunctionType]

    def thaw(self, clock: VirtualClock, directory: Path) -> World:
        """Another world like that, with its database in `directory`, and without a daemon."""
        path = directory / "volant.db"
        path.write_bytes(self.database)
        world = cast("World", _Unpickler(self.world, clock, self.functions).load())
        world.path = path
        return world


def freeze(world: World) -> Frozen:
    """Put a world away that is at rest and whose daemon was killed."""
    assert world.host.is_idle, "something is still to happen on the host"
    with sqlite3.connect(world.path) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
    into, functions = io.BytesIO(), list[FunctionType]()
    _Pickler(into, world.clock, functions).dump(world)
    return Frozen(world.clock.monotonic(), world.clock.epoch, world.path.read_bytes(), into.getvalue(), functions)


@contextmanager
def scratch() -> Iterator[Path]:
    """A directory for the database of one world, in memory where the host has such a place: files cost less there."""
    place = SHARED_MEMORY if os.access(SHARED_MEMORY, os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix="volant-", dir=place) as directory:
        yield Path(directory)


class _Pickler(pickle.Pickler):
    def __init__(self, into: io.BytesIO, clock: VirtualClock, functions: list[FunctionType]) -> None:
        super().__init__(into, protocol=pickle.HIGHEST_PROTOCOL)
        self._clock = clock
        self._functions = functions

    def persistent_id(self, obj: Any) -> Any:
        if obj is self._clock:
            return "clock"
        if isinstance(obj, asyncio.Event):
            return "event"
        if isinstance(obj, (asyncio.AbstractEventLoop, asyncio.TimerHandle)):
            return "none"
        if isinstance(obj, FunctionType):
            self._functions.append(obj)
            return len(self._functions) - 1
        return None


class _Unpickler(pickle.Unpickler):
    def __init__(self, what: bytes, clock: VirtualClock, functions: list[FunctionType]) -> None:
        super().__init__(io.BytesIO(what))
        self._clock = clock
        self._functions = functions

    def persistent_load(self, pid: Any) -> Any:
        if pid == "clock":
            return self._clock
        if pid == "event":
            return asyncio.Event()
        return None if pid == "none" else self._functions[pid]
