"""`volant logs` and `volant console`, at a pseudo-terminal and between pipes; simulated guests echo what is typed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.builders.commands import Terminal, run, terminals
from tests.builders.daemon import RunningDaemon, daemon, until

STARTS = "simulated guest starts\nsimulated guest runs\n"


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningDaemon]:
    """A daemon with a plugin."""
    place = tmp_path_factory.mktemp("consoles")
    (place / "files").mkdir()
    (place / "files" / "a").write_bytes(b"artifact")
    source = {"url": f"file://{place}/files/a"}
    with daemon(place / "data", "--hypervisor", "simulated", artifact_root=place / "files") as running:
        running.post("/plugins?wait=ready", {"name": "hello", "version": "1", "kernel": source, "initramfs": source})
        yield running


@pytest.fixture
def web(host: RunningDaemon) -> Iterator[str]:
    """A VM that runs."""
    host.post("/vms?wait=running", {"name": "web", "plugin": "hello"})
    yield "web"
    if host.api.get("/vms/web").is_success:
        host.delete("/vms/web?force=true")


@pytest.fixture
def terminal(host: RunningDaemon) -> Iterator[Callable[..., Terminal]]:
    """Starts commands at terminals."""
    with terminals(host.url) as start:
        yield start


def process(host: RunningDaemon, *words: str) -> subprocess.Popen[str]:
    """The command between pipes."""
    environ = {**os.environ, "VOLANT_URL": host.url}
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen([sys.executable, "-m", "volant", *words], text=True, env=environ, **pipes)  # type: ignore[call-overload,no-any-return]


def mode(terminal: Terminal) -> list[object]:
    """How the terminal treats what is typed."""
    return termios.tcgetattr(terminal._main)


def attached(terminal: Terminal, before: list[object]) -> None:
    """Return when the keys are the guest's."""
    terminal.read_until(lambda text: "Ctrl-] leaves it" in text)
    deadline = time.monotonic() + 30
    while mode(terminal) == before:
        assert time.monotonic() < deadline
        time.sleep(0.01)


# Logs


def test_logs_are_shown(host: RunningDaemon, web: str) -> None:
    result = run(host.url, "logs", web)
    assert (result.exit_code, result.stdout) == (0, STARTS)
    assert run(host.url, "logs", web, "--tail", "1").stdout == "simulated guest runs\n"
    assert run(host.url, "logs", web, "--raw").stdout_bytes == STARTS.replace("\n", "\r\n").encode()


def test_logs_of_a_stopped_vm_are_those_of_its_last_guest(host: RunningDaemon, web: str) -> None:
    host.post(f"/vms/{web}/stop")
    ended = STARTS + "simulated guest ends: guest_shutdown\n"
    assert run(host.url, "logs", web).stdout == ended
    host.post(f"/vms/{web}/start?wait=running")
    assert run(host.url, "logs", web).stdout == STARTS
    assert run(host.url, "logs", web, "--previous").stdout == ended


def test_logs_that_are_not_there_are_an_error_that_says_so(host: RunningDaemon, web: str) -> None:
    result = run(host.url, "logs", web, "--previous")
    assert result.exit_code == 1
    assert "nothing that the guest before the one that runs said is kept" in result.stderr
    result = run(host.url, "logs", "wep")
    assert result.exit_code == 3
    assert "Did you mean web?" in result.stderr
    assert run(host.url, "logs", web, "-f", "-p").exit_code == 64


def test_a_follower_goes_over_restarts_and_ends_with_the_vm(host: RunningDaemon, web: str) -> None:
    follower = process(host, "logs", web, "-f", "--tail", "1")
    assert follower.stdout is not None
    assert follower.stdout.readline() == "simulated guest runs\n"
    host.post(f"/vms/{web}/restart")
    assert [follower.stdout.readline() for _ in range(3)] == [
        "simulated guest ends: guest_shutdown\n",
        "simulated guest starts\n",
        "simulated guest runs\n",
    ]
    host.delete(f"/vms/{web}?force=true")
    rest, errors = follower.communicate(timeout=60)
    assert (follower.returncode, rest, errors) == (0, "simulated guest ends: killed\n", "")


@pytest.mark.gate
def test_a_follower_is_interrupted(terminal: Callable[..., Terminal], web: str) -> None:
    follower = terminal("logs", web, "-f")
    follower.read_until(lambda text: "simulated guest runs" in text)
    follower.interrupt()
    assert follower.end() == 130


