"""One daemon a data directory."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from volant.errors import StartupError
from volant.store import DataDirLock


def test_a_second_one_is_refused_and_told_who_has_it(tmp_path: Path) -> None:
    held = DataDirLock.acquire(tmp_path)
    with pytest.raises(StartupError) as refused:
        DataDirLock.acquire(tmp_path)
    held.release()
    assert refused.value.message == (
        f"cannot use {tmp_path}: another volant (pid {os.getpid()}) has it. Stop that one, or use another --data-dir."
    )


def test_the_directory_is_free_again_after_release(tmp_path: Path) -> None:
    held = DataDirLock.acquire(tmp_path)
    held.release()
    held.release()
    DataDirLock.acquire(tmp_path).release()


def test_a_missing_directory_is_made_for_its_owner_only(tmp_path: Path) -> None:
    DataDirLock.acquire(tmp_path / "state" / "volant").release()
    assert (tmp_path / "state" / "volant").stat().st_mode & 0o777 == 0o700


def test_what_cannot_be_a_directory_is_refused_in_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StartupError, match=r"^cannot use .*: .*\. Give a directory .* with --data-dir\.$"):
        DataDirLock.acquire(tmp_path / "file" / "data")


def test_a_shorter_pid_replaces_a_longer_one(tmp_path: Path) -> None:
    (tmp_path / "volant.lock").write_text("99999999999999\n")
    DataDirLock.acquire(tmp_path).release()
    assert (tmp_path / "volant.lock").read_text() == f"{os.getpid()}\n"


def test_the_lock_dies_with_its_holder(tmp_path: Path) -> None:
    """S2: nothing to clean up after kill -9."""
    script = (
        "import sys, pathlib; from volant.store import DataDirLock; "
        "held = DataDirLock.acquire(pathlib.Path(sys.argv[1])); print('held', flush=True); sys.stdin.read()"
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(StartupError, match=rf"another volant \(pid {holder.pid}\) has it"):
            DataDirLock.acquire(tmp_path)
        holder.kill()
    DataDirLock.acquire(tmp_path).release()


def test_a_program_started_meanwhile_does_not_hold_the_lock(tmp_path: Path) -> None:
    """A VM outlives the daemon; the next daemon must start all the same."""
    held = DataDirLock.acquire(tmp_path)
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE) as survivor:
        held.release()
        DataDirLock.acquire(tmp_path).release()
        survivor.kill()
