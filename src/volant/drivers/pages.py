"""One page that a guest serves, whole and bounded: the port `Pages` by sockets.

    connect ▸ GET ▸ head, at most 16 KiB ▸ 200? ▸ body by its length, its chunks or the end of the connection

What a guest sends is limited in bytes, in chunks and in time, from the first byte of the connection to the last of the
body. Anything but a plain 200 is no page: a redirect is not followed, because it would lead from the guest's own
address to wherever the guest likes, and a compressed body was not asked for.
"""

from __future__ import annotations

import asyncio
import re

from volant.drivers.http1 import PATH, connection, get, head, is_numeric
from volant.errors import DriverRefused, DriverUnavailable

MAX_CHUNKS = 10_000
"""Of a body in chunks. One byte in each would cost more to read than it is worth."""

_STATUS = re.compile(rb"HTTP/1\.[01] ([1-9][0-9]{2})(?:[ \r\n])")
_FIELD = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([^\x00\r\n]*?)[ \t]*\r?")
_LENGTH = re.compile(rb"[0-9]{1,15}")
_CHUNK = re.compile(rb"([0-9A-Fa-f]{1,8})[ \t]*(?:;[^\r\n]*)?\r?\n")
_MAX_LINE = 1024


class SocketPages:
    """The port `Pages`, by sockets. Keeps nothing between two pages."""

    async def page(self, address: str, port: int, path: str, *, max_bytes: int, timeout_s: float) -> bytes:
        """As the port says."""
        if not is_numeric(address) or not PATH.fullmatch(path):
            raise DriverRefused(f"cannot ask for {path!r} at {address!r}: it is no path, or no numeric address")
        try:
            async with asyncio.timeout(timeout_s), connection(address, port) as (reader, writer):
                writer.write(get(address, port, path, "application/json"))
                found = await head(reader)
                if found is None:
                    raise _NoPage("it does not answer in HTTP")
                return await _body(_fields(found[0]), _Rest(reader, found[1]), max_bytes)
        except TimeoutError:
            raise DriverUnavailable(f"the guest gives no whole answer in {timeout_s:g} s") from None
        except _NoPage as error:
            raise DriverUnavailable(f"the guest gives no page: {error}") from None
        except OSError as error:
            raise DriverUnavailable(f"the guest cannot be reached: {error.strerror or 'connection lost'}") from None


class _NoPage(Exception):
    """What was answered is no page; the message is the end of a sentence."""


class _Rest:
    """What follows the head. Never more in memory than was asked for and one read."""

    def __init__(self, reader: asyncio.StreamReader, begun: bytes) -> None:
        self._reader = reader
        self._held = bytearray(begun)

    async def exactly(self, size: int) -> bytes:
        while len(self._held) < size:
            await self._more(size - len(self._held))
        return self._take(size)

    async def line(self) -> bytes:
        while (end := self._held.find(b"\n")) < 0:
            if len(self._held) > _MAX_LINE:
                raise _NoPage("a line between two chunks is too long")
            await self._more(_MAX_LINE)
        return self._take(end + 1)

    async def until_end(self, most: int) -> bytes:
        """Everything, or the first `most` bytes of it."""
        while len(self._held) < most:
            chunk = await self._reader.read(most - len(self._held))
            if not chunk:
                break
            self._held += chunk
        return self._take(most)

    async def _more(self, size: int) -> None:
        chunk = await self._reader.read(size)
        if not chunk:
            raise _NoPage("it hangs up before the end")
        self._held += chunk

    def _take(self, size: int) -> bytes:
        taken = bytes(self._held[:size])
        del self._held[:size]
        return taken


def _fields(raw: bytes) -> dict[bytes, bytes]:
    """The header fields by lower-case name. Raises _NoPage for any other answer than a plain 200."""
    first, _, rest = raw.partition(b"\n")
    status = _STATUS.match(first + b"\n")
    if status is None:
        raise _NoPage("it does not answer in HTTP")
    if status[1] != b"200":
        is_elsewhere = status[1].startswith(b"3")
        raise _NoPage(f"it answers {status[1].decode()}" + (", which is not followed" if is_elsewhere else ""))
    fields: dict[bytes, bytes] = {}
    for line in rest.rstrip(b"\r\n").split(b"\n"):
        field = _FIELD.fullmatch(line)
        if field is None and line.strip(b"\r"):
            raise _NoPage("its head is malformed")
        if field is not None:
            name = field[1].lower()
            # Two lengths are two opinions on where the body ends; of other fields nothing depends on the second.
            if name in (b"content-length", b"transfer-encoding") and fields.get(name, field[2]) != field[2]:
                raise _NoPage("its head contradicts itself")
            fields[name] = field[2]
    return fields


async def _body(fields: dict[bytes, bytes], rest: _Rest, max_bytes: int) -> bytes:
    if fields.get(b"content-encoding", b"identity").lower() not in (b"", b"identity"):
        raise _NoPage("it is compressed")
    coding, length = fields.get(b"transfer-encoding"), fields.get(b"content-length")
    if coding is not None:
        if coding.lower() != b"chunked":
            raise _NoPage("its transfer coding is not known")
        return await _chunks(rest, max_bytes)
    if length is None:
        return _bounded(await rest.until_end(max_bytes + 1), max_bytes)
    if not _LENGTH.fullmatch(length):
        raise _NoPage("its length is no number")
    if int(length) > max_bytes:
        raise _too_large(max_bytes)
    return await rest.exactly(int(length))


async def _chunks(rest: _Rest, max_bytes: int) -> bytes:
    body = bytearray()
    for _ in range(MAX_CHUNKS):
        line = _CHUNK.fullmatch(await rest.line())
        if line is None:
            raise _NoPage("its chunks are malformed")
        size = int(line[1], 16)
        if size == 0:
            return bytes(body)
        if len(body) + size > max_bytes:
            raise _too_large(max_bytes)
        body += await rest.exactly(size)
        if (await rest.line()).strip(b"\r\n"):
            raise _NoPage("its chunks are malformed")
    raise _NoPage(f"it comes in more than {MAX_CHUNKS} chunks")


def _bounded(body: bytes, max_bytes: int) -> bytes:
    if len(body) > max_bytes:
        raise _too_large(max_bytes)
    return body


def _too_large(max_bytes: int) -> _NoPage:
    return _NoPage(f"it is larger than {max_bytes} bytes")