# Console


def test_keys_reach_the_guest_until_the_one_that_leaves(terminal: Callable[..., Terminal], web: str) -> None:
    console = terminal("console", web)
    before = mode(console)
    attached(console, before)
    os.write(console._main, b"echo me\x03\x1a\x1c")  # Ctrl-C, Ctrl-Z and Ctrl-\ are the guest's.
    console.read_until(lambda text: "echo me\x03\x1a\x1c" in text)
    os.write(console._main, b"more\x1dnot this")
    console.read_until(lambda text: "volant: detached" in text)
    assert mode(console) == before
    assert console.end() == 0
    assert "not this" not in console.text


@pytest.mark.parametrize(
    "how",
    ["SIGTERM", "taken over", *(pytest.param(how, marks=pytest.mark.gate) for how in ("SIGHUP", "ends", "deleted"))],
)
def test_the_terminal_gets_its_mode_back_however_it_ends(
    host: RunningDaemon, terminal: Callable[..., Terminal], web: str, how: str
) -> None:
    console = terminal("console", web)
    before = mode(console)
    attached(console, before)
    if how.startswith("SIG"):
        console.process.send_signal(signal.Signals[how])
    elif how == "ends":
        host.post(f"/vms/{web}/stop?force=true")
    elif how == "deleted":
        host.delete(f"/vms/{web}?force=true")
    else:
        second = process(host, "console", web, "--force")
        second.communicate("hello", timeout=60)
    console.read_until(lambda text: "detached" in text or "has ended" in text or "taken the console" in text)
    assert mode(console) == before
    assert console.end() == (2 if how == "taken over" else 0)


@pytest.mark.gate
def test_the_terminal_gets_its_mode_back_from_a_daemon_that_dies(
    tmp_path: Path, terminal: Callable[..., Terminal], host: RunningDaemon
) -> None:
    (tmp_path / "a").write_bytes(b"artifact")
    source = {"url": f"file://{tmp_path}/a"}
    with daemon(tmp_path / "data", "--hypervisor", "simulated", artifact_root=tmp_path) as other:
        other.post("/plugins?wait=ready", {"name": "hello", "version": "1", "kernel": source, "initramfs": source})
        other.post("/vms?wait=running", {"name": "web", "plugin": "hello"})
        console = terminal("console", "web", VOLANT_URL=other.url)
        before = mode(console)
        attached(console, before)
        other.kill()
        console.read_until(lambda text: "the guest goes on" in text)
        assert mode(console) == before
        assert console.end() == 1


def test_a_pipe_is_typed_and_what_comes_back_is_written(host: RunningDaemon, web: str) -> None:
    result = process(host, "console", web)
    out, errors = result.communicate("uname -a\n\x1d still typed\n", timeout=60)
    assert (result.returncode, out, errors) == (0, "uname -a\n\x1d still typed\n", "")


@pytest.mark.gate
def test_a_file_is_typed_as_well(host: RunningDaemon, web: str, tmp_path: Path) -> None:
    (tmp_path / "keys").write_text("from a file\n")
    with (tmp_path / "keys").open() as keys:
        command = [sys.executable, "-m", "volant", "console", web, "--url", host.url]
        result = subprocess.run(command, stdin=keys, capture_output=True, text=True, timeout=60, check=False)
    assert (result.returncode, result.stdout) == (0, "from a file\n")


def test_a_second_one_is_refused_with_the_way_in(
    host: RunningDaemon, terminal: Callable[..., Terminal], web: str
) -> None:
    console = terminal("console", web)
    console.read_until(lambda text: "Ctrl-] leaves it" in text)
    result = process(host, "console", web)
    _, errors = result.communicate("x", timeout=60)
    assert result.returncode == 1
    assert "somebody else is" in errors
    assert "--force" in errors


def test_a_vm_without_a_guest_has_no_console(host: RunningDaemon, web: str) -> None:
    host.post(f"/vms/{web}/stop?force=true")
    until("it is stopped", lambda: host.get(f"/vms/{web}")["status"] == "stopped")
    result = process(host, "console", web)
    _, errors = result.communicate("", timeout=60)
    assert result.returncode == 1
    assert "cannot attach to the console of VM web: the VM is stopped" in errors
