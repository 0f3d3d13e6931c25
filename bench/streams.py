"""Readers of the event stream: any number of them in one epoll loop, beside whatever request goes out meanwhile.

Every reader decodes its own chunks and looks at every frame: its id must be larger than the one before, and what it saw
is kept as ids and arrival times, so that readers can be compared with each other afterwards.
"""

from __future__ import annotations

import re
import select
import socket
import time
from array import array
from collections.abc import Callable, Sequence

from bench.report import NotMeasured
from bench.wire import Address, answer, connect, request

# An id without an event tells a reader where it is; it is nothing that happened.
_ID = re.compile(rb"^id: ?(\d+)\n(?:event|data):", re.MULTILINE)
_EVENT = re.compile(rb"^event: ?(\S+)$", re.MULTILINE)

Seen = Callable[[bytes, float], None]
"""Called with each whole frame and when it arrived (`time.perf_counter`)."""


class Reader:
    """One open stream."""

    def __init__(self, address: Address, path: str, on_frame: Seen | None = None, after: int | None = None) -> None:
        self.sock: socket.socket = connect(address)
        self.ids = array("q")
        self.in_order = True
        self.was_reset = False
        self.last_event = b""
        self.is_open = True
        self.is_listening = False
        self._raw = b""
        self._text = b""
        self._on_frame = on_frame
        extra = {} if after is None else {"last_event_id": str(after)}
        self.sock.send(request(address, "GET", path, None, accept="text/event-stream", **extra))

    def read(self, now: float) -> None:
        """Take what is there."""
        try:
            got = self.sock.recv(262_144)
        except BlockingIOError:
            return
        except ConnectionResetError:
            got = b""
        if not got:
            self.is_open = False
            return
        self._raw += got
        if not self.is_listening and not self._take_head():
            return
        self._unchunk()
        self._take_frames(now)

    def _take_head(self) -> bool:
        head, found, rest = self._raw.partition(b"\r\n\r\n")
        if not found:
            return False
        if head[9:12] != b"200" or b"chunked" not in head.lower():
            raise NotMeasured(f"the event stream did not open: {self._raw[:300]!r}")
        self._raw, self.is_listening = rest, True
        return True

    def _unchunk(self) -> None:
        raw, at, parts = self._raw, 0, []
        while (line := raw.find(b"\r\n", at)) >= 0:
            size = int(raw[at:line], 16)
            if len(raw) < line + size + 4:
                break
            parts.append(raw[line + 2 : line + 2 + size])
            at = line + size + 4
        self._raw = raw[at:]
        self._text += b"".join(parts)

    def _take_frames(self, now: float) -> None:
        whole, found, self._text = self._text.rpartition(b"\n\n")
        if not found:
            return
        for number in _ID.findall(whole):
            identity = int(number)
            self.in_order &= not self.ids or identity > self.ids[-1]
            self.ids.append(identity)
        types = _EVENT.findall(whole)
        if types:
            self.last_event = types[-1]
            self.was_reset |= b"reset" in types
        if self._on_frame is not None:
            for frame in whole.split(b"\n\n"):
                self._on_frame(frame, now)


def event_type(frame: bytes) -> bytes:
    """The `event:` of a frame, empty for a comment."""
    found = _EVENT.search(frame)
    return found[1] if found else b""


