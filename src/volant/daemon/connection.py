"""One connection, with bounds on what a client may make the daemon keep.

    bytes ──▶ httptools ──▶ a request ──▶ the application
                 ├── one for a WebSocket, at the only path that has one ──▶ uvicorn's, on the same connection
                 └── what is no request, too long or too slow ──▶ the same error body as everywhere else

uvicorn bounds bodies by pausing the reading, and bounds nothing else: a head that never ends, a request that is half
sent and left, thousands of requests sent ahead of their answers, and connections without end would all be kept. And it
answers what it cannot read in plain text, at once, although an earlier request of the same connection may still be
without its answer; the client would take the one for the other. So what came before is answered first, and the close of
the connection says the rest.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from http import HTTPStatus
from typing import Any

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from volant.api.problems import answer_to
from volant.errors import HeadTooLarge, Invalid, RequestTooSlow, Unavailable, VolantError
from volant.telemetry import logger

MAX_HEAD = 64 << 10
"""Bytes of a request's first line and headers."""

MAX_HEADERS = 128
MAX_AHEAD = 128
"""Requests that may be sent on one connection before the first of them is answered."""

PATIENCE_S = 30.0
"""How long a request may take to arrive once its connection is there or its first byte came."""
LINGER_S = 1.0
"""How long a client that is refused may take to read why."""

_CONSOLE = re.compile(rb"/api/v1/vms/[^/?]+/console(?:\?.*)?", re.DOTALL)

_log = logger("volant.http")


