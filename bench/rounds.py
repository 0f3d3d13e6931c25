"""Rounds: slices of load that alternate between the sides, added up.

A shared machine's mood lasts for seconds. Slices of a fraction of a second, side by side, give both sides their share
of every mood, and what is compared is the sum of a round's slices.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from bench.figures import Spread, percentile
from bench.host import Window
from bench.load import Load, closed
from bench.report import Report
from bench.servers import Server

CONNECTIONS = 64


@dataclass
class Round:
    """One side's slices of one round. Times in seconds."""

    latencies: list[float] = field(default_factory=list)
    seconds: float = 0.0
    cpu_s: float = 0.0
    client_cpu_s: float = 0.0
    foreign_s: float = 0.0

    def add(self, load: Load, window: Window) -> None:
        """One more slice."""
        self.latencies.extend(load.latencies)
        self.seconds += load.seconds
        self.cpu_s += window.cpu_s
        self.client_cpu_s += load.client_cpu_s
        self.foreign_s += window.foreign * window.seconds

    @property
    def count(self) -> int:
        """Answers."""
        return len(self.latencies)

    @property
    def rate(self) -> float:
        """Answers a second."""
        return self.count / self.seconds

    @property
    def cpu_us(self) -> float:
        """The server's CPU time for one answer, in microseconds."""
        return self.cpu_s / self.count * 1e6


def slice_of(server: Server, requests: Iterator[bytes], seconds: float, status: int, into: Round) -> int:
    """One slice of closed load on 64 connections; how many answers came."""
    window = Window(server.pid)
    load = closed(server.address, requests, connections=CONNECTIONS, seconds=seconds).check(status)
    into.add(load, window.close())
    return load.count


def rates(rounds: Iterable[Round]) -> list[float]:
    """Answers a second, round by round."""
    return [one.rate for one in rounds]


def cpu_times(rounds: Iterable[Round]) -> list[float]:
    """Microseconds of the server's CPU for one answer, round by round."""
    return [one.cpu_us for one in rounds]


def show(out: Report, label: str, rounds: Sequence[Round]) -> None:
    """Print one side."""
    p50, p99 = (Spread.of(percentile(one.latencies, share) * 1e3 for one in rounds).median for share in (0.5, 0.99))
    client = Spread.of(one.client_cpu_s / one.seconds for one in rounds).median
    foreign = Spread.of(one.foreign_s / one.seconds for one in rounds).median
    cpu = Spread.of(cpu_times(rounds)).median
    out.row(label, Spread.of(rates(rounds)).text("/s"))
    out.row("", f"p50 {p50:.1f} p99 {p99:.1f} ms, {cpu:.0f} us CPU each")
    out.row("", f"client share {client:.0%}, foreign load {foreign:.0%}")
