"""A web server on loopback that does what a test tells it to, lies included.

async with serving(answer(b"content")) as server:
    await cache.ensure(server.url("/kernel"), None)
    assert server.asked == ["/kernel"]
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field

Writer = asyncio.StreamWriter
Behaviour = Callable[[str, Writer], Awaitable[None]]
"""Path of the request and where to write: everything from the status line on. The connection is closed after it."""

LOOPBACK = "127.0.0.1"


@dataclass
class Server:
    """What it was asked for, in order."""

    port: int = 0
    scheme: str = "http"
    asked: list[str] = field(default_factory=list)
    hosts: list[str] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)

    def url(self, path: str = "/artifact", host: str = LOOPBACK) -> str:
        """The address of a path, under any name."""
        return f"{self.scheme}://{host}:{self.port}{path}"


@contextlib.asynccontextmanager
async def serving(
    behaviour: Behaviour, *, host: str = LOOPBACK, tls: ssl.SSLContext | None = None
) -> AsyncIterator[Server]:
    """A server with that behaviour on a free port. Whatever still talks is cut off at the end."""
    server = Server(scheme="https" if tls else "http")
    talking: set[asyncio.Task[None]] = set()

    async def talk(reader: asyncio.StreamReader, writer: Writer) -> None:
        task = asyncio.current_task()
        assert task is not None
        talking.add(task)
        try:
            # A client that hangs up half-way is not the server's failure.
            with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
                lines = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
                path = lines[0].split()[1]
                headers = {key.lower(): value for key, _, value in (line.partition(": ") for line in lines[1:] if line)}
                server.asked.append(path)
                server.hosts.append(headers["host"])
                server.headers.append(headers)
                await behaviour(path, writer)
                await writer.drain()
        finally:
            talking.discard(task)
            writer.close()

    listener = await asyncio.start_server(talk, host, 0, ssl=tls)
    server.port = listener.sockets[0].getsockname()[1]
    try:
        yield server
    finally:
        listener.close()
        for task in list(talking):
            task.cancel()
        await asyncio.wait(talking) if talking else None


def answer(content: bytes, status: str = "200 OK", **headers: str) -> Behaviour:
    """An honest answer."""

    async def behave(path: str, writer: Writer) -> None:
        writer.write(head(status, content_length=str(len(content)), **headers) + content)

    return behave


def redirect(to: Callable[[str], str] | str, status: str = "302 Found") -> Behaviour:
    """Elsewhere: always the same place, or one that depends on the path."""

    async def behave(path: str, writer: Writer) -> None:
        location = to if isinstance(to, str) else to(path)
        writer.write(head(status, content_length="6", location=location) + b"secret")

    return behave


def head(status: str = "200 OK", **headers: str) -> bytes:
    """The head of an answer that ends with its connection. `content_length` is written `content-length`."""
    lines = [f"{key.replace('_', '-')}: {value}" for key, value in headers.items()]
    return "\r\n".join([f"HTTP/1.1 {status}", "connection: close", *lines, "", ""]).encode()