class Connection(HttpToolsProtocol):
    """A connection that refuses what is too much. `ids` names the requests that never became one."""

    def __init__(self, *, ids: Callable[[], str], max_connections: int, **given: Any) -> None:
        super().__init__(**given)
        self._ids = ids
        self._max_connections = max_connections
        self._patience: asyncio.TimerHandle | None = None
        self._is_arriving = False
        self._in_head = True
        self._is_new = False
        self._head_bytes = 0
        self._becomes_websocket = False
        self._fault: VolantError | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Make room by closing a connection that is not in use, when there are too many."""
        super().connection_made(transport)
        if len(self.connections) > self._max_connections:
            idle = next((c for c in self.connections if isinstance(c, Connection) and c.is_idle), None)
            if idle is None:
                self._refuse(Unavailable("cannot take more connections", code="too_many_connections"))
                return
            idle.transport.close()
        self._wait()

    @property
    def is_idle(self) -> bool:
        """Whether nobody waits for an answer on it. A connection that has just been made is not."""
        return self.cycle is not None and self.cycle.response_complete and not self.transport.is_closing()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget it."""
        self._settle()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Read on, or refuse."""
        self._unset_keepalive_if_required()
        if self._fault is not None:
            return
        self._is_new = False
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            if self._should_upgrade():
                self._settle()
                self.handle_websocket_upgrade()
                return
            # Another protocol, or another path: the request is answered as it stands.
        except httptools.HttpParserError:
            self._refuse(self._fault or Invalid("cannot read the request: not HTTP", code="malformed_request"))
            return
        if not self._is_arriving:
            self._settle()
            return
        self._wait()
        if self._in_head and not self._is_new:  # What is in one piece with the head's beginning is bounded by itself.
            self._head_bytes += len(data)
            if self._head_bytes > MAX_HEAD:
                self._refuse(_head_too_large())

    def on_message_begin(self) -> None:
        """The first byte of a request."""
        super().on_message_begin()
        self._is_arriving = self._in_head = self._is_new = True
        self._becomes_websocket = False
        self._head_bytes = 0

    def on_headers_complete(self) -> None:
        """Its head is there. Raises what refuses it; the parser hands that on as an error of its own."""
        size = len(self.url) + sum(len(name) + len(value) for name, value in self.headers)
        if size > MAX_HEAD or len(self.headers) > MAX_HEADERS:
            self._fault = _head_too_large()
        elif len(self.pipeline) >= MAX_AHEAD:
            self._fault = Unavailable("cannot take more requests before the first is answered", code="too_many_ahead")
        if self._fault is not None:
            raise self._fault
        self._becomes_websocket = self._asks_for_websocket()
        super().on_headers_complete()
        self._in_head = False

    def on_message_complete(self) -> None:
        """It is there as a whole."""
        self._is_arriving = False
        super().on_message_complete()

    def _should_upgrade(self) -> bool:
        """Whether the request that is being read becomes a WebSocket: decided once, when its head is there."""
        return self._becomes_websocket

    def _asks_for_websocket(self) -> bool:
        """Whether it asks for one, properly, where there is one, and with nothing before or behind it.

        Not while an earlier request has no answer: the two would be written over each other.
        """
        if self._is_answering or self.pipeline or self.parser.get_method() != b"GET":
            return False
        if not _CONSOLE.fullmatch(self.url) or self._get_upgrade() != b"websocket":
            return False
        said = dict(self.headers)
        has_body = b"content-length" in said or b"transfer-encoding" in said
        # What uvicorn's side would refuse without a body is refused here with one.
        is_plain = [name for name, _ in self.headers].count(b"host") == 1 and self.parser.get_http_version() == "1.1"
        is_asking = said.get(b"sec-websocket-version") == b"13" and b"sec-websocket-key" in said
        return is_asking and is_plain and not has_body

    def _wait(self) -> None:
        if self._patience is None and not self.transport.is_closing():
            self._patience = self.loop.call_later(PATIENCE_S, self._run_out)

    def _settle(self) -> None:
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None

    def _run_out(self) -> None:
        self._patience = None
        if self.flow.read_paused or (self._is_answering and not self._is_body_due):
            self._wait()  # because it is the daemon that takes its time
        elif self._is_arriving:
            self._refuse(RequestTooSlow(f"cannot wait longer for the request: it took more than {PATIENCE_S:.0f} s"))
        else:
            self.transport.close()

    @property
    def _is_answering(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    @property
    def _is_body_due(self) -> bool:
        return self._is_arriving and not self._in_head

    def _refuse(self, error: VolantError) -> None:
        """Say why if nothing else is due on this connection, and close it."""
        self._fault = error
        self._settle()
        if not self._is_answering or (self._is_body_due and not self.pipeline and not self.cycle.response_started):
            self._close_with(self._written(error))
        elif self._is_body_due or self.cycle.response_started:
            self.transport.close()
        else:
            self.cycle.keep_alive = False  # Closes when the last of what came before has been answered.

    def _close_with(self, last: bytes) -> None:
        """Send it, and read on for a moment: closed at once, what is unread would make the kernel drop what is sent."""
        if self._is_answering:
            self.cycle.disconnected = True  # Whoever waits for the rest of the body is told; what it says is not sent.
            self.cycle.message_event.set()
        self.transport.write(last)
        self.transport.write_eof()
        self._patience = self.loop.call_later(LINGER_S, self.transport.close)

    def _written(self, error: VolantError) -> bytes:
        request_id = self._ids()
        accept = dict(self.headers or ()).get(b"accept", b"")
        status, body, more, media = answer_to(error, request_id, accept=accept)
        _log.debug("http.refused", request_id=request_id, code=error.code, client=self.client)
        headers = [
            *self.server_state.default_headers,
            *more,
            (b"x-request-id", request_id.encode()),
            (b"content-type", media),
            (b"content-length", b"%d" % len(body)),
            (b"connection", b"close"),
        ]
        first = f"HTTP/1.1 {status} {HTTPStatus(status).phrase}".encode()
        return b"\r\n".join([first, *(b"%b: %b" % header for header in headers), b"", body])


def _head_too_large() -> HeadTooLarge:
    return HeadTooLarge(
        f"cannot take a request whose first line and headers are over {MAX_HEAD} bytes or {MAX_HEADERS} headers",
        details={"limit_bytes": MAX_HEAD, "limit_headers": MAX_HEADERS},
    )
