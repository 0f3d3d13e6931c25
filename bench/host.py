"""This machine: cores to pin to, what a process has used, and how busy everybody else was.

The server runs on the first core and the clients on the last, so that neither measures the other. With one core they
share it, and the report says so.
"""

from __future__ import annotations

import contextlib
import os
import re
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ALL_CORES = frozenset(os.sched_getaffinity(0))
SERVER_CORES = frozenset({min(ALL_CORES)})
CLIENT_CORES = frozenset({max(ALL_CORES)})

_TICK_S = 1 / os.sysconf("SC_CLK_TCK")
_PAGE_MIB = os.sysconf("SC_PAGE_SIZE") / (1 << 20)


class Usage(NamedTuple):
    """What a process has used so far."""

    cpu_s: float
    rss_mib: float


def usage(pid: int) -> Usage:
    """CPU of all threads since the start, and resident memory now. Ended children do not count."""
    fields = stat_fields(pid)
    return Usage((int(fields[11]) + int(fields[12])) * _TICK_S, int(fields[21]) * _PAGE_MIB)


def pss_mib(pid: int) -> float:
    """Memory that a process holds: its own pages, and of those that it shares its share."""
    rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
    return int(re.findall(r"^Pss: +(\d+) kB", rollup, re.MULTILINE)[0]) / 1024


def written_bytes(pid: int) -> int:
    """What the process has caused to be written to disks so far."""
    return int(re.findall(r"^write_bytes: (\d+)", Path(f"/proc/{pid}/io").read_text(), re.MULTILINE)[0])


def stat_fields(pid: int) -> list[str]:
    """`/proc/PID/stat` after the command name: index 0 is the state, 16 the nice value."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


class Foreign:
    """What others take of the cores from now on: all that is busy, less this process and the children it waited for."""

    def __init__(self) -> None:
        self._before = (time.monotonic(), _busy_s(), _own_s())

    def share(self) -> float:
        """Of all cores, so far."""
        at, busy, own = self._before
        taken = _busy_s() - busy - (_own_s() - own)
        return max(0.0, taken / (time.monotonic() - at) / len(ALL_CORES))


def _own_s() -> float:
    return sum(os.times()[:4])


class Window:
    """How much CPU went where between its making and `close`, as shares of one core."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._before = (time.monotonic(), usage(pid).cpu_s, time.process_time(), _busy_s())
        self.seconds = self.cpu_s = self.share = self.foreign = 0.0

    def close(self) -> Window:
        """Take the second look."""
        at, server, client, busy = self._before
        self.seconds = time.monotonic() - at
        self.cpu_s = usage(self._pid).cpu_s - server
        self.share = self.cpu_s / self.seconds
        ours = self.cpu_s + time.process_time() - client
        self.foreign = max(0.0, (_busy_s() - busy - ours) / self.seconds / len(ALL_CORES))
        return self


def _busy_s() -> float:
    """CPU seconds spent by anybody since boot, steal included."""
    user, nice, system, _idle, _iowait, irq, softirq, steal = map(
        int, Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]
    )
    return (user + nice + system + irq + softirq + steal) * _TICK_S


@contextlib.contextmanager
def on_cores(cores: frozenset[int]) -> Iterator[None]:
    """Run on these cores meanwhile; processes started inside stay on them."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def raise_descriptor_limit() -> int:
    """As many descriptors as may be had; a thousand readers need one each on both sides. Children inherit it."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


def file_system(path: Path) -> str:
    """The type of the file system that holds `path`: a commit on tmpfs is not durable and costs nothing."""
    best, kind = "", "unknown"
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        left, _, right = line.partition(" - ")
        mount = left.split()[4]
        if path.resolve().is_relative_to(mount) and len(mount) >= len(best):
            best, kind = mount, right.split()[0]
    return kind


@contextlib.contextmanager
def hogs(count: int, nice: int, cores: frozenset[int]) -> Iterator[None]:
    """So many processes that do nothing but burn CPU at that nice value, for as long as the block lasts."""
    burn = f"import os, time\nos.nice({nice})\nend = time.monotonic() + 120\nwhile time.monotonic() < end: pass"
    started: list[subprocess.Popen[bytes]] = []
    try:
        with on_cores(cores):
            started += [subprocess.Popen([sys.executable, "-S", "-c", burn]) for _ in range(count)]
        time.sleep(0.3 if count else 0)
        yield
    finally:
        for hog in started:
            hog.kill()
            hog.wait()
