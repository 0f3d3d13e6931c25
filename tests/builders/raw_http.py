"""HTTP as bytes on a socket: requests that no client library would send, and how they are answered.

    reply, = exchange(address, request("GET", "/api/v1/vms/%00"))

Everything has a bound: a connection on which nothing comes for `PATIENCE_S` fails its test.
"""

from __future__ import annotations

import json
import select
import socket
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import Any

PATIENCE_S = 5.0
"""How long an answer may take: the second that is promised, and room for a machine that is busy with other tests."""

Address = tuple[str, int]


@dataclass(frozen=True)
class Reply:
    """One answer, and how long it took from the first byte of its request."""

    status: int
    headers: dict[str, str]
    body: bytes
    seconds: float

    @property
    def json(self) -> Any:
        """The body, decoded."""
        return json.loads(self.body)

    @property
    def code(self) -> str:
        """The error code."""
        code: str = self.json["code"]
        return code


def request(method: str, path: str, *headers: str, body: bytes | None = None, host: str = "localhost") -> bytes:
    """A request; a body brings its length and the type that JSON has, unless the headers say otherwise."""
    lines = [f"{method} {path} HTTP/1.1", f"Host: {host}", *headers]
    names = {header.partition(":")[0].lower() for header in headers}
    if body is not None and "transfer-encoding" not in names:
        lines += [] if "content-length" in names else [f"Content-Length: {len(body)}"]
        lines += [] if "content-type" in names else ["Content-Type: application/json"]
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + (body or b"")


def exchange(address: Address, *pieces: bytes, ends: bool = False) -> list[Reply]:
    """Send the pieces, which are one request or several; the answers that came before the other side closed.

    Asks to close after the first answer by half-closing when `ends`, else stops after the first answer.
    """
    with closing(socket.create_connection(address, PATIENCE_S)) as sock:
        begun = time.monotonic()
        answer = b""
        for chunk in _both_ways(sock, iter(pieces)):
            answer += chunk
            found = replies(answer, time.monotonic() - begun)
            if found and not ends:
                return found
        return replies(answer, time.monotonic() - begun)


def poured(address: Address, head: bytes, piece: bytes, count: int) -> tuple[Reply, int]:
    """Send a head and `piece` `count` times, as far as the other side lets us; its answer, and how many it took."""
    with closing(socket.create_connection(address, PATIENCE_S)) as sock:
        begun, answer, taken, seconds = time.monotonic(), b"", 0, 0.0

        def pieces() -> Iterator[bytes]:
            nonlocal taken
            yield head
            for _ in range(count):
                yield piece
                taken += 1

        for chunk in _both_ways(sock, pieces()):
            answer += chunk
            if not seconds and replies(answer, 0.0):
                seconds = time.monotonic() - begun
            if taken == count:
                break
        return replies(answer, seconds)[0], taken


def _both_ways(sock: socket.socket, pieces: Iterator[bytes]) -> Iterator[bytes]:
    """What comes while the pieces go out and after, until the other side closes. An empty one when a piece is out."""
    sock.setblocking(False)
    left = next(pieces, b"")
    while True:
        readable, writable, _ = select.select([sock], [sock] if left else [], [], PATIENCE_S)
        assert readable or writable, f"nothing for {PATIENCE_S} s"
        try:
            if readable:
                chunk = sock.recv(1 << 16)
                if not chunk:
                    return
                yield chunk
            if writable:
                left = left[sock.send(left) :]
                if not left:
                    left = next(pieces, b"")
                    if not left:
                        yield b""
        except (ConnectionResetError, BrokenPipeError):
            return


def replies(stream: bytes, seconds: float = 0.0) -> list[Reply]:
    """The whole answers at the beginning of what came on a connection."""
    found = []
    while b"\r\n\r\n" in stream:
        head, _, rest = stream.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
        length = int(headers.get("content-length", 0))
        if len(rest) < length or not first.startswith("HTTP/1.1 "):
            break
        found.append(Reply(int(first.split()[1]), headers, rest[:length], seconds))
        stream = rest[length:]
    return found
