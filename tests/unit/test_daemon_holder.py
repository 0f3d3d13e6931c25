"""Whether the daemon before this one may still be acting."""

from __future__ import annotations

import os
import subprocess

import pytest
from msgspec.structs import replace

from volant.daemon.holder import may_live, myself
from volant.drivers.processes import identity
from volant.store import Holder


@pytest.fixture
def child() -> Holder:
    """A process that has ended and that nobody has collected yet, as a holder."""
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE) as process:
        found = identity(process.pid)
        assert found is not None
    return replace(myself(), pid=found.pid, start_ticks=found.start_ticks)


def test_one_that_runs_here_may() -> None:
    """S2"""
    assert may_live(myself())


def test_one_that_has_ended_may_not(child: Holder) -> None:
    """S2: no start waits for a daemon that was killed."""
    assert not may_live(child)


def test_one_that_nobody_has_collected_may_not() -> None:
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE) as process:
        found = identity(process.pid)
        assert found is not None
        holder = replace(myself(), pid=found.pid, start_ticks=found.start_ticks)
        assert may_live(holder)
        process.kill()
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        assert not may_live(holder)
        assert identity(process.pid) is not None


def test_a_pid_that_is_somebody_elses_by_now_is_not_it() -> None:
    """P9"""
    assert not may_live(replace(myself(), start_ticks=1))


def test_one_from_before_the_host_started_may_not() -> None:
    assert not may_live(replace(myself(), boot_id="of yesterday"))


def test_of_one_on_another_host_nothing_is_known() -> None:
    """S2: a directory on a network file system."""
    assert may_live(replace(myself(), node="elsewhere", boot_id="of there"))
    assert may_live(replace(myself(), node="elsewhere"))
