"""Random readers of event streams: what they ask for, and what they make of the answers.

    Watcher ──connects, reads, stalls, hangs up, comes again with its last id──▶ notes ──▶ tests.builders.watch_judge

A watcher keeps to the rules that an EventSource keeps to, and to those that the documents give to readers of lines.
"""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from tests.builders.server import EventReader, Served

from volant.model.event import REFERENCE_VM_EVENTS

Seen = Mapping[str, Any]
"""Of an object, as an event or a state tells of it: kind, name, plugin, deployment, labels."""


class Query(NamedTuple):
    """A stream to ask for; `of` says of which objects it is, `types` which of their events are shown (None: all)."""

    path: str
    of: Callable[[Seen], bool]
    types: frozenset[str] | None = None


def _all(_: Seen) -> bool:
    return True


def _is_tiered_and_not_web(labels: Mapping[str, str]) -> bool:
    return labels.get("app") != "web" and "tier" in labels


_SOME = frozenset({"vm.created", "vm.deleted", "plugin.disabled"})

QUERIES: Sequence[Query] = (
    Query("/events", _all),
    Query("/events/vms", lambda o: o["kind"] == "VM", REFERENCE_VM_EVENTS),
    Query("/events/deployments", lambda o: o["kind"] == "Deployment"),
    Query("/events/plugins?names=one,none", lambda o: o["kind"] == "Plugin" and o["name"] == "one"),
    Query("/events?kinds=VM,Plugin", lambda o: o["kind"] in ("VM", "Plugin")),
    Query("/events?kind=VM&label_selector=app%3Dweb", lambda o: o["kind"] == "VM" and o["labels"].get("app") == "web"),
    Query(
        "/events?label_selector=app!%3Dweb,tier", lambda o: o["labels"].get("app") != "web" and "tier" in o["labels"]
    ),
    Query("/events?plugin=one", lambda o: o["plugin"] == "one"),
    Query("/events?deployment=web", lambda o: o["deployment"] == "web"),
    Query("/events?names=vm-1,vm-2,web", lambda o: o["name"] in ("vm-1", "vm-2", "web")),
    Query(
        "/events?types=vm.created,vm.deleted,plugin.disabled",
        _all,
        frozenset({"vm.created", "vm.deleted", "plugin.disabled"}),
    ),
    Query("/events?name=nobody", lambda o: o["name"] == "nobody"),
)


class Note(NamedTuple):
    """One thing that happened to a watcher. `place` FORGET: what it had is worth nothing; None: nothing was said."""

    what: str
    place: int | None = None
    data: Any = None


FORGET = -1

STALL = 2000
"""Events: about a megabyte."""


@dataclass
class Show:
    """What watchers look at: the daemon while there is one, and the last revision once there will be no more."""

    api: Served | None = None
    final: int | None = None

    async def comes_to(self, is_so: Callable[[Served], bool]) -> None:
        """Return when it is so, when the daemon goes or when nothing more will be written."""
        api = self.api
        while api is not None and api is self.api and self.final is None and not is_so(api):
            await asyncio.sleep(0.002)


class Watcher:
    """One reader with habits of its own: what it asks for, in which form, how fast it reads, how often it leaves."""

    def __init__(self, number: int, seed: int) -> None:
        self._rng = rng = random.Random(seed * 1000 + number)
        self.query = QUERIES[number % len(QUERIES)]
        self.has_state = (number + seed) % 2 == 0
        self.is_lines = (number + seed) % 5 < 2
        self.notes: list[Note] = []
        self._last = None if self.has_state else rng.choice([None, 0])
        self._is_whole = True

    def __repr__(self) -> str:
        return f"{self.query.path} initial={self.has_state} lines={self.is_lines}"

    async def live(self, show: Show) -> None:
        """Come and go until everything has been seen."""
        while not self._has_seen_all(show):
            if show.api is None:
                await asyncio.sleep(0.005)
                continue
            try:
                await self._visit(show, show.api)
            except (OSError, asyncio.IncompleteReadError):
                await asyncio.sleep(0.005)
            if self._last is not None and self._rng.random() < 0.3:
                await self._sleep_late(show, self._last)

    def _has_seen_all(self, show: Show) -> bool:
        return show.final is not None and self._is_whole and self._last is not None and self._last >= show.final

    async def _visit(self, show: Show, api: Served) -> None:
        path, headers = self._asks()
        before = api.store.revision
        stream = await api.open(path, **headers)
        self.notes.append(Note("open", self._last, before))
        try:
            await self._listen(show, api, stream)
        finally:
            self.notes.append(Note("end"))
            await stream.close()

    def _asks(self) -> tuple[str, dict[str, str]]:
        asks = ["initial=true"] if self.has_state else []
        headers = {"Accept": "application/x-ndjson"} if self.is_lines else {}
        if self._last is not None and self.is_lines:
            asks.append(f"since={self._last}")
        elif self._last is not None:
            headers["Last_Event_ID"] = str(self._last)
        mark = "&" if "?" in self.query.path else "?"
        return self.query.path + (mark + "&".join(asks) if asks else ""), headers

    async def _listen(self, show: Show, api: Served, stream: EventReader) -> None:
        if stream.status != 200:
            said = json.loads(await stream.body())
            self.notes.append(Note("refused", None, said))
            if said["code"] == "event_gone":
                self._last = None
            return
        patience = self._rng.choice([3, 40, 400, 4000])
        while not self._has_seen_all(show) and (note := await self._next(stream)) is not None:
            self._take(note)
            patience -= 1
            if show.final is None and patience <= 0:
                return
            if self._rng.random() < 0.003:
                # Beyond what sockets and buffers can hold, so that it is cut off.
                await self._stall(show, api.store.revision + STALL)

    async def _sleep_late(self, show: Show, last: int) -> None:
        await show.comes_to(lambda api: api.store.oldest_event > last)

    async def _stall(self, show: Show, upto: int) -> None:
        await show.comes_to(lambda api: api.store.revision > upto)

    def _take(self, note: Note) -> None:
        self.notes.append(note)
        if note.what.endswith(".state") or note.place == FORGET:
            self._is_whole = False
        if note.what == "bookmark":
            self._is_whole = True
        place = note.data["last"] if note.what == "reset" and note.place is None else note.place
        if place is not None:
            self._last = None if place == FORGET else place

    async def _next(self, stream: EventReader) -> Note | None:
        if self.is_lines:
            line = await stream.line()
            if line is None:
                return None
            place = line["id"]
            if place is None and line["event"] == "reset" and "oldest" in line["data"]:
                place = FORGET
            return Note(line["event"], place, line["data"])
        block = await stream.block()
        if block is None:
            return None
        fields = {name: text.strip() for name, _, text in (line.partition(":") for line in block.split("\n"))}
        place = int(fields["id"] or FORGET) if "id" in fields else None
        return Note(fields.get("event", "beat"), place, json.loads(fields["data"]) if "data" in fields else None)
