"""A client of the daemon of the moment, in its process: every request goes through the whole API but for the socket.

    ask(PATCH, /deployments/api, …) ──ASGI──▶ API ──▶ store of the moment ──▶ Reply
                                                          └──▶ events that name the request ──▶ complaints

Whatever is asked, the log must agree with the answer: what was refused or only tried has left no event, and a write
that was bound to a revision has replaced exactly that revision. Which answer a request deserves is not known here.
"""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, cast
from urllib.parse import urlsplit

from tests.builders.life import HardOfHearing, Life
from tests.builders.replay import GONE
from tests.builders.server import FACTS, Health
from tests.builders.world import World

from volant.api import Deps, create_app
from volant.bus import Bus, Listener
from volant.clock import Uid
from volant.model.event import Committed

BASE = "/api/v1"


class Reply(NamedTuple):
    """What came back."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The document."""
        return json.loads(self.body)


@dataclass(frozen=True)
class Request:
    """What is sent; `to` is the path with its query. A `body` of bytes is sent as it is."""

    method: str
    to: str
    body: Any = None
    headers: tuple[tuple[str, str], ...] = ()

    @property
    def content(self) -> bytes:
        """The bytes of the body."""
        if self.body is None or isinstance(self.body, bytes):
            return self.body or b""
        return json.dumps(self.body).encode()

    def scope(self) -> dict[str, Any]:
        """As a server would hand it on."""
        parts, said = urlsplit(BASE + self.to), {"host": "127.0.0.1", **dict(self.headers)}
        if self.body is not None:
            said = {"content-type": "application/json", "content-length": str(len(self.content)), **said}
        return {
            "type": "http",
            "method": self.method,
            "path": parts.path,
            "raw_path": parts.path.encode(),
            "query_string": parts.query.encode(),
            "headers": [(name.lower().encode(), value.encode()) for name, value in said.items()],
            "server": ("127.0.0.1", 8080),
        }


class Clear:
    """A bus on which the API hears everything: what it is to the controllers to be deaf is no business of users."""

    def __init__(self, bus: HardOfHearing) -> None:
        self._bus = bus

    def __getattr__(self, name: str) -> Any:
        return getattr(self._bus, name)

    def listen(self, listener: Listener) -> Any:
        """As the bus does, without fail."""
        return self._bus.listen_to_all(listener)


class Served:
    """The API of one life."""

    def __init__(self, life: Life, world: World) -> None:
        self.life = life
        self.stopping = asyncio.Event()
        self.app = create_app(
            Deps(
                store=life.store,
                bus=cast("Bus", Clear(cast("HardOfHearing", life.engine.bus))),
                clock=world.clock,
                stopping=self.stopping,
                info=lambda: FACTS,
                health=Health(),
                uids=lambda: Uid("f" * 32),
            )
        )


class Client:
    """Asks, and complains of answers that do not fit the log."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.said: list[str] = []
        """Every request with its answer, for people."""
        self._served: Served | None = None
        self._numbers = itertools.count(1)

    @property
    def served(self) -> Served | None:
        """The API, if there is a daemon."""
        lives = self.world.lives
        if not lives or lives[-1].is_dead:
            return None
        if self._served is None or self._served.life is not lives[-1]:
            self._served = Served(lives[-1], self.world)
        return self._served

    def is_well(self) -> bool:
        """Whether there is a daemon that can write."""
        lives = self.world.lives
        return bool(lives) and not lives[-1].is_dead and lives[-1].store.healthy

    async def ask(self, request: Request) -> tuple[Reply | None, list[Committed]]:
        """The answer, None when there is nobody to give one; and the events that it has led to, answered or not."""
        served, store_was_well = self.served, self.is_well()
        if served is None:
            return None, []
        number, since = next(self._numbers), len(self._log)
        asked = Request(request.method, request.to, request.body, (*request.headers, ("x-request-id", f"r{number}")))
        reply = await _answered(served, asked)
        mark = b'"request_id":"r%d"' % number
        events = [event for event in self._log[since:] if mark in event.data]
        self.said.append(
            f"{self.world.clock.monotonic():.2f} {request} -> {reply and (reply.status, reply.body[:200])}"
        )
        if reply is not None:
            self._judge(request, reply, events, is_well=store_was_well and self.is_well())
        return reply, events

    async def told(self, request: Request) -> Reply:
        """The same, again and again until it is answered by a daemon that is not in trouble."""
        while True:
            await self.world.up()
            reply, _ = await self.ask(request)
            if reply is not None and reply.status != 503:
                return reply
            await self.world.clock.sleep(0.5)

    def complain(self, why: str) -> None:
        """Something is not as it should be: at the next check it comes out."""
        self.world.oracles.complaints.append(f"{self.world.clock.monotonic():.3f}: {why}")

    @property
    def _log(self) -> Sequence[Committed]:
        return self.world.oracles.replay.events

    def _judge(self, request: Request, reply: Reply, events: Sequence[Committed], *, is_well: bool) -> None:
        what = f"{request.method} {request.to} -> {reply.status} {reply.body[:300]!r}"
        if reply.status >= 500 and (is_well or reply.status != 503):
            self.complain(f"{what}: nothing is wrong with the daemon")
        if reply.status >= 400 and not {"error", "code", "details"} <= reply.json.keys():
            self.complain(f"{what}: not the body of an error")
        if events and ("dry_run=true" in request.to or (reply.status >= 400 and "timeout=" not in request.to)):
            self.complain(f"E3: {what}, and yet {[event.type for event in events]}")
        match = dict(request.headers).get("if-match", "*")
        if match != "*":
            self._judge_match(what, int(match.strip('"')), reply, events)

    def _judge_match(self, what: str, revision: int, reply: Reply, events: Sequence[Committed]) -> None:
        """V2: what was bound to a revision has replaced that one, and was refused only for another."""
        asked_of = self._log[revision - 1] if 0 < revision <= len(self._log) else None
        if asked_of is None:
            if events:
                self.complain(f"V2: {what}, bound to a revision that never was")
            return
        upto = events[0].revision - 1 if events else len(self._log)
        between = [e.type for e in self._log[revision:upto] if e.uid == asked_of.uid]
        if events and (between or events[0].uid != asked_of.uid):
            self.complain(f"V2: {what}, bound to revision {revision}, after {between}")
        is_there = asked_of.type not in GONE and reply.status == 412
        if is_there and not between and reply.json["details"]["name"] == asked_of.key.name:
            self.complain(f"V2: {what}, bound to revision {revision}, and that is the last")


async def _answered(served: Served, request: Request) -> Reply | None:
    """The answer; None when the daemon ends before it has given one."""
    sent: list[dict[str, Any]] = []
    unread = [{"type": "http.request", "body": request.content, "more_body": False}]

    async def receive() -> dict[str, Any]:
        if unread:
            return unread.pop()
        await asyncio.get_running_loop().create_future()
        raise AssertionError("nobody says more")

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    task = asyncio.create_task(served.app(request.scope(), cast("Any", receive), cast("Any", send)))
    while not task.done():
        # A daemon that is gone has hung up; looking is cheaper than being told.
        await asyncio.wait([task], timeout=None if "wait=none" in request.to else 0.5)
        if served.life.is_dead and not task.done():
            task.cancel()
    if task.cancelled() or served.life.is_dead:
        return None
    task.result()
    body = b"".join(message.get("body", b"") for message in sent[1:])
    headers = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
    return Reply(sent[0]["status"], headers, body)
