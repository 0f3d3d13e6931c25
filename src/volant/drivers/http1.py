"""Just enough HTTP/1.1 to ask a guest for one thing: a connection, a request, the head of the answer.

    probes, pages ──▶ connection ──GET──▶ the guest's published port

It goes to the numeric address it is given: nothing is resolved, no proxy is asked, no redirect is followed. Guests are
not trusted: what one sends is read in small pieces, and whoever reads it bounds it in size and in time.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from ipaddress import ip_address

MAX_HEAD = 16 << 10
"""Bytes of an answer's head. A longer one counts as none: no server that is well sends one."""
PATH = re.compile(r"/[!-~]*")
"""What may stand in the first line of a request: no blank, no line break."""

_END_OF_HEAD = re.compile(rb"\r?\n\r?\n")


def is_numeric(address: str) -> bool:
    """Whether it is an IP address, so that nobody has to be asked where that is."""
    try:
        ip_address(address)
    except ValueError:
        return False
    return True


@asynccontextmanager
async def connection(address: str, port: int) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A connection that is gone at the end of the block. Raises OSError."""
    reader, writer = await asyncio.open_connection(address, port, limit=MAX_HEAD)
    try:
        yield reader, writer
    finally:
        # Aborted, not closed: whatever is still to come or to go is of no interest, and nobody waits for it.
        writer.transport.abort()


def get(address: str, port: int, path: str, accept: str = "*/*") -> bytes:
    """The whole request."""
    host = f"[{address}]" if ":" in address else address
    lines = (f"GET {path} HTTP/1.1", f"Host: {host}:{port}", "User-Agent: volant", f"Accept: {accept}")
    return "\r\n".join((*lines, "Accept-Encoding: identity", "Connection: close", "", "")).encode()


async def head(reader: asyncio.StreamReader) -> tuple[bytes, bytes] | None:
    """The head of an answer, and what of its body has come with it.

    None when the head does not end within MAX_HEAD or before the connection does.
    """
    found = bytearray()
    while len(found) < MAX_HEAD:
        chunk = await reader.read(MAX_HEAD - len(found))
        if not chunk:
            break
        start = max(0, len(found) - 3)
        found += chunk
        # Only what is new is searched, because a guest may send its head byte by byte.
        end = _END_OF_HEAD.search(found, start)
        if end is not None:
            return bytes(found[: end.end()]), bytes(found[end.end() :])
    return None
