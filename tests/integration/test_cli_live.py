"""Waiting at a terminal and without one: a line for each replica, why, and for how long; and how it ends."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml
from tests.builders.commands import Terminal, terminals
from tests.builders.daemon import RunningDaemon, daemon

from volant.cli.ending import DONE, FAILED, GONE, INTERRUPTED, TIMED_OUT

COLOUR = re.compile(r"\x1b\[[0-9;]*3[0-7]m")

INFRA = """
kind: VM
metadata: {name: db}
spec: {plugin: hello}
---
kind: Deployment
metadata: {name: web}
spec: {plugin: hello, replicas: 3}
"""


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningDaemon]:
    """A daemon with the plugins `hello`, which is ready, and `bad`, which can never be."""
    place = tmp_path_factory.mktemp("live")
    (place / "files").mkdir()
    (place / "files" / "a").write_bytes(b"artifact")
    source = {"url": f"file://{place}/files/a"}
    wrong = {**source, "checksum": "sha256:" + "0" * 64}
    with daemon(place / "data", "--hypervisor", "simulated", artifact_root=place / "files") as running:
        running.post("/plugins?wait=ready", {"name": "hello", "version": "1", "kernel": source, "initramfs": source})
        running.post("/plugins", {"name": "bad", "version": "1", "kernel": source, "initramfs": wrong})
        running.post("/vms?wait=ready", {"name": "up", "plugin": "hello"})
        yield running


@pytest.fixture
def terminal(host: RunningDaemon) -> Iterator[Callable[..., Terminal]]:
    """Starts commands at terminals."""
    with terminals(host.url) as start:
        yield start


@pytest.fixture
def infra(tmp_path: Path, host: RunningDaemon) -> Iterator[str]:
    """A file of manifests, whose objects are gone in the end."""
    file = tmp_path / "infra.yaml"
    file.write_text(INFRA)
    yield str(file)
    for path in ("/deployments/web", "/vms/db"):
        host.api.delete(path)


def piped(host: RunningDaemon, *words: str) -> subprocess.CompletedProcess[str]:
    """The same command, read by a program."""
    command = [sys.executable, "-m", "volant", *words, "--url", host.url]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_an_apply_that_waits_has_a_live_line_for_each_replica(terminal: Callable[..., Terminal], infra: str) -> None:
    shown = terminal("apply", "-f", infra, "--set", "live", "--wait")
    assert shown.end() == DONE
    assert COLOUR.search(shown.screen)
    assert re.search(r"web-3 +\d+ s  (starting|ready)", shown.text)
    assert {"vm/db ready", "deployment/web available"} <= set(shown.text.splitlines())
    assert shown.is_sane()


def test_without_a_terminal_it_is_a_line_a_change(host: RunningDaemon, infra: str) -> None:
    done = piped(host, "apply", "-f", infra, "--set", "live", "--wait")
    assert done.returncode == DONE
    assert done.stdout.splitlines()[-1] == "set live: 2 created"
    lines = done.stderr.splitlines()
    assert {"vm/db ready", "deployment/web available"} <= set(lines)
    changes = [re.sub(r" \(\d+ s\)$", "", line) for line in lines]
    assert {f"web-{n}: ready" for n in (1, 2, 3)} <= set(changes)
    assert not [line for line in lines if line.startswith("up")]
    assert "\x1b" not in done.stderr


def test_an_atomic_set_has_the_same_lines_until_it_is_healthy_or_taken_back(host: RunningDaemon, infra: str) -> None:
    done = piped(host, "apply", "-f", infra, "--set", "live", "--atomic", "--deadline", "20s", "--wait")
    assert done.returncode == DONE, done.stderr
    lines = [re.sub(r" \(\d+ s\)$", "", line) for line in done.stderr.splitlines()]
    assert {f"web-{n}: ready" for n in (1, 2, 3)} <= set(lines)
    assert lines[-1] == "set/live healthy"
    Path(infra).write_text(INFRA.replace("{plugin: hello, replicas: 3}", "{plugin: bad, replicas: 3}"))
    bad = piped(host, "apply", "-f", infra, "--set", "live", "--atomic", "--deadline", "20s", "--wait")
    assert bad.returncode == FAILED, bad.stderr
    assert "set/live was taken back" in bad.stderr


def test_a_scale_that_is_waited_for_says_when_each_replica_is_there(
    terminal: Callable[..., Terminal], host: RunningDaemon
) -> None:
    host.post("/deployments?wait=available", {"name": "api", "plugin": "hello", "replicas": 1})
    shown = terminal("deployments", "scale", "api", "4", "--wait")
    assert shown.end() == DONE
    assert re.search(r"api-4 +\d+ s  ready", shown.text)
    assert shown.text.splitlines()[-1] == "deployment api scaled to 4, available"
    host.delete("/deployments/api")


@pytest.mark.parametrize("environ", [{"NO_COLOR": "1"}, {"TERM": "dumb"}], ids=str)
def test_who_wants_no_colours_gets_none_while_waiting(
    terminal: Callable[..., Terminal], infra: str, environ: dict[str, str]
) -> None:
    shown = terminal("apply", "-f", infra, "--set", "live", "--wait", **environ)
    assert shown.end() == DONE
    assert not COLOUR.search(shown.screen)
    assert ("\x1b" in shown.screen) == ("TERM" not in environ)
    assert "web-3" in shown.text


def test_a_narrow_terminal_cuts_lines_and_folds_none(terminal: Callable[..., Terminal], host: RunningDaemon) -> None:
    shown = terminal("vms", "create", "narrow", "--plugin", "bad", "--wait", COLUMNS="24")
    assert shown.end() == FAILED
    drawn = [line for line in re.split(r"[\r\n]+", shown.text) if line.startswith(("waiting", "  narrow"))]
    assert drawn
    assert max(map(len, drawn)) <= 24
    host.delete("/vms/narrow?force=true")


def test_ctrl_c_ends_a_wait_and_leaves_the_terminal_as_it_was(terminal: Callable[..., Terminal]) -> None:
    shown = terminal("wait", "vm", "up", "--for", "stopped")
    shown.read_until(lambda text: "waiting, " in text)
    shown.interrupt()
    assert shown.end() == INTERRUPTED
    assert "Traceback" not in shown.text
    assert shown.is_sane()


@pytest.mark.parametrize(
    "words", [("vms", "list", "--watch"), ("events", "-f", "--since", "0")], ids=lambda words: words[0]
)
def test_ctrl_c_ends_what_goes_on_for_ever_in_the_same_way(
    terminal: Callable[..., Terminal], words: tuple[str, ...]
) -> None:
    shown = terminal(*words)
    shown.read_until(lambda text: "up" in text)
    shown.interrupt()
    assert shown.end() == INTERRUPTED
    assert "Traceback" not in shown.text
    assert shown.is_sane()


def test_what_is_late_says_how_it_stands(host: RunningDaemon, infra: str) -> None:
    late = piped(host, "wait", "vm", "up", "--for", "stopped", "--timeout", "100ms")
    assert late.returncode == TIMED_OUT
    assert "running" in late.stderr
    host.post("/vms", {"name": "slow", "plugin": "bad"})
    failed = piped(host, "wait", "vm", "slow", "--timeout", "20s")
    assert failed.returncode == FAILED
    assert "artifacts of plugin bad cannot be had" in failed.stderr
    host.delete("/vms/slow?force=true")


@pytest.mark.parametrize("words", ["vms list -w -o json", "events -f --since 0", "vms list -w", "vms list -o yaml"])
def test_who_reads_only_the_beginning_sees_no_trouble(host: RunningDaemon, words: str) -> None:
    shell = f"{sys.executable} -m volant {words} --url {host.url} | head -1"
    with subprocess.Popen(["sh", "-c", shell], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline()
        # There has to be something to say for it to notice that nobody listens.
        for n in range(20):
            if process.poll() is not None:
                break
            host.post("/vms?wait=ready", {"name": f"pipe-{n}", "plugin": "hello"})
            host.delete(f"/vms/pipe-{n}?force=true")
        assert process.wait(30) is not None
        assert process.stderr is not None
        assert process.stderr.read() == ""


def test_one_object_can_be_watched_until_it_is_gone(host: RunningDaemon) -> None:
    assert piped(host, "vms", "get", "nobody", "--watch").returncode == GONE
    host.post("/vms?wait=ready", {"name": "seen", "plugin": "hello"})
    command = [sys.executable, "-m", "volant", "vms", "get", "seen", "-w", "-o", "json", "--url", host.url]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert '"running"' in process.stdout.readline()
        host.delete("/vms/seen")
        assert next(line for line in process.stdout if '"deleted":true' in line)
        process.terminate()


def test_what_is_given_out_and_what_happened_have_shapes_for_programs(host: RunningDaemon) -> None:
    assert "up" in [one["name"] for one in json.loads(piped(host, "top", "-o", "json").stdout)]
    found = list(yaml.safe_load_all(piped(host, "events", "vm", "up", "-o", "yaml").stdout))
    assert found[0]["type"] == "vm.created"
    assert set(piped(host, "events", "vm", "up", "-o", "name").stdout.split()) == {"vm/up"}


INTERRUPTED_EARLY = """
import builtins, os, signal
real = builtins.__import__
def interrupted(name, *rest):
    if name == "click":
        os.kill(os.getpid(), signal.SIGINT)
    return real(name, *rest)
builtins.__import__ = interrupted
signal.signal(signal.SIGINT, signal.default_int_handler)
from volant.__main__ import main
main()
"""


def test_ctrl_c_before_anything_is_loaded_is_as_quiet() -> None:
    command = [sys.executable, "-c", INTERRUPTED_EARLY]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (INTERRUPTED, "", "")
