"""The load generator: many nonblocking sockets, one epoll loop, requests made beforehand.

    closed   every connection sends its next request when the answer to the last one is in: how much the server can do
    paced    requests leave at a fixed rate, whatever the answers do: how long a request takes at that rate. A request
             that had to wait for a free connection is timed from when it was due, so a stall is not hidden by the
             requests that it kept from being sent

It runs on the clients' core in the process of the bench and has to outrun the server: `client share` in the reports is
how much of its core it used.
"""

from __future__ import annotations

import gc
import select
import socket
import time
from array import array
from collections import Counter, deque
from collections.abc import Iterator, Sequence

from bench.figures import percentile
from bench.report import NotMeasured
from bench.wire import Address, answer, connect


class Load:
    """What came of it. Latencies are in seconds."""

    def __init__(self) -> None:
        self.latencies = array("d")
        self.statuses: Counter[int] = Counter()
        self.seconds = 0.0
        self.client_cpu_s = 0.0

    @property
    def count(self) -> int:
        """Answers."""
        return len(self.latencies)

    @property
    def rate(self) -> float:
        """Answers a second."""
        return self.count / self.seconds if self.seconds else 0.0

    def ms(self, share: float) -> float:
        """A percentile of the latencies in milliseconds."""
        return percentile(self.latencies, share) * 1e3

    def check(self, *statuses: int) -> Load:
        """Raise NotMeasured when any answer was another one: a rate of errors is no rate."""
        wrong = {status: n for status, n in self.statuses.items() if status not in statuses}
        if wrong or not self.count:
            raise NotMeasured(f"expected answers {statuses} only, got {dict(self.statuses)}")
        return self


class _Connection:
    __slots__ = ("began", "buffer", "sock")

    def __init__(self, address: Address) -> None:
        self.sock = connect(address)
        self.buffer = b""
        self.began = 0.0


class _Pool:
    """Connections under one epoll. `ready` yields those whose answer is in, with its status."""

    def __init__(self, address: Address, count: int, load: Load) -> None:
        self._load = load
        self._epoll = select.epoll()
        self._by_fd: dict[int, _Connection] = {}
        for _ in range(count):
            connection = _Connection(address)
            self._by_fd[connection.sock.fileno()] = connection
            self._epoll.register(connection.sock, select.EPOLLIN)
        self.all = list(self._by_fd.values())

    def ready(self, timeout_s: float) -> Iterator[_Connection]:
        load = self._load
        for fd, _ in self._epoll.poll(timeout_s, 256):
            connection = self._by_fd[fd]
            buffer = connection.sock.recv(65536)
            if not buffer:
                raise NotMeasured("the server closed a connection")
            if connection.buffer:
                buffer = connection.buffer + buffer
            whole = answer(buffer)
            if whole is None:
                connection.buffer = buffer
                continue
            connection.buffer = buffer[whole.end :]
            load.latencies.append(time.perf_counter() - connection.began)
            load.statuses[whole.status] += 1
            yield connection

    def close(self) -> None:
        self._epoll.close()
        for connection in self.all:
            connection.sock.close()


def closed(address: Address, requests: Iterator[bytes], *, connections: int, seconds: float) -> Load:
    """Send from `requests` until they are used up or the time is; then wait for the answers still out."""
    load = Load()
    pool = _Pool(address, min(connections, 4096), load)
    try:
        with _quiet():
            _run_closed(pool, load, requests, seconds)
    finally:
        pool.close()
    return load


def _run_closed(pool: _Pool, load: Load, requests: Iterator[bytes], seconds: float) -> None:
    clock = time.perf_counter
    began, cpu = clock(), time.process_time()
    until, out = began + seconds, 0
    for connection in pool.all:
        out += _send_next(connection, requests)
    while out:
        if clock() > until + 30:
            raise NotMeasured(f"{out} requests got no answer within 30 s")
        for connection in pool.ready(1.0):
            if clock() >= until or not _send_next(connection, requests):
                out -= 1
    load.seconds = clock() - began
    load.client_cpu_s = time.process_time() - cpu


def _send_next(connection: _Connection, requests: Iterator[bytes]) -> int:
    request = next(requests, None)
    if request is None:
        return 0
    connection.began = time.perf_counter()
    _send(connection.sock, request)
    return 1


def paced(address: Address, requests: Sequence[bytes], *, rate: float, connections: int = 32) -> Load:
    """Send each of `requests` once, `rate` a second."""
    load = Load()
    pool = _Pool(address, connections, load)
    try:
        with _quiet():
            _run_paced(pool, load, requests, 1 / rate)
    finally:
        pool.close()
    return load


def _run_paced(pool: _Pool, load: Load, requests: Sequence[bytes], gap: float) -> None:
    clock = time.perf_counter
    began, cpu, sent = clock(), time.process_time(), 0
    free = deque(pool.all)
    bound = began + len(requests) * gap + 30
    while load.count < len(requests):
        now = clock()
        if now > bound:
            raise NotMeasured(f"only {load.count} of {len(requests)} requests were answered in time")
        while sent < len(requests) and free and began + sent * gap <= now:
            connection = free.popleft()
            connection.began = began + sent * gap
            _send(connection.sock, requests[sent])
            sent += 1
        idle = began + sent * gap - clock() if sent < len(requests) and free else 1.0
        # epoll rounds up to whole milliseconds, so the last two are spent looking instead of sleeping.
        free.extend(pool.ready(max(0.0, idle - 0.002)))
    load.seconds = clock() - began
    load.client_cpu_s = time.process_time() - cpu


def _send(sock: socket.socket, request: bytes) -> None:
    if sock.send(request) != len(request):
        raise NotMeasured("the server stopped reading requests")


class _quiet:  # noqa: N801  reads as a statement
    """No collection meanwhile: the client's pauses would be counted as the server's."""

    def __enter__(self) -> None:
        gc.collect()
        gc.disable()

    def __exit__(self, *_: object) -> None:
        gc.enable()
