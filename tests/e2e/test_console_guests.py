"""Consoles of real guests, from the command to the serial port: QEMU, daemon, client and terminal as they are."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.builders import qemu_guests
from tests.builders.bare_qemu import the_kernel
from tests.builders.commands import Terminal, run
from tests.builders.daemon import RunningDaemon, daemon, guests, hello_manifest, until

from volant.images.guest import CMDLINE, Workload, initramfs, static_busybox
from volant.images.newc import gzip_bytes

pytestmark = [pytest.mark.e2e]


def a_plugin(directory: Path, name: str, program: bytes) -> dict[str, Any]:
    """A manifest of a tiny guest; its initramfs is one byte that it never reads."""
    place = directory / name
    place.mkdir(parents=True)
    qemu_guests.kernel(place, program)
    (place / "initramfs").write_bytes(b"0")
    files = {part: {"url": f"file://{place}/{part}"} for part in ("kernel", "initramfs")}
    return {"name": name, "version": "1", "resources": {"vcpu": 1, "memory_mb": 32}, **files}


def echoing(running: RunningDaemon, directory: Path) -> None:
    """A VM whose guest greets, and echoes what is typed."""
    greets = qemu_guests.says(b"\x1b[31mhello\x1b[0m\r\n") + qemu_guests.ECHOES
    running.post("/plugins?wait=ready", a_plugin(directory, "echo", greets))
    running.post("/vms?wait=running", {"name": "web", "plugin": "echo"})


def test_what_is_typed_reaches_a_guest_and_its_answer_the_terminal(tmp_path: Path) -> None:
    with daemon(tmp_path / "data", artifact_root=tmp_path) as running:
        echoing(running, tmp_path / "files")
        console = Terminal(running.url, "console", "web")
        try:
            console.read_until(lambda text: "Ctrl-] leaves it" in text)
            os.write(console._main, b"who is there?\r")
            console.read_until(lambda text: "who is there?\r" in text)
            os.write(console._main, b"\x1d")
            assert console.end() == 0
        finally:
            console.close()
        log = run(running.url, "logs", "web").stdout
        assert log == "hello\nwho is there?\n"
        assert run(running.url, "logs", "web", "--raw").stdout.startswith("\x1b[31mhello\x1b[0m")


@pytest.mark.gate
def test_a_console_and_its_log_outlive_the_daemon(tmp_path: Path) -> None:
    with daemon(tmp_path / "data", artifact_root=tmp_path) as first:
        echoing(first, tmp_path / "files")
        console = Terminal(first.url, "console", "web")
        console.read_until(lambda text: "Ctrl-] leaves it" in text)
        [pid] = guests(first.data_dir).values()
        first.kill()
        assert console.end() == 1
        assert "the guest goes on" in console.text
        with daemon(tmp_path / "data", artifact_root=tmp_path) as second:
            until("the guest is found", lambda: second.get("/vms/web")["pid"] == pid)
            typed = subprocess.run(
                [sys.executable, "-m", "volant", "console", "web", "--url", second.url],
                input="still here\r",
                capture_output=True,
                text=True,
                timeout=60,
                check=True,
            )
            assert typed.stdout.replace("\n", "\r") == "still here\r"
            assert run(second.url, "logs", "web").stdout == "hello\nstill here\n"


@pytest.mark.gate
def test_why_a_guest_crashed_can_be_read_when_it_has(tmp_path: Path) -> None:
    with daemon(tmp_path / "data", artifact_root=tmp_path) as running:
        panics = qemu_guests.says(b"out of luck\r\n") + qemu_guests.PANICS
        running.post("/plugins?wait=ready", a_plugin(tmp_path / "files", "panics", panics))
        running.post("/vms", {"name": "web", "plugin": "panics", "restart_policy": "never"})
        until("it has crashed", lambda: running.get("/vms/web").get("exit"))
        assert run(running.url, "logs", "web").stdout == "out of luck\n"
        running.delete("/vms/web")
        assert list((running.data_dir / "run").iterdir()) == []


@pytest.mark.gate
def test_a_follower_hears_a_linux_guest_to_its_last_word_and_the_next_one_start(tmp_path: Path) -> None:
    with daemon(tmp_path / "data") as running:
        running.post("/plugins?wait=ready", hello_manifest())
        vm = running.post("/vms?wait=running", {"name": "web", "plugin": hello_manifest()["name"]})
        command = [sys.executable, "-m", "volant", "logs", "web", "-f", "--url", running.url]
        heard = tmp_path / "heard"
        with heard.open("wb") as out, subprocess.Popen(command, stdout=out) as follower:
            try:
                running.page(vm)
                running.post("/vms/web/restart")
                until("its last word is heard", lambda: "volant: poweroff" in heard.read_text())
                running.post("/vms/web/stop")
                until("the next one's as well", lambda: heard.read_text().count("volant: poweroff") == 2)
                running.delete("/vms/web")
                assert follower.wait(60) == 0, heard.read_text()
            finally:
                follower.kill()


@pytest.mark.gate
def test_a_shell_of_a_linux_guest_is_used_from_the_terminal(tmp_path: Path) -> None:
    """One of our own guests, whose workload is a shell on its serial port."""
    words = Workload(argv=("sh", "-c", "exec sh -i </dev/ttyS0 >/dev/ttyS0 2>&1"))
    packed = gzip_bytes(initramfs(the_kernel(), static_busybox(Path("/bin/busybox")), [], words), 1)
    (tmp_path / "initramfs").write_bytes(packed)
    (tmp_path / "kernel").write_bytes(qemu_guests.hello_kernel().read_bytes())
    files = {part: {"url": f"file://{tmp_path}/{part}"} for part in ("kernel", "initramfs")}
    files["kernel"]["cmdline"] = CMDLINE
    with daemon(tmp_path / "data", artifact_root=tmp_path) as running:
        shell = {"name": "shell", "version": "1", "resources": {"vcpu": 1, "memory_mb": 128}, **files}
        running.post("/plugins?wait=ready", shell)
        running.post("/vms?wait=running", {"name": "web", "plugin": "shell"})
        until("the shell is there", lambda: "volant: ready" in run(running.url, "logs", "web").stdout)
        console = Terminal(running.url, "console", "web")
        try:
            console.read_until(lambda text: "Ctrl-] leaves it" in text)
            os.write(console._main, b"echo $((6 * 7)) from $HOSTNAME\r")
            console.read_until(lambda text: "42 from web" in text)
            os.write(console._main, b"\x1d")
            assert console.end() == 0
        finally:
            console.close()
        assert "42 from web" in run(running.url, "logs", "web", "--tail", "3").stdout
