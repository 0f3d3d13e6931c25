"""Processes of this host: which one is ours, has it ended, end it.

    pid ──pidfd_open──▶ handle ──check──▶ state · start time · session · owner · mark ──▶ ours, or not

A pid is a number that the kernel hands out again. What names a process here is a pid with its start time and the
boot it belongs to (`Identity`), and what makes it ours is our mark on its command line. `open_ours` takes the handle
first and checks afterwards: from then on the handle stays with that process whatever becomes of the number, so a
recycled pid is never signalled. Signals go through handles only; there is deliberately no function that takes a pid
and sends something to it.

A process whose state is Z is gone here, whoever is slow to collect it: its handle reads as ended.

The only importer of psutil, for what needs more than one file of /proc.
"""

from __future__ import annotations

import contextlib
import functools
import os
import select
import signal
from collections.abc import Collection, Container, Iterator
from pathlib import Path
from typing import NamedTuple

import psutil
from msgspec import Struct

from volant.clock import Instant

_PROC = Path("/proc")
_DEAD = frozenset("ZX")


class Identity(Struct, frozen=True, kw_only=True):
    """One process, for ever. `start_ticks` counts clock ticks since the boot called `boot_id`."""

    pid: int
    start_ticks: int
    boot_id: str


class Stat(NamedTuple):
    """What /proc/PID/stat says: one letter of state, the session it belongs to, clock ticks from boot to its start."""

    state: str
    session: int
    start_ticks: int

    @property
    def is_dead(self) -> bool:
        """Ended, though its parent may not have collected it yet."""
        return self.state in _DEAD

    @property
    def is_stopped(self) -> bool:
        """Halted by a signal or a debugger: there, and not answering."""
        return self.state in {"T", "t"}


@functools.cache
def boot_id() -> str:
    """The name of the time since the kernel started."""
    return (_PROC / "sys/kernel/random/boot_id").read_text().strip()


def stat(pid: int) -> Stat | None:
    """A look at one pid; None when there is no such process."""
    try:
        text = (_PROC / str(pid) / "stat").read_bytes()
    except OSError:
        return None
    # The command's name is in parentheses and may itself hold spaces and parentheses: count from the last one.
    fields = text[text.rindex(b")") + 2 :].split()
    return Stat(state=fields[0].decode(), session=int(fields[3]), start_ticks=int(fields[19]))


def identity(pid: int) -> Identity | None:
    """Who has that pid now; None when nobody has. A process that ended and was not collected still has it."""
    seen = stat(pid)
    return None if seen is None else Identity(pid=pid, start_ticks=seen.start_ticks, boot_id=boot_id())


def started_at(pid: int) -> Instant | None:
    """When the process started, by the wall clock, to about a hundredth of a second."""
    with contextlib.suppress(psutil.Error):
        return float(psutil.Process(pid).create_time())
    return None


def marks(prefix: str, *, owners: Container[int], skip: Collection[int] = ()) -> dict[str, int]:
    """Every living process with a mark that starts with `prefix`, as mark -> pid. `skip` are pids not to look at.

    One read a process. Of two processes with one mark the older is given; the other comes up when that one is gone.
    """
    found: dict[str, int] = {}
    for pid in sorted(pid for pid in _pids() if pid not in skip):
        mark = _mark(pid, prefix.encode())
        if mark is not None and is_ours(pid, mark, owners=owners):
            found.setdefault(mark, pid)
    return found


def is_ours(pid: int, mark: str, *, owners: Container[int]) -> bool:
    """Whether a living process with that pid carries exactly that mark, leads its session, and runs as one of `owners`.

    The mark alone would not do: a debugger started with a copy of the command line has it too, and anybody may put
    it on a command line. Only what we start leads a session *and* belongs to us or to the VMM's user.
    """
    seen = stat(pid)
    if seen is None or seen.is_dead or seen.session != pid:
        return False
    try:
        is_owned = (_PROC / str(pid)).stat().st_uid in owners
    except OSError:
        return False
    return is_owned and _mark(pid, mark.encode()) == mark


def open_ours(pid: int, mark: str, *, owners: Container[int], expected: Identity | None = None) -> int | None:
    """A handle (pidfd) to the living process that has `pid` now, if it is ours and the `expected` one; otherwise None.

    The caller closes the handle.
    """
    if expected is not None and expected.boot_id != boot_id():
        return None
    try:
        handle = os.pidfd_open(pid)
    except OSError:
        return None
    if is_ours(pid, mark, owners=owners) and (expected is None or identity(pid) == expected) and not is_gone(handle):
        return handle
    os.close(handle)
    return None


def is_gone(handle: int) -> bool:
    """Whether the process has ended; collected or not."""
    poll = select.poll()
    poll.register(handle, select.POLLIN)
    return bool(poll.poll(0))


def kill(handle: int) -> None:
    """SIGKILL. Harmless when the process has ended."""
    with contextlib.suppress(ProcessLookupError):
        signal.pidfd_send_signal(handle, signal.SIGKILL)


def end(handle: int) -> None:
    """SIGKILL to our own child, and wait until it is gone and collected. Blocks for the milliseconds that takes."""
    kill(handle)
    os.waitid(os.P_PIDFD, handle, os.WEXITED)


def collect(handle: int) -> int | None:
    """The exit status of an ended child (negative: the signal), leaving no zombie; None when it is not our child."""
    try:
        ended = os.waitid(os.P_PIDFD, handle, os.WEXITED | os.WNOHANG)
    except ChildProcessError:
        return None
    if ended is None:
        return None
    return ended.si_status if ended.si_code == os.CLD_EXITED else -ended.si_status


def users() -> set[int]:
    """The (effective) uids of all processes. One look at each."""
    found = set()
    for pid in _pids():
        with contextlib.suppress(OSError):
            found.add((_PROC / str(pid)).stat().st_uid)
    return found


def listener(address: str, port: int) -> tuple[int, str] | None:
    """Who listens there: pid and command name; None when nobody does or it cannot be told. Reads all of /proc: slow."""
    with contextlib.suppress(psutil.Error, OSError):
        for one in psutil.net_connections("tcp"):
            if one.status != psutil.CONN_LISTEN or not one.laddr or not one.pid:
                continue
            if one.laddr.port == port and one.laddr.ip in {address, "0.0.0.0", "::"}:  # noqa: S104 - compared, not bound
                return one.pid, psutil.Process(one.pid).name()
    return None


def carries(pid: int, suffix: str) -> bool:
    """Whether the process carries a mark that ends so."""
    mark = _mark(pid, b"")
    return mark is not None and mark.endswith(suffix)


def _pids() -> Iterator[int]:
    return (int(name) for name in os.listdir(_PROC) if name.isdigit())  # noqa: PTH208 - a path object each is waste


def _mark(pid: int, prefix: bytes) -> str | None:
    """The word after `-name` on the command line, if it starts so."""
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:  # noqa: PTH123 - read for every process of the host
            line = file.read()
    except OSError:
        return None
    at = line.find(b"\0-name\0" + prefix)
    if at < 0:
        return None
    return line[at + len(b"\0-name\0") :].split(b"\0", 1)[0].decode(errors="replace")


class HostResources(Struct, frozen=True, kw_only=True):
    """What this host has to give; memory in MiB."""

    cpu_count: int
    memory_total_mb: int
    memory_available_mb: int


def host_resources() -> HostResources:
    """One look at cores and memory."""
    memory = psutil.virtual_memory()
    return HostResources(
        cpu_count=len(os.sched_getaffinity(0)),
        memory_total_mb=memory.total >> 20,
        memory_available_mb=memory.available >> 20,
    )
