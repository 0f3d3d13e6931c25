"""`lists`: `GET /vms` of 1,000 running VMs on one connection, beside a bare endpoint that sends the same bytes.

Every side is asked once in turn, so that what the machine does meanwhile happens to all of them. The filters let every
VM through: what they cost is looking, not leaving out.
"""

from __future__ import annotations

import http.client
import socket
import time
from collections.abc import Mapping

from bench.figures import Spread, percentile, ratios
from bench.report import NotMeasured
from bench.run import Run, settle, wait_running
from bench.servers import PLUGIN, Daemon, Server, baseline, simulated
from bench.wire import API, Address, request

GOAL_MS = 4.0
ASKED = {
    "GET /vms": "/vms",
    "GET /vms?plugin=": f"/vms?plugin={PLUGIN}",
    "GET /vms?label_selector=": "/vms?label_selector=app%3Dweb,!gone",
    "GET /vms?sort=status": "/vms?sort=status",
    "GET /vms?fields=name,status": "/vms?fields=name,status",
    "GET /vms?limit=100": "/vms?limit=100",
}


class _Reader:
    """One connection. Answers are read into one buffer that is large enough, because joining pieces takes time too."""

    def __init__(self, address: Address) -> None:
        self._sock = socket.create_connection(address, 10)
        self._sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._buffer = bytearray(16 << 20)
        self._view = memoryview(self._buffer)

    def time(self, asked: bytes) -> float:
        """Milliseconds from sending the request to having all of its answer."""
        began = time.perf_counter()
        self._sock.sendall(asked)
        have, need = 0, 0
        while not need or have < need:
            got = self._sock.recv_into(self._view[have:])
            if not got:
                raise NotMeasured("the server closed the connection")
            have += got
            head = -1 if need else self._buffer.find(b"\r\n\r\n", 0, have)
            if head >= 0:
                need = head + 4 + self._length(head)
        elapsed = time.perf_counter() - began
        if self._buffer[9:12] != b"200":
            raise NotMeasured(f"expected 200, got {bytes(self._buffer[:200])!r}")
        return elapsed * 1e3

    def _length(self, head: int) -> int:
        at = self._buffer.find(b"\ncontent-length:", 0, head) + 16
        return int(self._buffer[at : self._buffer.find(b"\r", at)])

    def close(self) -> None:
        self._sock.close()


def measure(run: Run) -> None:
    """Print it."""
    count, rounds, each = run.pick(1_000, 1_000), run.pick(9, 5), run.pick(25, 10)
    with baseline() as bare, simulated() as daemon:
        daemon.call(
            "POST", "/deployments", {"name": "fleet", "plugin": PLUGIN, "replicas": count, "labels": {"app": "web"}}
        )
        wait_running(daemon, count)
        settle(daemon)
        size = _copy(daemon, bare)
        sides = {"bare endpoint, the same bytes": request(bare.address, "GET", "//kept")}
        sides |= {label: request(daemon.address, "GET", path) for label, path in ASKED.items()}
        times = _times({label: bare if "bare" in label else daemon for label in sides}, sides, rounds, each)
    _report(run, count, size, times)


def _copy(daemon: Daemon, bare: Server) -> int:
    """Have the bare endpoint send what the daemon does; how many bytes that are."""
    sent: list[bytes] = []
    for server, method, path in ((daemon, "GET", f"{API}/vms"), (bare, "POST", "/kept")):
        connection = http.client.HTTPConnection(*server.address, timeout=30)
        connection.request(method, path, sent[0] if sent else None)
        sent.append(connection.getresponse().read())
        connection.close()
    return len(sent[0])


def _times(servers: Mapping[str, Server], sides: Mapping[str, bytes], rounds: int, each: int) -> dict[str, list[float]]:
    """The median of each round in milliseconds, by side. The first answers, which encode everything, do not count."""
    readers = {label: _Reader(server.address) for label, server in servers.items()}
    for label, asked in sides.items():
        readers[label].time(asked)
    medians: dict[str, list[float]] = {label: [] for label in sides}
    for _ in range(rounds):
        seen: dict[str, list[float]] = {label: [] for label in sides}
        for _ in range(each):
            for label, asked in sides.items():
                seen[label].append(readers[label].time(asked))
        for label, one in seen.items():
            medians[label].append(percentile(one, 0.5))
    for reader in readers.values():
        reader.close()
    return medians


def _report(run: Run, count: int, size: int, times: Mapping[str, list[float]]) -> None:
    out = run.out
    out.note(f"{count:,} VMs, {size / 1e3:,.0f} kB, p50 of one connection")
    bare, full, by_plugin, by_label, *others = times
    out.row(bare, Spread.of(times[bare]).text("ms"))
    for label in (full, by_plugin, by_label):
        out.goal(label, Spread.of(times[label]), GOAL_MS, "<=", "ms")
    for label in others:
        out.row(label, Spread.of(times[label]).text("ms"))
    out.row("GET /vms / bare endpoint", ratios(times[full], times[bare]).text("x"))
    out.goal("?plugin= / GET /vms", ratios(times[by_plugin], times[full]), 1.05, "<=")
