"""A page of a guest over real sockets: servers that are well, slow, rude, endless, elsewhere or gone."""

from __future__ import annotations

import asyncio
import random
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.builders.objects import uid_of

from volant.clock import SystemClock
from volant.drivers import Attachment, Boot, Forward, Pages
from volant.drivers.http1 import MAX_HEAD
from volant.drivers.pages import MAX_CHUNKS, SocketPages
from volant.drivers.simulated import Behaviour, SimulatedHost, SimulatedPages
from volant.errors import DriverRefused, DriverUnavailable
from volant.model.vm import Booted, VMConfig

HERE = "127.0.0.1"
PATIENT_S = 20.0
SHORT_S = 0.3
MIB = 1 << 20
Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
PAGES: Pages = SocketPages()


@asynccontextmanager
async def serving(serve: Serve) -> AsyncIterator[int]:
    """A server that does one thing to every caller, on a free port of loopback."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await serve(reader, writer)
        except (OSError, EOFError):
            pass
        finally:
            writer.close()

    listening = await asyncio.start_server(answer, HERE, 0)
    try:
        yield listening.sockets[0].getsockname()[1]
    finally:
        listening.close()
        await listening.wait_closed()


def saying(*parts: bytes, keep_open: bool = False, again: bool = False) -> Serve:
    """Read the request, say the parts one by one, and end, or wait for the caller to, or go on for ever."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        for part in parts:
            writer.write(part)
            await writer.drain()
        while again:
            writer.write(parts[-1])
            await writer.drain()
            await asyncio.sleep(0)
        if keep_open:
            await reader.read()

    return serve


async def page(port: int, path: str = "/api", *, timeout_s: float = PATIENT_S, max_bytes: int = MIB) -> bytes:
    """One page."""
    return await PAGES.page(HERE, port, path, max_bytes=max_bytes, timeout_s=timeout_s)


async def got(*parts: bytes, keep_open: bool = False) -> bytes:
    """The page of a server that says so."""
    async with serving(saying(*parts, keep_open=keep_open)) as port:
        return await page(port)


async def refused(serve: Serve, *, timeout_s: float = PATIENT_S, max_bytes: int = MIB) -> str:
    """Why there is no page."""
    async with serving(serve) as port:
        with pytest.raises(DriverUnavailable) as refusal:
            await page(port, timeout_s=timeout_s, max_bytes=max_bytes)
    return refusal.value.message


OK = b"HTTP/1.1 200 OK\r\n"


@pytest.mark.parametrize(
    "answer",
    [
        OK + b"Content-Length: 5\r\n\r\nhello",
        OK + b"\r\nhello",
        b"HTTP/1.0 200 OK\nContent-Length:5\n\nhello",
        b"HTTP/1.1 200\r\n\r\nhello",
        OK + b"content-length: 5 \r\nContent-Length: 5\r\nX: y\r\nX: z\r\n\r\nhello and more",
        OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        OK + b"Transfer-Encoding: Chunked\r\n\r\n2;x=y\r\nhe\r\n3\r\nllo\r\n0\r\nTrailer: x\r\n\r\n",
        OK + b"Transfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        OK + b"Content-Encoding: identity\r\nContent-Type: text/html\r\nServer:\r\n\r\nhello",
    ],
)
async def test_the_whole_page_is_read_however_its_end_is_told(answer: bytes) -> None:
    assert await got(answer) == b"hello"
    assert await got(*(answer[at : at + 1] for at in range(len(answer)))) == b"hello"


async def test_a_page_with_a_length_does_not_wait_for_the_end_of_the_connection() -> None:
    assert await got(OK + b"Content-Length: 5\r\n\r\nhello", keep_open=True) == b"hello"
    assert await got(OK + b"Transfer-Encoding: chunked\r\n\r\n0\r\n", keep_open=True) == b""


async def test_a_page_of_the_largest_size_is_read() -> None:
    body = b"x" * MIB
    assert await got(OK + b"Content-Length: %d\r\n\r\n" % MIB, body) == body
    assert await got(OK + b"\r\n", body) == body
    assert await got(OK + b"Transfer-Encoding: chunked\r\n\r\n%X\r\n" % MIB, body, b"\r\n0\r\n\r\n") == body


@pytest.mark.parametrize(
    "head",
    [b"\r\n", b"Content-Length: %d\r\n\r\n" % (2 * MIB), b"Transfer-Encoding: chunked\r\n\r\n%x\r\n" % (2 * MIB)],
    ids=["until the end", "length", "chunk"],
)
async def test_a_page_of_two_megabytes_is_refused(head: bytes) -> None:
    assert f"larger than {MIB} bytes" in await refused(saying(OK + head, b"x" * (2 * MIB), keep_open=True))


