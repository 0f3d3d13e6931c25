"""`volant doctor`: what it finds, what it says to do, and how it ends. It changes nothing."""

from __future__ import annotations

import json
import socket
from pathlib import Path

from click.testing import CliRunner, Result
from tests.builders.daemon import daemon

from volant.cli import volant


def doctor(tmp_path: Path, *words: str) -> Result:
    """The command about a data directory that is not there yet."""
    places = ["--cache", str(tmp_path / "cache"), "--data-dir", str(tmp_path / "data"), "--accelerator", "tcg"]
    return CliRunner().invoke(volant, ["doctor", *places, *words])


def states(result: Result) -> dict[str, str]:
    """Matter -> ok, warning or failed."""
    return {line.split()[1]: line.split()[0] for line in result.stdout.splitlines() if not line.startswith(" ")}


def test_every_matter_has_a_line_and_what_is_missing_a_remedy(tmp_path: Path) -> None:
    result = doctor(tmp_path, "--listen", "127.0.0.1:0")
    assert result.exit_code == 0, result.output
    found = states(result)
    assert set(found) == {"qemu", "kvm", "kernel", "busybox", "bridge", "user", "cgroups", "data", "port"}
    assert (found["qemu"], found["kvm"], found["port"]) == ("ok", "warning", "ok")
    assert "volant image kernel" in result.stdout
    assert not (tmp_path / "data").exists()


def test_without_qemu_no_daemon_can_run_here(tmp_path: Path) -> None:
    result = doctor(tmp_path, "--listen", "127.0.0.1:0", "--qemu", "qemu-system-none")
    assert result.exit_code == 1
    assert states(result)["qemu"] == "failed"
    assert "kvm" not in states(result)
    assert "apt-get install qemu-system-x86" in result.stdout


def test_a_program_gets_objects(tmp_path: Path) -> None:
    result = doctor(tmp_path, "--listen", "127.0.0.1:0", "--hypervisor", "simulated", "-o", "json")
    found = {one["name"]: one for one in json.loads(result.stdout)}
    assert set(found) == {"bridge", "user", "cgroups", "data", "port"}
    assert found["port"]["state"] == "ok"


def test_a_port_of_somebody_else_is_told_from_that_of_our_own_daemon(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        result = doctor(tmp_path, "--hypervisor", "simulated", "--listen", f"127.0.0.1:{taken.getsockname()[1]}")
    assert result.exit_code == 1
    assert states(result)["port"] == "failed"
    (tmp_path / "files").mkdir()
    with daemon(tmp_path / "data", "--hypervisor", "simulated", artifact_root=tmp_path / "files") as running:
        result = doctor(tmp_path, "--hypervisor", "simulated", "--listen", running.url.removeprefix("http://"))
    assert result.exit_code == 0, result.output
    assert states(result)["port"] == "ok"


def test_settings_that_are_wrong_are_told_as_serve_tells_them(tmp_path: Path) -> None:
    result = doctor(tmp_path, "--listen", "192.0.2.1:80")
    assert result.exit_code == 1
    assert "offered on loopback only" in result.stderr
