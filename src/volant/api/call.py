"""One request and its answer: what handlers see of HTTP.

    front ──Call──▶ handler ──Answer──▶ front

Deliberately not Starlette's Request and Response: bytes in and bytes out cost a third of them, and nothing here needs
more. What a handler needs of the application comes with the call.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, TypeVar

import msgspec
from msgspec import Struct
from starlette.types import Receive, Scope, Send

from volant.api.bodies import Bodies
from volant.api.body import Reading, decode_body
from volant.api.deps import Deps
from volant.api.orders import Orders
from volant.api.seats import Readers, Seats
from volant.api.stream import Streams
from volant.api.waiting import Waits
from volant.bus import Bus
from volant.errors import Invalid, PreconditionFailed, TooLarge
from volant.model.event import EventType, Happening
from volant.model.meta import Meta
from volant.store import Store

S = TypeVar("S", bound=Struct)
Headers = tuple[tuple[bytes, bytes], ...]

MAX_BODY = 1 << 20
"""Bytes. A manifest or a config is a few kilobytes."""

CALL = "volant.call"
"""Where a scope has it."""

_ENCODER = msgspec.json.Encoder()
_ETAGS = re.compile(r'(?:W/)?"([^"]*)"')


class Answer(NamedTuple):
    """Status, JSON, headers beyond those that every answer has, and the media type of the JSON."""

    status: int
    body: bytes = b""
    headers: Headers = ()
    media: bytes = b"application/json"


class Written(NamedTuple):
    """A document, encoded, and what stands in its ETag."""

    body: bytes
    tag: str


@dataclass(frozen=True, slots=True)
class Context:
    """What lives as long as the application.

    `contract` gives the OpenAPI document of a version. `keys` are the Idempotency-Keys of the requests that are being
    answered, each with the fingerprint of its request. `orders` are those of lists that are read in pages. `readers`
    and `seats` are at the consoles of guests.
    """

    deps: Deps
    waits: Waits
    streams: Streams
    bodies: Bodies
    contract: Callable[[Literal["3.0", "3.1"]], Written]
    keys: dict[str, str] = field(default_factory=dict)
    orders: Orders = field(default_factory=Orders)
    readers: Readers = field(default_factory=Readers)
    seats: Seats = field(default_factory=Seats)


class Call:
    """One request. `is_answered` is set once the head of the answer has been sent, `raw` once `body` has been read."""

    __slots__ = ("_receive", "context", "headers", "is_answered", "raw", "request_id", "scope", "send")

    def __init__(
        self,
        context: Context,
        scope: Scope,
        receive: Receive,
        send: Send,
        headers: Mapping[bytes, bytes],
        request_id: str,
    ) -> None:
        self.context = context
        self.scope = scope
        self._receive = receive
        self.send = send
        self.headers = headers
        self.request_id = request_id
        self.is_answered = False
        self.raw = b""

    @property
    def deps(self) -> Deps:
        """What the daemon handed in."""
        return self.context.deps

    @property
    def store(self) -> Store:
        """The store."""
        return self.context.deps.store

    @property
    def bus(self) -> Bus:
        """The bus."""
        return self.context.deps.bus

    @property
    def name(self) -> str:
        """The name in the path, as the caller spelt it: any string without a slash."""
        name: str = self.scope["path_params"]["name"]
        return name

    @property
    def is_head(self) -> bool:
        """Whether the caller wants the head only."""
        return bool(self.scope["method"] == "HEAD")

    def header(self, name: bytes) -> str:
        """A header's value, or an empty string."""
        return self.headers.get(name, b"").decode("latin-1")

    def happening(self, kind: EventType, *, reason: str | None = None, message: str | None = None) -> Happening:
        """What this request does, for the event of its write."""
        return Happening(type=kind, actor="api", reason=reason, message=message, request_id=self.request_id)

    def check_precondition(self, meta: Meta) -> None:
        """Raises PreconditionFailed when If-Match names another revision than that of `meta` (V2)."""
        asked = self.header(b"if-match")
        if asked and asked.strip() != "*" and str(meta.revision) not in _ETAGS.findall(asked):
            raise PreconditionFailed(
                f"cannot write to {meta.kind} {meta.name}: it is at revision {meta.revision}, not at {asked[:64]}",
                details={"name": meta.name, "revision": meta.revision},
            )

    async def body(self, cls: type[S], reading: Reading | None = None) -> S:
        """The body as `cls`; see `decode_body`. Raises Invalid with every bad field, or TooLarge."""
        chunks, size = [], 0
        while True:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                raise Invalid("cannot read the body: it ends before it is complete", code="malformed_json")
            chunk = message.get("body", b"")
            size += len(chunk)
            if size > MAX_BODY:
                raise too_large()
            chunks.append(chunk)
            if not message.get("more_body", False):
                self.raw = b"".join(chunks)
                return decode_body(self.raw, cls, reading)

    async def gone(self) -> None:
        """Return when the caller has hung up."""
        while (await self._receive())["type"] != "http.disconnect":
            pass

    async def answer(self, answer: Answer) -> None:
        """Send it. Once."""
        status, body, more, media = answer
        headers = [(b"x-request-id", self.request_id.encode()), *more]
        if body:
            headers.append((b"content-type", media))
        if status not in (204, 304):
            headers.append((b"content-length", b"%d" % len(body)))
        self.is_answered = True
        await self.send({"type": "http.response.start", "status": status, "headers": headers})
        await self.send({"type": "http.response.body", "body": b"" if self.is_head else body})


def too_large() -> TooLarge:
    """What a body over the limit is answered with."""
    return TooLarge(f"cannot take a body of more than {MAX_BODY} bytes", details={"limit_bytes": MAX_BODY})


def shown(call: Call, view: Any, meta: Meta, *, status: int = 200, more: Headers = ()) -> Answer:
    """One object, with its revision as ETag; 304 when the caller has that revision already."""
    return shown_bytes(call, _ENCODER.encode(view), meta, status=status, more=more)


def shown_bytes(call: Call, body: bytes, meta: Meta, *, status: int = 200, more: Headers = ()) -> Answer:
    """The same, encoded already."""
    tagged = ((b"etag", b'"%d"' % meta.revision), *more)
    known = call.headers.get(b"if-none-match")
    if known is not None and call.scope["method"] in ("GET", "HEAD") and is_known(known, str(meta.revision)):
        return Answer(304, b"", tagged)
    return Answer(status, body, tagged)


def plain(view: Any, *, status: int = 200, more: Headers = ()) -> Answer:
    """Something that is no object of the store."""
    return Answer(status, _ENCODER.encode(view), more)


def encoded(view: Any) -> bytes:
    """The JSON of one view."""
    return _ENCODER.encode(view)


def kept_since(store: Store) -> tuple[bytes, bytes]:
    """The header that says how far back events are kept: after that revision a stream can be resumed (W9)."""
    return (b"volant-events-since", b"%d" % store.oldest_event)


def is_known(known: bytes, tag: str) -> bool:
    """Whether an If-None-Match names the tag."""
    text = known.decode("latin-1")
    return text.strip() == "*" or tag in _ETAGS.findall(text)