class Readers:
    """Readers under one epoll, with at most one request in flight beside them."""

    def __init__(self) -> None:
        self.epoll = select.epoll()
        self.all: list[Reader] = []
        self._by_fd: dict[int, Reader] = {}

    def open(self, address: Address, path: str, on_frames: Sequence[Seen | None], bound_s: float = 30.0) -> None:
        """Open one stream for each entry and return when all of them are being served."""
        for on_frame in on_frames:
            self.add(Reader(address, path, on_frame))
        self.until("the event streams are open", lambda: all(r.is_listening for r in self.all), bound_s)

    def add(self, reader: Reader) -> None:
        """Look after one more."""
        self.all.append(reader)
        self._by_fd[reader.sock.fileno()] = reader
        self.epoll.register(reader.sock, select.EPOLLIN)

    def turn(self, timeout_s: float) -> None:
        """Read whatever is there, waiting at most so long for something."""
        for fd, _ in self.epoll.poll(timeout_s, 512):
            reader = self._by_fd.get(fd)
            if reader is None:
                continue
            reader.read(time.perf_counter())
            if not reader.is_open:
                self.epoll.unregister(fd)
                del self._by_fd[fd]

    def until(self, what: str, check: Callable[[], bool], bound_s: float) -> None:
        """Read until it is so; NotMeasured when it does not come in time."""
        deadline = time.perf_counter() + bound_s
        while not check():
            if time.perf_counter() > deadline:
                raise NotMeasured(f"{what}: not within {bound_s:.0f} s")
            self.turn(0.05)

    def settle(self, quiet_s: float = 0.5, bound_s: float = 60.0) -> None:
        """Read until nothing has come for so long."""
        deadline, seen, since = time.perf_counter() + bound_s, -1, time.perf_counter()
        while time.perf_counter() < min(deadline, since + quiet_s):
            self.turn(0.05)
            count = sum(len(reader.ids) for reader in self.all)
            if count != seen:
                seen, since = count, time.perf_counter()

    @property
    def open_count(self) -> int:
        """Streams that have not ended."""
        return len(self._by_fd)

    def agree(self) -> str:
        """One sentence: whether every reader saw the same events in the same order."""
        first = self.all[0].ids
        if any(reader.was_reset for reader in self.all):
            return "a reader was told that it had MISSED events"
        if not all(reader.in_order for reader in self.all):
            return "ids are NOT strictly increasing"
        different = sum(reader.ids != first for reader in self.all)
        if different:
            return f"{different} of {len(self.all)} readers saw OTHER events than the first"
        return f"every one of {len(self.all)} readers saw the same {len(first):,} events, ids strictly increasing"

    def close(self) -> None:
        """Hang up."""
        self.epoll.close()
        for reader in self.all:
            reader.sock.close()


class Call:
    """One request on a connection of its own, whose answer is waited for while the readers go on reading."""

    def __init__(self, readers: Readers, address: Address) -> None:
        self._readers = readers
        self._address = address
        self._sock = connect(address)
        readers.epoll.register(self._sock, select.EPOLLIN)

    def send(self, payload: bytes, bound_s: float = 30.0) -> tuple[float, float, int]:
        """When it left, when the answer was in (`time.perf_counter`), and its status."""
        began, buffer = time.perf_counter(), b""
        self._sock.send(payload)
        while time.perf_counter() < began + bound_s:
            self._readers.turn(0.05)
            try:
                got = self._sock.recv(65536)
            except BlockingIOError:
                continue
            if not got:
                break
            buffer += got
            whole = answer(buffer)
            if whole is not None:
                return began, time.perf_counter(), whole.status
        raise NotMeasured("a request beside the event streams got no answer")

    def close(self) -> None:
        """Hang up."""
        self._sock.close()


class Pipeline:
    """Requests on one connection that are sent when they are due, whether those before are answered or not.

    A writer that waits for each answer slows down with the server, and never shows what more would do to it.
    """

    def __init__(self, readers: Readers, address: Address) -> None:
        self.answered = 0
        self._sock = connect(address)
        self._buffer = b""
        readers.epoll.register(self._sock, select.EPOLLIN)

    def send(self, payload: bytes) -> float:
        """When it left (`time.perf_counter`)."""
        self._sock.send(payload)
        return time.perf_counter()

    def read(self) -> None:
        """Take what is there of the answers. Raises NotMeasured for one that is not 200."""
        try:
            self._buffer += self._sock.recv(65536)
        except BlockingIOError:
            return
        while (whole := answer(self._buffer)) is not None:
            if whole.status != 200:
                raise NotMeasured(f"a write beside the event streams was answered with {whole.status}")
            self.answered += 1
            self._buffer = self._buffer[whole.end :]

    def close(self) -> None:
        """Hang up."""
        self._sock.close()
