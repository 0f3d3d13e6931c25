"""Streams in virtual time: a wire that can be blocked, over a real store and a real bus.

async with a_house(clock) as house:
    wire = Wire()
    tasks.create_task(house.stream(wire).run(None))
    await settle()
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from tests.builders.objects import a_plugin, uid_of
from tests.builders.server import FACTS, Frame, Health
from tests.builders.virtual_time import VirtualClock

from volant.api import Deps
from volant.api.frames import SSE, Format, Wanted
from volant.api.stream import Stream, Streams
from volant.bus import Bus
from volant.clock import random_uid
from volant.model.event import Happening
from volant.store import Store, StoreSettings


class Wire:
    """What the server would put on the socket. While `is_blocked`, nothing goes out and `send` waits."""

    def __init__(self) -> None:
        self.writes: list[bytes] = []
        self.has_ended = False
        self.is_blocked = False
        self.unblocked = asyncio.Event()
        self.hung_up = asyncio.Event()

    async def send(self, message: dict[str, Any]) -> None:
        if self.is_blocked:
            await self.unblocked.wait()
        if message["body"]:
            self.writes.append(message["body"])
        self.has_ended = not message["more_body"]

    async def gone(self) -> None:
        await self.hung_up.wait()

    @property
    def text(self) -> str:
        return b"".join(self.writes).decode()

    @property
    def frames(self) -> list[Frame]:
        """The events of a stream of SSE; an empty id is -1."""
        found = []
        for block in self.text.split("\n\n"):
            fields = dict(line.partition(":")[::2] for line in block.split("\n"))
            if "data" in fields:
                number = fields.get("id")
                place = None if number is None else int(number) if number.strip() else -1
                found.append(Frame(place, fields["event"].strip(), json.loads(fields["data"])))
        return found


class House:
    """A store, a bus and streams on virtual time."""

    def __init__(self, clock: VirtualClock, directory: str, ring_events: int, **settings: Any) -> None:
        bus = Bus(ring_events)
        how = StoreSettings(inline=True, synchronous="off", **settings)
        path = Path(directory) / "volant.db"
        store = Store.open(path, bus=bus, clock=clock, uids=random_uid, pool="127.88.0.0/24", settings=how)
        self.stopping = asyncio.Event()
        self.deps = Deps(store=store, bus=bus, clock=clock, stopping=self.stopping, info=lambda: FACTS, health=Health())
        self.streams = Streams(bus)

    async def commit(self, count: int = 1) -> None:
        """So many events."""
        for _ in range(count):
            name = f"p-{self.deps.store.revision}"
            await self.deps.store.create(a_plugin(name, uid=uid_of(name)), Happening(type="plugin.installed"))

    def stream(
        self, wire: Wire, wanted: Wanted | None = None, form: Format = SSE, *, has_state: bool = False
    ) -> Stream:
        """A stream to that wire, to be run."""
        return Stream(self.deps, self.streams, wanted or Wanted(), form, wire.send, wire.gone, has_state=has_state)


@asynccontextmanager
async def a_house(clock: VirtualClock, ring_events: int = 64, **settings: Any) -> AsyncIterator[House]:
    """One that is closed at the end; `settings` are fields of StoreSettings."""
    with TemporaryDirectory() as directory:
        house = House(clock, directory, ring_events, **settings)
        yield house
        await house.deps.store.close()
