"""One connection in virtual time: what it bounds, and in which order it says so."""

from __future__ import annotations

import asyncio
from typing import Any

import uvicorn
from tests.builders.raw_http import Reply, replies, request
from tests.builders.virtual_time import VirtualClock, settle, virtual
from uvicorn.server import ServerState

from volant.daemon.connection import LINGER_S, MAX_AHEAD, MAX_HEAD, PATIENCE_S, Connection

SLOW = "/slow"


class Wire(asyncio.Transport):
    """The other end of a connection."""

    def __init__(self) -> None:
        super().__init__()
        self.sent = b""
        self.is_ended = self.is_closed = False

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """Nothing is known of it."""
        return default

    def write(self, data: Any) -> None:
        """What the client gets."""
        assert not self.is_ended
        self.sent += bytes(data)

    def write_eof(self) -> None:
        """No more."""
        self.is_ended = True

    def close(self) -> None:
        """Gone."""
        self.is_closed = True

    def is_closing(self) -> bool:
        """Whether it is gone."""
        return self.is_closed

    def pause_reading(self) -> None:
        """Too much has come."""

    def resume_reading(self) -> None:
        """It was not too much."""

    @property
    def replies(self) -> list[Reply]:
        """The answers so far."""
        return replies(self.sent)


class Served:
    """Connections to an application that answers `/slow` when told to and everything else when its body is there."""

    def __init__(self, max_connections: int = 100) -> None:
        self.release = asyncio.Event()
        self.done: list[str] = []
        self._config = uvicorn.Config(
            self._app, interface="asgi3", ws="none", log_config=None, access_log=False, proxy_headers=False
        )
        self._state = ServerState()
        self._max = max_connections

    def connect(self) -> tuple[Connection, Wire]:
        """A new connection."""
        given = {"config": self._config, "server_state": self._state, "app_state": {}}
        connection = Connection(ids=lambda: "id", max_connections=self._max, **given)
        wire = Wire()
        connection.connection_made(wire)
        return connection, wire

    async def _app(self, scope: Any, receive: Any, send: Any) -> None:
        message = await receive()
        while message.get("more_body"):
            message = await receive()
        if message["type"] == "http.disconnect":
            return
        if scope["path"] == SLOW:
            await self.release.wait()
        self.done.append(scope["path"])
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
        await send({"type": "http.response.body", "body": b"ok"})


@virtual
async def test_a_request_that_stops_half_way_is_refused_after_a_while(clock: VirtualClock) -> None:
    """G8"""
    for half in (b"G", b"GET / HTTP/1.1\r\nHost: a", request("POST", "/", "Content-Length: 9", body=b"{")):
        connection, wire = Served().connect()
        connection.data_received(half)
        await clock.sleep(PATIENCE_S - 1)
        assert wire.sent == b""
        await clock.sleep(1.5)
        assert [(reply.status, reply.code) for reply in wire.replies] == [(408, "request_too_slow")]
        await clock.sleep(LINGER_S)
        assert wire.is_closed


@virtual
async def test_a_request_that_trickles_is_not_given_more_time(clock: VirtualClock) -> None:
    """G8: slow loris."""
    connection, wire = Served().connect()
    for byte in b"GET / HTTP/1.1\r\nX: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa":
        if not wire.is_ended:
            connection.data_received(bytes([byte]))
            await clock.sleep(1)
    assert wire.replies[0].status == 408


@virtual
async def test_a_connection_on_which_nothing_comes_is_closed_without_a_word(clock: VirtualClock) -> None:
    """G8"""
    _, wire = Served().connect()
    await clock.sleep(PATIENCE_S + 1)
    assert wire.is_closed
    assert wire.sent == b""


@virtual
async def test_an_answer_may_take_as_long_as_it_likes(clock: VirtualClock) -> None:
    served = Served()
    connection, wire = served.connect()
    connection.data_received(request("GET", SLOW) + b"GET / HT")
    await clock.sleep(10 * PATIENCE_S)
    assert not wire.is_closed
    served.release.set()
    connection.data_received(b"TP/1.1\r\n\r\n")
    await settle()
    assert [reply.status for reply in wire.replies] == [200, 200]


