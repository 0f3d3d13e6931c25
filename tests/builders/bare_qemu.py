"""A guest on a bare QEMU, without Volant around it: its console, its monitor, its agent port, and its end."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from tests.builders.qemu_guests import ROOT

from volant.images.guest import AGENT_PORT, CMDLINE
from volant.images.kernel import Kernel, find_kernel

BOOT_S = 60.0
ATTEMPT_S = 0.2
"""QEMU accepts before the guest does and repeats its own attempt only after seconds, so ours are short and many."""

ADDRESS = f"127.88.{200 + os.getpid() // 250 % 50}.{os.getpid() % 250 + 1}"
QBOOT = ("-bios", "qboot.rom", "-cpu", "qemu64,rdrand=on")
SEABIOS = ("-cpu", "max")
WORDS = f"volant.ip=10.0.2.15/24 volant.gw=10.0.2.2 volant.name=web-1 volant.address={ADDRESS} volant.port=8080"


class Guest:
    """One QEMU and the sockets it listens on."""

    def __init__(self, directory: Path, process: subprocess.Popen[bytes], ending: contextlib.ExitStack) -> None:
        self.directory = directory
        self.process = process
        self.ending = ending

    def connect(self, name: str) -> socket.socket:
        """A connection to one of its sockets, closed at the end of the test at the latest."""
        found = self.ending.enter_context(socket.socket(socket.AF_UNIX))
        found.settimeout(BOOT_S)
        until(f"{name} listens", lambda: found.connect_ex(str(self.directory / name)) == 0)
        return found

    def page(self) -> str:
        """What the guest serves."""
        return str(until("the page is served", lambda: get("/")))

    def reason(self, monitor: Iterator[dict[str, Any]], *, status: int = 0) -> str:
        """Why QEMU said that it ends; it has ended by itself afterwards, with that status."""
        ended = next(message for message in monitor if message.get("event") == "SHUTDOWN")
        assert self.process.wait(BOOT_S) == status
        return str(ended["data"]["reason"])

    def monitor(self, *commands: str) -> Iterator[dict[str, Any]]:
        """Everything QMP says from now on; `commands` are sent first."""
        stream = self.ending.enter_context(self.connect("qmp").makefile("rw", encoding="utf-8"))
        stream.write(json.dumps({"execute": "qmp_capabilities"}) + "\n")
        stream.flush()
        # Until it has answered, QEMU tells nothing of what happens: a guest that ends before that ends unheard.
        next(line for line in stream if "return" in json.loads(line))
        for command in commands:
            stream.write(json.dumps({"execute": command}) + "\n")
        stream.flush()
        return (json.loads(line) for line in stream)

    def greeting(self, agent: socket.socket) -> str:
        """The first line on the agent port: it comes when every way to stop the guest works."""
        return self.ending.enter_context(agent.makefile(encoding="utf-8")).readline()

    def says(self, text: str) -> None:
        """Wait until the console has it."""
        until(f"the console says {text!r}: {self.console[-2000:]}", lambda: text in self.console)

    @property
    def console(self) -> str:
        """What it printed."""
        return (self.directory / "console").read_text(errors="replace").replace("\r", "")


def the_kernel() -> Kernel:
    """The kernel that set-up has fetched."""
    kernel = find_kernel(ROOT / ".cache" / "volant" / "kernel")
    assert kernel is not None, "there is no guest kernel. Run: make setup"
    return kernel


@contextlib.contextmanager
def guests(directory: Path) -> Iterator[Callable[..., Guest]]:
    """What starts guests in `directory`, one at a time. None outlives the block."""
    with contextlib.ExitStack() as stack:

        def start(kernel: Path, initramfs: Path, *more: str, words: str = WORDS) -> Guest:
            command = argv(directory, kernel, initramfs, words, more)
            (directory / "console").write_bytes(b"")
            process = stack.enter_context(subprocess.Popen(command))
            stack.callback(process.kill)
            return Guest(directory, process, stack)

        yield start


def argv(directory: Path, kernel: Path, initramfs: Path, words: str, more: tuple[str, ...]) -> list[str]:
    """QEMU's command line. It publishes the guest's port 8080 at ADDRESS."""
    forward = [{"str": f"tcp:{ADDRESS}:8080-10.0.2.15:8080"}]
    return [
        *("qemu-system-x86_64", "-M", "q35,sata=off,smbus=off,usb=off,vmport=off", "-accel", "tcg"),
        *("-m", "128", "-smp", "1", "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"),
        *("-action", "panic=exit-failure", "-device", json.dumps({"driver": "pvpanic"})),
        *("-sandbox", "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny"),
        *("-kernel", str(kernel), "-initrd", str(initramfs), "-append", f"console=ttyS0 {words} {CMDLINE}"),
        *("-netdev", json.dumps({"type": "user", "id": "n0", "restrict": True, "hostfwd": forward})),
        *("-device", json.dumps({"driver": "virtio-net-pci", "netdev": "n0", "romfile": ""})),
        *("-device", json.dumps({"driver": "virtio-serial-pci", "id": "ports"})),
        *("-chardev", f"socket,id=agent,path={directory}/agent,server=on,wait=off"),
        *("-device", json.dumps({"driver": "virtserialport", "chardev": "agent", "name": AGENT_PORT})),
        *("-serial", f"file:{directory}/console", "-qmp", f"unix:{directory}/qmp,server=on,wait=off"),
        *more,
    ]


def disk(path: Path, serial: str, *, read_only: bool = False) -> tuple[str, ...]:
    """A raw disk that the guest knows by its serial."""
    file = {"driver": "file", "filename": str(path)}
    node = {"driver": "raw", "node-name": serial, "read-only": read_only, "file": file}
    device = {"driver": "virtio-blk-pci", "drive": serial, "serial": serial}
    return ("-blockdev", json.dumps(node), "-device", json.dumps(device))


def until(what: str, look: Callable[[], object]) -> object:
    """The first true answer."""
    deadline = time.monotonic() + BOOT_S
    while not (found := look()):
        assert time.monotonic() < deadline, f"timed out before {what}"
        time.sleep(0.02)
    return found


def get(path: str) -> str:
    """What the guest answers on its port 8080, or nothing."""
    try:
        with socket.create_connection((ADDRESS, 8080), ATTEMPT_S) as connection:
            connection.sendall(f"GET {path} HTTP/1.0\r\n\r\n".encode())
            with connection.makefile(encoding="utf-8") as page:
                return page.read()
    except OSError:
        return ""
