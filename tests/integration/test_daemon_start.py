"""A daemon that cannot start says why in one sentence, changes nothing, and ends with status 1."""

from __future__ import annotations

import os
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from tests.builders.daemon import daemon


def serve(*flags: str, environ: dict[str, str] | None = None, prefix: Sequence[str] = ()) -> str:
    """Start, expect it to end by itself; what it said, which must be one line."""
    command = [
        *prefix,
        sys.executable,
        "-m",
        "volant",
        "serve",
        "--log-format",
        "json",
        "--listen",
        "127.0.0.1:0",
        *flags,
    ]
    env = {**os.environ, **(environ or {})}
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, env=env)
    assert done.returncode == 1, done.stderr
    assert done.stdout == ""
    lines = done.stderr.strip().splitlines()
    assert len(lines) == 1, done.stderr
    return lines[0]


def test_a_taken_port_is_named(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        said = serve("--data-dir", str(tmp_path), "--hypervisor", "simulated", "--listen", f"127.0.0.1:{port}")
    assert f"cannot listen on 127.0.0.1:{port}: the port is taken" in said


def test_a_second_daemon_on_the_same_data_directory_is_refused(tmp_path: Path) -> None:
    """S2: one daemon a data directory; the sentence names the other."""
    with daemon(tmp_path / "data", "--hypervisor", "simulated") as first:
        said = serve("--data-dir", str(tmp_path / "data"), "--hypervisor", "simulated")
        assert f"pid {first.process.pid}" in said
        assert first.get("/vms") == []


def test_a_missing_qemu_is_named_with_the_package_to_install(tmp_path: Path) -> None:
    said = serve("--data-dir", str(tmp_path), "--qemu", "qemu-of-nowhere")
    assert "cannot find qemu-of-nowhere: install qemu-system-x86" in said


def test_a_database_of_a_newer_version_is_refused_and_left_alone(tmp_path: Path) -> None:
    with daemon(tmp_path / "data", "--hypervisor", "simulated") as first:
        assert first.stop() == 0
    file = tmp_path / "data" / "volant.db"
    with sqlite3.connect(file) as db:
        for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table' AND name LIKE '%migration%'"):
            db.execute(f"UPDATE {name} SET version = 999")
        db.execute("PRAGMA user_version = 999")
    db.close()
    before = file.read_bytes()
    said = serve("--data-dir", str(tmp_path / "data"), "--hypervisor", "simulated")
    assert "newer Volant" in said
    assert "--data-dir" in said
    assert file.read_bytes() == before


def test_a_file_that_is_no_database_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "volant.db").write_bytes(b"this is no database" * 100)
    said = serve("--data-dir", str(tmp_path), "--hypervisor", "simulated")
    assert "volant.db" in said
    assert (tmp_path / "volant.db").read_bytes() == b"this is no database" * 100


def test_a_data_directory_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    said = serve("--data-dir", str(tmp_path / "file" / "data"), "--hypervisor", "simulated")
    assert f"cannot use {tmp_path}/file/data as data directory" in said


def test_an_address_without_authentication_is_refused(tmp_path: Path) -> None:
    """G1: the API has no authentication, so it is offered on loopback only."""
    said = serve("--data-dir", str(tmp_path), "--hypervisor", "simulated", "--listen", "0.0.0.0:0")
    assert "no authentication" in said


@pytest.mark.parametrize("flag", ["--hypervisor", "--network", "--accelerator", "--log-level"])
def test_a_value_that_is_no_choice_is_named(flag: str, tmp_path: Path) -> None:
    said = serve("--data-dir", str(tmp_path), flag, "nonsense")
    assert flag.removeprefix("--").replace("-", "_") in said


def test_a_full_disk_at_start_is_one_sentence(tmp_path: Path) -> None:
    """S4: a file size limit stands for the disk: nothing can be written, and the sentence says so."""
    limited = ["prlimit", "--fsize=0", "--"]
    said = serve("--data-dir", str(tmp_path), "--hypervisor", "simulated", prefix=limited)
    assert "cannot" in said
    assert str(tmp_path) in said
