"""The prober against real sockets on loopback: servers that are well, slow, rude, endless or gone."""

from __future__ import annotations

import asyncio
import socket
import struct
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from volant.clock import SystemClock
from volant.drivers import Prober
from volant.drivers.http1 import MAX_HEAD
from volant.drivers.probes import SETTLE_S, SocketProber

HERE = "127.0.0.1"
PATIENT_S = 20.0
"""A timeout that is never reached: whoever ends a probe in these tests, it is not the clock."""
SHORT_S = 0.3
Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class Server:
    """A server that does one thing to every caller."""

    def __init__(self, serve: Serve) -> None:
        self._serve = serve
        self.port = 0
        self.callers = 0
        self.ends = asyncio.Event()

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.callers += 1
        try:
            await self._serve(reader, writer)
        except (OSError, EOFError):
            pass
        finally:
            writer.close()
            self.ends.set()


@asynccontextmanager
async def serving(serve: Serve) -> AsyncIterator[Server]:
    """A server on a free port of loopback."""
    server = Server(serve)
    listening = await asyncio.start_server(server, HERE, 0)
    server.port = listening.sockets[0].getsockname()[1]
    try:
        yield server
    finally:
        listening.close()
        await listening.wait_closed()


def saying(answer: bytes, *, keep_open: bool = False) -> Serve:
    """Read the request, say that, and end, or wait for the caller to."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        await writer.drain()
        if keep_open:
            await reader.read()

    return serve


async def until_gone(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Say nothing for as long as the caller stays."""
    await reader.read()


async def http(port: int, path: str = "/", *, timeout_s: float = PATIENT_S) -> str:
    """One probe."""
    prober: Prober = SocketProber(SystemClock())
    return await prober.http(HERE, port, path, timeout_s)


async def tcp(port: int, *, timeout_s: float = PATIENT_S) -> str:
    """One probe."""
    return await SocketProber(SystemClock()).tcp(HERE, port, timeout_s)


def a_closed_port() -> int:
    """A port nobody listens on."""
    with socket.socket() as taken:
        taken.bind((HERE, 0))
        port: int = taken.getsockname()[1]
        return port


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", "success"),
        (b"HTTP/1.0 204 No Content\r\n\r\n", "success"),
        (b"HTTP/1.1 200\r\n\r\n", "success"),
        (b"HTTP/1.0 200 OK\nServer: small\n\n", "success"),
        (b"HTTP/1.1 404 Not Found\r\n\r\n", "failure"),
        (b"HTTP/1.1 500 Oh\r\n\r\n", "failure"),
        (b"HTTP/1.1 199 Hm\r\n\r\n", "failure"),
        (b"HTTP/1.1 2000 OK\r\n\r\n", "failure"),
        (b"HTTP/2 200\r\n\r\n", "failure"),
        (b"SSH-2.0-OpenSSH_9.2\r\n\r\n", "failure"),
        (b"\x00\xff\xfe" * 100 + b"\r\n\r\n", "failure"),
        (b"HTTP/1.1 200 OK\r\nX: y\r\n", "failure"),
        (b"", "failure"),
    ],
)
async def test_an_answer_is_judged_by_its_head(answer: bytes, outcome: str) -> None:
    async with serving(saying(answer)) as server:
        assert await http(server.port) == outcome


async def test_a_body_is_not_waited_for() -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\nthe beginning of"
    async with serving(saying(head, keep_open=True)) as server:
        assert await http(server.port) == "success"
        await asyncio.wait_for(server.ends.wait(), PATIENT_S)


async def test_the_request_is_one_that_servers_understand() -> None:
    heard: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")

    async with serving(serve) as server:
        assert await http(server.port, "/healthz?deep=1") == "success"
        first, *headers = heard[0].decode().split("\r\n")
        assert first == "GET /healthz?deep=1 HTTP/1.1"
        assert f"Host: {HERE}:{server.port}" in headers
        assert "Connection: close" in headers


async def test_a_redirect_is_a_success_and_is_not_followed() -> None:
    """D9."""
    async with serving(saying(b"HTTP/1.1 200 OK\r\n\r\n")) as elsewhere:
        answer = f"HTTP/1.1 302 Found\r\nLocation: http://{HERE}:{elsewhere.port}/\r\n\r\n".encode()
        async with serving(saying(answer)) as server:
            assert await http(server.port) == "success"
            assert (server.callers, elsewhere.callers) == (1, 0)


