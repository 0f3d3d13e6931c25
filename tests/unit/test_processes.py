"""Which process is ours, with real processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator

import pytest
from msgspec.structs import replace

from volant.drivers import processes
from volant.drivers.processes import Identity

MARK = "volant-abcd1234-0123"
ME = {os.geteuid()}
Start = Callable[..., "subprocess.Popen[bytes]"]


@pytest.fixture
def start() -> Iterator[Start]:
    started = []

    def begin(mark: str = MARK, *, session: bool = True, code: str = "") -> subprocess.Popen[bytes]:
        program = f"{code}\nprint(flush=True)\nimport time\ntime.sleep(60)"
        child = subprocess.Popen(
            [sys.executable, "-S", "-c", program, "-name", mark], stdout=subprocess.PIPE, start_new_session=session
        )
        started.append(child)
        assert child.stdout is not None
        child.stdout.readline()
        return child

    yield begin
    for child in started:
        child.kill()
        child.wait()
        assert child.stdout is not None
        child.stdout.close()


def opened(pid: int, mark: str = MARK, expected: Identity | None = None) -> bool:
    handle = processes.open_ours(pid, mark, owners=ME, expected=expected)
    if handle is not None:
        os.close(handle)
    return handle is not None


def test_a_process_with_our_mark_is_found(start: Start) -> None:
    child = start()
    assert processes.marks("volant-abcd1234-", owners=ME) == {MARK: child.pid}
    assert opened(child.pid)


def test_a_process_of_another_run_directory_is_not_ours(start: Start) -> None:
    """P11"""
    child = start("volant-ffff0000-0123")
    assert processes.marks("volant-abcd1234-", owners=ME) == {}
    assert not opened(child.pid)


def test_a_mark_that_only_begins_like_ours_is_not_ours(start: Start) -> None:
    assert not opened(start(MARK + "4").pid)


def test_a_debugger_started_with_a_copy_of_the_command_line_is_not_ours(start: Start) -> None:
    child = start(session=False)
    assert processes.marks("volant-abcd1234-", owners=ME) == {}
    assert not opened(child.pid)


def test_a_process_of_a_foreign_user_is_not_ours(start: Start) -> None:
    child = start()
    assert not processes.is_ours(child.pid, MARK, owners={os.geteuid() + 1})


def test_a_recycled_pid_is_not_the_process_it_was(start: Start) -> None:
    """P9, A18: the pid and even the mark are the same; the start time is not."""
    child = start()
    now = processes.identity(child.pid)
    assert now is not None
    assert opened(child.pid, expected=now)
    assert not opened(child.pid, expected=replace(now, start_ticks=now.start_ticks - 1))


def test_a_process_of_another_boot_is_gone(start: Start) -> None:
    child = start()
    now = processes.identity(child.pid)
    assert now is not None
    assert not opened(child.pid, expected=replace(now, boot_id="another"))


def test_a_zombie_is_gone(start: Start) -> None:
    """P9: whoever is slow to collect it."""
    child = start()
    handle = processes.open_ours(child.pid, MARK, owners=ME)
    assert handle is not None
    processes.kill(handle)
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    seen = processes.stat(child.pid)
    assert seen is not None
    assert seen.is_dead
    assert processes.is_gone(handle)
    assert not opened(child.pid)
    assert processes.collect(handle) == -signal.SIGKILL
    os.close(handle)


def test_a_halted_process_is_there(start: Start) -> None:
    child = start()
    child.send_signal(signal.SIGSTOP)
    os.waitid(os.P_PID, child.pid, os.WSTOPPED)
    seen = processes.stat(child.pid)
    assert seen is not None
    assert seen.is_stopped
    assert opened(child.pid)


def test_an_exit_status_is_collected_once(start: Start) -> None:
    child = start(code="import signal, sys\nsignal.signal(signal.SIGTERM, lambda *_: sys.exit(3))")
    handle = os.pidfd_open(child.pid)
    assert processes.collect(handle) is None
    child.terminate()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert processes.collect(handle) == 3
    assert processes.collect(handle) is None
    os.close(handle)


def test_killing_the_gone_is_harmless(start: Start) -> None:
    child = start()
    handle = os.pidfd_open(child.pid)
    processes.end(handle)
    processes.kill(handle)
    os.close(handle)


def test_a_handle_never_comes_to_mean_another_process(start: Start) -> None:
    child = start()
    handle = os.pidfd_open(child.pid)
    processes.end(handle)
    assert processes.is_gone(handle)
    assert processes.identity(child.pid) is None
    os.close(handle)


def test_a_name_with_spaces_and_parentheses_is_no_obstacle(start: Start) -> None:
    renames = "import ctypes\nctypes.CDLL(None).prctl(15, b') Z 1 (', 0, 0, 0)"
    child = start(code=renames)
    seen = processes.stat(child.pid)
    assert seen is not None
    assert not seen.is_dead
    assert seen.session == child.pid


def test_the_start_is_told_by_the_wall_clock(start: Start) -> None:
    child = start()
    at, mine = processes.started_at(child.pid), processes.started_at(os.getpid())
    assert at is not None
    assert mine is not None
    assert at >= mine


@pytest.mark.parametrize("look", [processes.stat, processes.identity, processes.started_at])
def test_nobody_is_nobody(look: Callable[[int], object]) -> None:
    unused = 1 << 22  # above every pid_max
    assert look(unused) is None
    assert not opened(unused)