@pytest.mark.parametrize("head", [b"\r\n", b"Transfer-Encoding: chunked\r\n\r\n"], ids=["until the end", "chunks"])
async def test_an_endless_page_is_refused(head: bytes) -> None:
    piece = b"10000\r\n" + b"x" * 65536 + b"\r\n"
    assert "larger than" in await refused(saying(OK + head, piece, again=True))


async def test_a_page_in_crumbs_is_refused() -> None:
    crumbs = b"1\r\nx\r\n" * 1000
    message = await refused(saying(OK + b"Transfer-Encoding: chunked\r\n\r\n", crumbs, again=True))
    assert f"more than {MAX_CHUNKS} chunks" in message


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (b"HTTP/1.1 302 Found\r\nLocation: http://169.254.169.254/\r\n\r\n", "answers 302, which is not followed"),
        (b"HTTP/1.1 301 Moved\r\nLocation: /other\r\n\r\n", "answers 301, which is not followed"),
        (b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", "answers 404"),
        (b"HTTP/1.1 500 Oh\r\n\r\n", "answers 500"),
        (b"HTTP/1.1 206 Part\r\n\r\n", "answers 206"),
        (b"HTTP/1.1 100 Continue\r\n\r\n", "answers 100"),
        (b"HTTP/2 200\r\n\r\n", "does not answer in HTTP"),
        (b"HTTP/1.1 2000 OK\r\n\r\n", "does not answer in HTTP"),
        (b"SSH-2.0-OpenSSH_9.2\r\n\r\n", "does not answer in HTTP"),
        (b"\x00\xff\xfe" * 100 + b"\r\n\r\n", "does not answer in HTTP"),
        (b"", "does not answer in HTTP"),
        (OK + b"X: y\r\n", "does not answer in HTTP"),
        (OK + b"X: " + b"y" * MAX_HEAD + b"\r\n\r\n", "does not answer in HTTP"),
        (OK + b"no colon\r\n\r\n", "head is malformed"),
        (OK + b"X: y\r\n folded\r\n\r\n", "head is malformed"),
        (OK + b"Content-Length : 5\r\n\r\nhello", "head is malformed"),
        (OK + b"X: \x00\r\n\r\n", "head is malformed"),
        (OK + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello", "contradicts itself"),
        (OK + b"Content-Length: -1\r\n\r\nhello", "length is no number"),
        (OK + b"Content-Length: +5\r\n\r\nhello", "length is no number"),
        (OK + b"Content-Length: " + b"9" * 5000 + b"\r\n\r\nhello", "length is no number"),
        (OK + b"Content-Length: 6\r\n\r\nhello", "hangs up before the end"),
        (OK + b"Content-Encoding: gzip\r\n\r\nhello", "is compressed"),
        (OK + b"Transfer-Encoding: gzip, chunked\r\n\r\n", "transfer coding is not known"),
        (OK + b"Transfer-Encoding: chunked\r\n\r\n", "hangs up before the end"),
        (OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhe", "hangs up before the end"),
        (OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello, world\r\n", "chunks are malformed"),
        (OK + b"Transfer-Encoding: chunked\r\n\r\nx\r\n", "chunks are malformed"),
        (OK + b"Transfer-Encoding: chunked\r\n\r\n-5\r\nhello\r\n", "chunks are malformed"),
        (OK + b"Transfer-Encoding: chunked\r\n\r\n" + b"0" * 3000, "too long"),
        (OK + b"Transfer-Encoding: chunked\r\n\r\nFFFFFFFF\r\n", "larger than"),
    ],
)
async def test_anything_else_is_no_page(answer: bytes, why: str) -> None:
    message = await refused(saying(answer))
    assert why in message
    assert "169.254" not in message


@pytest.mark.parametrize(
    "parts",
    [(b"HTTP/1.1 200 OK\r\nContent-",), (OK + b"Content-Length: 5\r\n\r\nhel",), (OK + b"\r\nhello",), ()],
    ids=["half a head", "half a body", "a body without an end", "nothing"],
)
async def test_who_does_not_come_to_an_end_is_not_waited_for(parts: tuple[bytes, ...]) -> None:
    message = await refused(saying(*parts, keep_open=True), timeout_s=SHORT_S)
    assert message == "the guest gives no whole answer in 0.3 s"


async def test_a_body_byte_by_byte_is_not_waited_for_longer_than_the_whole_may_take() -> None:
    async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(OK + b"Content-Length: 1000\r\n\r\n")
        while not writer.is_closing():
            writer.write(b"x")
            await writer.drain()
            await asyncio.sleep(0.02)

    assert "no whole answer in 0.3 s" in await refused(drip, timeout_s=SHORT_S)


async def test_the_request_names_the_path_and_the_published_address_and_nothing_else() -> None:
    heard: list[bytes] = []

    async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(OK + b"\r\n")
        await writer.drain()

    async with serving(listen) as port:
        await page(port, "/api/v1?x=%20")
    lines = heard[0].decode().split("\r\n")
    assert lines[:2] == ["GET /api/v1?x=%20 HTTP/1.1", f"Host: {HERE}:{port}"]
    assert {"Accept-Encoding: identity", "Connection: close", "Accept: application/json"} < set(lines)


@pytest.mark.parametrize("address", ["localhost", "example.com", "127.0.0.1:80", "", "127.1"])
async def test_no_name_is_ever_resolved(address: str) -> None:
    with pytest.raises(DriverRefused):
        await PAGES.page(address, 80, "/", max_bytes=MIB, timeout_s=SHORT_S)


@pytest.mark.parametrize("path", ["", "api", "/a b", "/a\r\nX: y", "/é", "http://elsewhere/"])
async def test_a_path_that_would_be_more_than_a_path_is_not_sent(path: str) -> None:
    with pytest.raises(DriverRefused):
        await page(1, path)


async def test_nobody_there_is_told_in_a_sentence() -> None:
    with socket.socket() as taken:
        taken.bind((HERE, 0))
        with pytest.raises(DriverUnavailable, match="the guest cannot be reached"):
            await page(taken.getsockname()[1])


async def test_a_connection_that_is_reset_is_told_in_a_sentence() -> None:
    async def reset(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(OK)
        await writer.drain()
        writer.transport.abort()

    assert (await refused(reset)).startswith("the guest ")


CHUNK = st.sampled_from([OK, b"HTTP/1.1 ", b"200", b"\r\n", b"\n", b"\r\n\r\n", b"5\r\nhello\r\n", b"0\r\n\r\n"])
FIELD = st.sampled_from([b"Content-Length: ", b"Transfer-Encoding: chunked\r\n", b"5", b"FFFFFFFF", b": ", b"\0"])


@given(st.lists(CHUNK | FIELD | st.binary(max_size=9), max_size=16))
@settings(max_examples=60, deadline=None)
def test_whatever_a_guest_says_is_a_page_or_a_sentence(parts: list[bytes]) -> None:
    async def ask() -> None:
        try:
            assert len(await got(b"".join(parts))) <= MIB
        except DriverUnavailable as error:
            assert error.message.startswith("the guest ")

    asyncio.run(ask())


def a_simulated_guest(**behaviour: object) -> SimulatedPages:
    """Pages of a host with one guest, published at HERE, port 8080."""
    clock = SystemClock()
    host = SimulatedHost(clock, random.Random(1))
    forward = Forward(host_address=HERE, host_port=8080, guest_port=80)
    attachment = Attachment(mode="user", address=HERE, forwards=(forward,))
    booted = Booted(config=VMConfig(), restart_nonce=0)
    boot = Boot(uid=uid_of("web-1"), name="web-1", booted=booted, attachment=attachment)
    host.spawn(uid_of("web-1"), Behaviour(**behaviour), boot)  # type: ignore[arg-type]
    return SimulatedPages(host, clock)


async def test_a_simulated_guest_serves_a_document() -> None:
    raw = await a_simulated_guest().page(HERE, 8080, "/api", max_bytes=MIB, timeout_s=SHORT_S)
    assert b'"openapi": "3.0.3"' in raw


@pytest.mark.parametrize(
    ("behaviour", "port", "why"),
    [
        ({}, 8081, "cannot be reached"),
        ({"boot_s": 60.0}, 8080, "cannot be reached"),
        ({"answers": "unhealthy"}, 8080, "answers 503"),
        ({"answers": "mute"}, 8080, "no whole answer in 0.1 s"),
    ],
)
async def test_a_simulated_guest_that_is_not_well_serves_none(
    behaviour: dict[str, object], port: int, why: str
) -> None:
    with pytest.raises(DriverUnavailable, match=why):
        await a_simulated_guest(**behaviour).page(HERE, port, "/api", max_bytes=MIB, timeout_s=0.1)
