"""The command at the end of a pseudo-terminal: tables, colours, progress, Ctrl-C; and without one, none of it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.builders.commands import Terminal, terminals
from tests.builders.daemon import RunningDaemon, daemon

GREEN = "\x1b[32m"


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningDaemon]:
    """A daemon with a plugin and one running VM."""
    place = tmp_path_factory.mktemp("terminal")
    (place / "files").mkdir()
    (place / "files" / "a").write_bytes(b"artifact")
    source = {"url": f"file://{place}/files/a"}
    with daemon(place / "data", "--hypervisor", "simulated", artifact_root=place / "files") as running:
        running.post("/plugins?wait=ready", {"name": "hello", "version": "1", "kernel": source, "initramfs": source})
        running.post("/vms?wait=ready", {"name": "web", "plugin": "hello"})
        yield running


@pytest.fixture
def terminal(host: RunningDaemon) -> Iterator[Callable[..., Terminal]]:
    """Starts commands at terminals."""
    with terminals(host.url) as start:
        yield start


def piped(host: RunningDaemon, *words: str) -> subprocess.CompletedProcess[str]:
    """The same command, read by a program."""
    command = [sys.executable, "-m", "volant", *words]
    environ = {**os.environ, "VOLANT_URL": host.url, "TERM": "xterm-256color"}
    return subprocess.run(command, capture_output=True, text=True, timeout=60, env=environ, check=False)


def test_a_table_has_colours_on_a_terminal_only(host: RunningDaemon, terminal: Callable[..., Terminal]) -> None:
    shown = terminal("vms", "list")
    assert shown.end() == 0
    assert f"{GREEN}running" in shown.screen
    assert shown.text.splitlines()[0].split()[:2] == ["NAME", "STATUS"]
    assert "\x1b" not in piped(host, "vms", "list").stdout


@pytest.mark.parametrize("environ", [{"NO_COLOR": "1"}, {"TERM": "dumb"}], ids=str)
def test_who_wants_no_colours_gets_none(terminal: Callable[..., Terminal], environ: dict[str, str]) -> None:
    shown = terminal("vms", "list", **environ)
    assert shown.end() == 0
    assert "\x1b" not in shown.screen


def test_a_watched_table_is_drawn_anew_until_ctrl_c(host: RunningDaemon, terminal: Callable[..., Terminal]) -> None:
    shown = terminal("vms", "list", "--watch")
    shown.read_until(lambda text: "web" in text)
    host.post("/vms?wait=ready", {"name": "second", "plugin": "hello"})
    shown.read_until(lambda text: "second" in text)
    host.delete("/vms/second")
    shown.interrupt()
    assert shown.end() == 130
    assert "Traceback" not in shown.text


def test_a_watched_list_is_a_line_a_change_for_a_program(host: RunningDaemon) -> None:
    command = [sys.executable, "-m", "volant", "vms", "list", "-w", "-o", "json", "--url", host.url]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert '"web"' in process.stdout.readline()
        host.post("/vms?wait=ready", {"name": "third", "plugin": "hello"})
        assert '"third"' in process.stdout.readline()
        host.delete("/vms/third")
        line = next(line for line in process.stdout if '"deleted":true' in line)
        assert '"third"' in line
        process.terminate()


def test_replicas_have_a_live_list_while_they_are_waited_for(terminal: Callable[..., Terminal]) -> None:
    made = terminal("deployments", "create", "live", "--plugin", "hello", "--replicas", "3", "--wait")
    assert made.end() == 0
    assert "waiting, " in made.text
    assert "live-3" in made.text
    assert made.text.splitlines()[-1] == "deployment live created, available"
    gone = terminal("deployments", "delete", "live")
    assert gone.end() == 0


def test_events_are_followed_until_ctrl_c(host: RunningDaemon, terminal: Callable[..., Terminal]) -> None:
    shown = terminal("events", "-f", "--since", "0")
    shown.read_until(lambda text: "vm.created" in text)
    host.post("/vms?wait=ready", {"name": "fourth", "plugin": "hello"})
    shown.read_until(lambda text: "fourth" in text)
    shown.interrupt()
    assert shown.end() == 130
    host.delete("/vms/fourth")


def test_a_broken_pipe_is_no_traceback(host: RunningDaemon) -> None:
    command = f"{sys.executable} -m volant vms list -o json --url {host.url} | true"
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, timeout=60, check=True)
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_shell_can_complete(host: RunningDaemon, shell: str) -> None:
    script = piped(host, "completion", shell)
    assert script.returncode == 0
    assert "_VOLANT_COMPLETE" in script.stdout


def completed(host: RunningDaemon, *words: str, url: str = "") -> list[str]:
    """What bash would be offered for the last word."""
    environ = {
        **os.environ,
        "VOLANT_URL": url or host.url,
        "_VOLANT_COMPLETE": "bash_complete",
        "COMP_WORDS": " ".join(("volant", *words)),
        "COMP_CWORD": str(len(words)),
    }
    # The name of the program is what the variable is made of.
    program = Path(sys.executable).with_name("volant")
    done = subprocess.run([program], capture_output=True, text=True, timeout=60, env=environ, check=False)
    return [line.partition(",")[2] for line in done.stdout.splitlines() if line]


def test_commands_options_choices_and_names_are_completed(host: RunningDaemon) -> None:
    assert "vms" in completed(host, "v")
    assert completed(host, "vms", "st") == ["start", "stop"]
    assert completed(host, "vms", "get", "w") == ["web"]
    assert completed(host, "vms", "create", "a", "--plugin", "h") == ["hello"]
    assert completed(host, "vms", "list", "-o", "j") == ["json"]
    assert completed(host, "vms", "get", "w", url="http://127.0.0.1:1") == []