async def test_an_endless_head_is_read_to_its_bound_only() -> None:
    sent = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        writer.write(b"HTTP/1.1 200 OK\r\n")
        while True:
            writer.write(b"X: " + b"y" * 1000 + b"\r\n")
            sent += 1005
            await writer.drain()

    async with serving(serve) as server:
        assert await http(server.port) == "failure"
        await asyncio.wait_for(server.ends.wait(), PATIENT_S)
    assert sent >= MAX_HEAD


async def test_a_head_that_comes_byte_by_byte_is_put_together() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for byte in b"HTTP/1.1 200 OK\r\nA: b\r\n\r\n":
            writer.write(bytes([byte]))
            await writer.drain()
            await asyncio.sleep(0)
        await reader.read()

    async with serving(serve) as server:
        assert await http(server.port) == "success"


async def test_a_server_that_does_not_answer_in_time_fails() -> None:
    async with serving(until_gone) as server:
        assert await http(server.port, timeout_s=SHORT_S) == "failure"
        await asyncio.wait_for(server.ends.wait(), PATIENT_S)


async def test_a_server_that_hangs_up_fails() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    async with serving(serve) as server:
        assert await http(server.port) == "failure"


async def test_a_closed_port_fails() -> None:
    port = a_closed_port()
    assert (await http(port), await tcp(port)) == ("failure", "failure")


async def test_a_connection_that_holds_is_a_success() -> None:
    async with serving(until_gone) as server:
        assert await tcp(server.port) == "success"
        assert await tcp(server.port, timeout_s=SETTLE_S) == "success"


async def test_a_server_that_speaks_first_need_not_be_waited_for() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 hello\r\n")

    async with serving(serve) as server:
        assert await tcp(server.port) == "success"


@pytest.mark.parametrize("resets", [False, True])
async def test_a_connection_that_is_dropped_at_once_is_a_failure(resets: bool) -> None:
    """What QEMU's user network does with a call to a port that nobody in the guest listens on."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if resets:
            linger = struct.pack("ii", 1, 0)
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)

    async with serving(serve) as server:
        assert await tcp(server.port) == "failure"


@pytest.mark.parametrize("address", ["localhost", "example.invalid", "", "127.0.0.1@elsewhere", "127.1"])
async def test_only_numeric_addresses_are_asked(address: str) -> None:
    """D9: nothing is ever resolved."""
    prober = SocketProber(SystemClock())
    assert await prober.http(address, 80, "/", SHORT_S) == "unknown"
    assert await prober.tcp(address, 80, SHORT_S) == "unknown"


@pytest.mark.parametrize("path", ["", "x", "/a b", "/a\r\nX: y", "/\u00e9"])
async def test_a_path_that_could_carry_more_than_a_path_is_not_sent(path: str) -> None:
    async with serving(saying(b"HTTP/1.1 200 OK\r\n\r\n")) as server:
        assert await http(server.port, path) == "unknown"
        assert server.callers == 0


async def test_what_cannot_be_sent_from_here_says_nothing_of_the_guest() -> None:
    """P5: there is no way to call everybody at once, whoever listens there. The kernel says so; nothing is sent."""
    prober = SocketProber(SystemClock())
    assert await prober.tcp("127.255.255.255", 9, PATIENT_S) == "unknown"


async def test_a_daemon_that_was_held_up_blames_nobody_else() -> None:
    """P5: the answer was there in time, and nobody looked."""
    async with serving(until_gone) as server:
        asyncio.get_running_loop().call_later(0.05, time.sleep, 1.0)
        assert await http(server.port, timeout_s=SHORT_S) == "unknown"


async def test_a_call_that_was_dropped_while_nobody_looked_is_no_success() -> None:
    """P5: the end of the connection and that of the wait are seen in one turn of the loop."""
    listening = socket.create_server((HERE, 0))

    def hold_up() -> None:
        listening.close()  # because it resets whoever has called and was not answered yet
        time.sleep(1.0)

    asyncio.get_running_loop().call_later(0.05, hold_up)
    assert await tcp(listening.getsockname()[1]) == "unknown"


async def test_probes_do_not_wait_for_each_other() -> None:
    async with serving(until_gone) as mute, serving(saying(b"HTTP/1.1 200 OK\r\n\r\n")) as well:
        async with asyncio.TaskGroup() as tasks:
            slow = tasks.create_task(http(mute.port))
            fast = [tasks.create_task(http(well.port)) for _ in range(50)]
            await asyncio.wait(fast)
            assert not slow.done()
            slow.cancel()
        assert {probe.result() for probe in fast} == {"success"}