@virtual
async def test_a_head_that_does_not_end_is_refused_when_it_is_too_long(clock: VirtualClock) -> None:
    """G8"""
    connection, wire = Served().connect()
    connection.data_received(b"GET / HTTP/1.1\r\nX: ")
    for _ in range(MAX_HEAD // 1024 + 1):
        connection.data_received(b"a" * 1024)
    assert [(reply.status, reply.code) for reply in wire.replies] == [(431, "head_too_large")]
    connection.data_received(b"a" * 1024)
    await clock.sleep(LINGER_S + 1)
    assert len(wire.replies) == 1
    assert wire.is_closed


@virtual
async def test_a_long_body_is_not_counted_to_the_head_that_follows_it(clock: VirtualClock) -> None:
    connection, wire = Served().connect()
    body = b"a" * (2 * MAX_HEAD)
    connection.data_received(request("POST", "/", body=body)[:-1])
    connection.data_received(body[-1:] + b"GET / HTTP/1.1\r\nX: ")
    connection.data_received(b"1\r\n\r\n")
    await settle()
    assert [reply.status for reply in wire.replies] == [200, 200]


@virtual
async def test_what_came_before_noise_is_answered_before_the_connection_is_closed(clock: VirtualClock) -> None:
    """G8: the refusal would be taken for the answer that is still due."""
    served = Served()
    connection, wire = served.connect()
    connection.data_received(request("GET", SLOW) + request("GET", "/next") + b"\x00noise")
    await settle()
    assert wire.sent == b""
    served.release.set()
    await settle()
    assert [reply.status for reply in wire.replies] == [200, 200]
    assert served.done == [SLOW, "/next"]
    assert wire.is_closed


@virtual
async def test_noise_in_a_body_is_the_answer_to_its_request(clock: VirtualClock) -> None:
    served = Served()
    connection, wire = served.connect()
    connection.data_received(request("POST", "/", "Transfer-Encoding: chunked") + b"nonsense\r\n")
    assert [(reply.status, reply.code) for reply in wire.replies] == [(400, "malformed_request")]
    await clock.sleep(LINGER_S + 1)
    connection.connection_lost(None)
    await settle()
    assert served.done == []


@virtual
async def test_requests_sent_ahead_have_a_bound(clock: VirtualClock) -> None:
    """G8"""
    served = Served()
    connection, wire = served.connect()
    connection.data_received(request("GET", SLOW) * (2 * MAX_AHEAD))
    served.release.set()
    for _ in range(2 * MAX_AHEAD):
        await settle()
    assert len(wire.replies) == MAX_AHEAD + 1
    assert wire.is_closed


@virtual
async def test_a_connection_out_of_use_makes_room_for_a_new_one(clock: VirtualClock) -> None:
    """G8"""
    served = Served(max_connections=2)
    (busy, used), (idle, unused) = served.connect(), served.connect()
    busy.data_received(request("GET", SLOW))
    idle.data_received(request("GET", "/"))
    await settle()
    _, new = served.connect()
    assert (used.is_closed, unused.is_closed, new.is_closed) == (False, True, False)
    served.release.set()
    await settle()
    assert used.replies[0].status == 200


@virtual
async def test_a_connection_too_many_is_told_so_when_all_are_in_use(clock: VirtualClock) -> None:
    """G8"""
    served = Served(max_connections=1)
    busy, _ = served.connect()
    busy.data_received(request("GET", SLOW))
    await settle()
    _, new = served.connect()
    assert [(reply.status, reply.code) for reply in new.replies] == [(503, "too_many_connections")]
    assert new.replies[0].headers["retry-after"] == "1"
    await clock.sleep(LINGER_S + 1)
    assert new.is_closed
    served.release.set()
    await settle()


@virtual
async def test_an_upgrade_that_nobody_speaks_is_answered_as_it_stands(clock: VirtualClock) -> None:
    connection, wire = Served().connect()
    connection.data_received(request("GET", "/", "Connection: Upgrade", "Upgrade: websocket"))
    await settle()
    assert [reply.status for reply in wire.replies] == [200]
