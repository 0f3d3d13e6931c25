"""HTTP/1.1 as bytes: requests made beforehand, answers read no further than the figure needs.

A general client would spend more on an answer than the server does and so measure itself. This one knows its server:
lower-case header names, and a `content-length` on every answer that is not a stream.
"""

from __future__ import annotations

import json
import socket
from typing import Any, NamedTuple

Address = tuple[str, int]
API = "/api/v1"


class Answer(NamedTuple):
    """One whole answer: where it ends in the buffer, and its status."""

    status: int
    end: int


def request(address: Address, method: str, path: str, body: Any = None, **headers: str) -> bytes:
    """One request, ready to send. `path` is below `/api/v1` unless it starts with `//`."""
    target = path[1:] if path.startswith("//") else API + path
    payload = b"" if body is None else json.dumps(body, separators=(",", ":")).encode()
    lines = [f"{method} {target} HTTP/1.1", f"host: {address[0]}:{address[1]}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    if body is not None:
        lines += ["content-type: application/json", f"content-length: {len(payload)}"]
    return ("\r\n".join(lines) + "\r\n\r\n").encode() + payload


def answer(buffer: bytes) -> Answer | None:
    """The answer at the start of `buffer`, or None while it is not all there."""
    head = buffer.find(b"\r\n\r\n")
    if head < 0:
        return None
    status = int(buffer[9:12])
    at = buffer.find(b"\ncontent-length:", 0, head)
    if at < 0:
        if status in {204, 304}:
            return Answer(status, head + 4)
        raise ValueError(f"cannot read an answer without content-length: {buffer[:head]!r}")
    end = head + 4 + int(buffer[at + 16 : buffer.find(b"\r", at)])
    return Answer(status, end) if len(buffer) >= end else None


def connect(address: Address, timeout_s: float = 10.0) -> socket.socket:
    """A connected, nonblocking socket without delays of its own."""
    sock = socket.create_connection(address, timeout_s)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setblocking(False)
    return sock
