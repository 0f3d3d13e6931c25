"""Readers of event streams that come and go, in virtual time; each is judged as it reads.

    GET /events ──ASGI──▶ Stream ──▶ wire, open or blocked ──▶ notes ──▶ Case: exactly the log, or told where it is cut

Reading goes through the API of the daemon of the moment. A reader keeps to what the documents say: it comes again with
the last place that it was given, and forgets it when it is told so.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Mapping
from typing import Any, cast

from tests.builders.machine_client import Client, Request, Served
from tests.builders.watch_judge import Case, Judge
from tests.builders.watchers import FORGET, Note, Query

from volant.model.event import REFERENCE_VM_EVENTS

_QUERIES = (
    Query("/events", lambda _: True),
    Query("/events/vms", lambda o: o["kind"] == "VM", REFERENCE_VM_EVENTS),
    Query("/events?deployment=api", lambda o: o["deployment"] == "api"),
    Query("/events?kinds=VM,Plugin&plugin=hello", lambda o: o["kind"] != "Deployment" and o["plugin"] == "hello"),
)
QUERIES: Mapping[str, Query] = {query.path: query for query in _QUERIES}
"""By path, as they are drawn and shown."""


class Reader:
    """One reader. `has_state`: it begins with the objects as they are. `is_lines`: in lines of JSON, else SSE."""

    def __init__(
        self, client: Client, case: Case, query: Query, *, after: int | None, has_state: bool, is_lines: bool
    ) -> None:
        self.case = case
        self._client = client
        self._query = query
        self._has_state = has_state
        self._is_lines = is_lines
        self._last = after
        self._notes: list[Note] = []
        self._told: list[Note] = []
        self._served: Served | None = None
        self._task: asyncio.Task[None] | None = None
        self._may_go_on = asyncio.Event()
        self._may_go_on.set()
        self._hung_up = asyncio.Event()

    def __repr__(self) -> str:
        near = "\n  ".join(map(repr, self._told[-8:]))
        return f"{self._query.path} initial={self._has_state} lines={self._is_lines} last={self._last}\n  {near}"

    @property
    def is_reading(self) -> bool:
        """Whether there is a stream."""
        return self._task is not None

    def come(self) -> None:
        """Open a stream, where the last one ended."""
        served = self._client.served
        if served is None or self._task is not None:
            return
        self._served, self._hung_up = served, asyncio.Event()
        self._notes.append(Note("open", self._last, served.life.store.revision))
        self._task = asyncio.create_task(self._read(served, self._hung_up))

    async def leave(self) -> None:
        """Hang up."""
        self._hung_up.set()
        self._may_go_on.set()
        if self._task is not None:
            await asyncio.wait([self._task])

    def pause(self, *, is_paused: bool) -> None:
        """Take nothing from the wire for now."""
        if is_paused:
            self._may_go_on.clear()
        else:
            self._may_go_on.set()

    def look(self) -> None:
        """Judge what was read since the last look. Raises AssertionError."""
        task, served = self._task, self._served
        if task is not None and served is not None and served.life.is_dead:
            task.cancel()
        is_over = task is not None and (task.done() or task.cancelling() > 0)
        if is_over:
            self._task = None
            self._notes.append(Note("end"))
        notes, self._notes = self._notes, []
        for note in notes:
            self._told.append(note)
            self.case.hear(note)
        if is_over:
            # As any client: what it does not have whole it does not have.
            self._last = self.case.cursor
            if task is not None and task.done() and not task.cancelled():
                task.result()

    async def _read(self, served: Served, hung_up: asyncio.Event) -> None:
        unread = [{"type": "http.request", "body": b"", "more_body": False}]
        status = 0

        async def receive() -> dict[str, Any]:
            if unread:
                return unread.pop()
            await hung_up.wait()
            return {"type": "http.disconnect"}

        async def send(message: dict[str, Any]) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                return
            await self._may_go_on.wait()
            if served.life.is_dead or hung_up.is_set():
                return
            if status != 200:
                self._notes.append(Note("refused", None, json.loads(message["body"])))
            elif message["body"]:
                self._notes += self._heard(message["body"])

        await served.app(self._request().scope(), cast("Any", receive), cast("Any", send))

    def _request(self) -> Request:
        mark = "&" if "?" in self._query.path else "?"
        headers = (("accept", "application/x-ndjson"),) if self._is_lines else ()
        path = self._query.path + (f"{mark}initial=true" if self._has_state else "")
        if self._last is None:
            return Request("GET", path, headers=headers)
        return Request("GET", path, headers=(*headers, ("last-event-id", str(self._last))))

    def _heard(self, body: bytes) -> Iterator[Note]:
        if self._is_lines:
            for line in body.splitlines():
                said = json.loads(line)
                is_to_forget = said["id"] is None and said["event"] == "reset" and "oldest" in said["data"]
                yield Note(said["event"], FORGET if is_to_forget else said["id"], said["data"])
            return
        for block in body.decode().split("\n\n")[:-1]:
            fields = {name: text.strip() for name, _, text in (line.partition(":") for line in block.split("\n"))}
            place = int(fields["id"] or FORGET) if "id" in fields else None
            yield Note(fields.get("event", "beat"), place, json.loads(fields["data"]) if "data" in fields else None)


class Readers:
    """All of them, and the judge who has read the whole log."""

    def __init__(self, client: Client) -> None:
        self.judge = Judge((), {})
        self.all: list[Reader] = []
        self._client = client
        self._learnt = 0

    def admit(self, path: str, *, after: int | None = None, has_state: bool, is_lines: bool) -> None:
        """One more, who begins after a revision or now."""
        query = QUERIES[path]
        case = Case(query, has_state, self.judge)
        self.all.append(Reader(self._client, case, query, after=after, has_state=has_state, is_lines=is_lines))
        self.all[-1].come()

    def look(self) -> None:
        """Judge everybody. Raises AssertionError with what the reader was told last."""
        log = self._client.world.oracles.replay.events
        self.judge.learn(log[self._learnt :])
        self._learnt = len(log)
        for reader in self.all:
            try:
                reader.look()
            except AssertionError as error:
                raise AssertionError(f"W: {error}\n{reader!r}") from error

    async def all_come(self) -> None:
        """Whoever has left comes again, and nobody pauses."""
        for reader in self.all:
            reader.pause(is_paused=False)
        for _ in range(3):
            await self._client.world.clock.sleep(0.1)
            self.look()
            for reader in self.all:
                reader.come()

    def all_know(self) -> None:
        """Everybody who reads has been told everything. Raises AssertionError."""
        self.look()
        for reader in self.all:
            assert reader.is_reading, f"has no stream: {reader!r}"
            assert reader.case.cursor == self._learnt, f"ends at {reader.case.cursor} of {self._learnt}: {reader!r}"
