"""The demo guest on a bare QEMU, without Volant around it: it serves its page, and it leaves when asked."""

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

import msgspec
import pytest
from tests.builders.qemu_guests import ROOT

from volant.images.hello import AGENT_PORT, CMDLINE, Built, build_hello, hello_document
from volant.images.kernel import find_kernel
from volant.model.plugin import Manifest

pytestmark = pytest.mark.e2e

BOOT_S = 60.0
ATTEMPT_S = 0.2
"""QEMU accepts before the guest does and repeats its own attempt only after seconds, so ours are short and many."""

ADDRESS = f"127.88.{200 + os.getpid() // 250 % 50}.{os.getpid() % 250 + 1}"
QBOOT = ("-bios", "qboot.rom", "-cpu", "qemu64,rdrand=on")
SEABIOS = ("-cpu", "max")


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Built:
    """The image as this tree builds it."""
    kernel = find_kernel(ROOT / ".cache" / "volant" / "kernel")
    assert kernel is not None, "there is no guest kernel. Run: make setup"
    return build_hello(tmp_path_factory.mktemp("hello"), kernel, Path("/bin/busybox"))


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
        return str(until("the page is served", _page))

    def reason(self, monitor: Iterator[dict[str, Any]]) -> str:
        """Why QEMU said that it ends; it has ended by itself afterwards."""
        ended = next(message for message in monitor if message.get("event") == "SHUTDOWN")
        assert self.process.wait(BOOT_S) == 0
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

    @property
    def console(self) -> str:
        """What it printed."""
        return (self.directory / "console").read_text(errors="replace")


@pytest.fixture
def boot(tmp_path: Path, image: Built) -> Iterator[Callable[..., Guest]]:
    """Start a guest. None outlives the test."""
    with contextlib.ExitStack() as stack:

        def start(*firmware: str) -> Guest:
            process = stack.enter_context(subprocess.Popen(argv(tmp_path, image, firmware)))
            stack.callback(process.kill)
            return Guest(tmp_path, process, stack)

        yield start


def argv(directory: Path, image: Built, firmware: tuple[str, ...]) -> list[str]:
    """QEMU's command line."""
    told = f"volant.ip=10.0.2.15/24 volant.gw=10.0.2.2 volant.name=web-1 volant.address={ADDRESS} volant.port=8080"
    forward = [{"str": f"tcp:{ADDRESS}:8080-10.0.2.15:8080"}]
    return [
        *("qemu-system-x86_64", "-M", "q35,sata=off,smbus=off,usb=off,vmport=off", "-accel", "tcg", *firmware),
        *("-m", "128", "-smp", "1", "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"),
        *("-sandbox", "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny"),
        *("-kernel", str(image.kernel), "-initrd", str(image.initramfs)),
        *("-append", f"console=ttyS0 {told} {CMDLINE}"),
        *("-netdev", json.dumps({"type": "user", "id": "n0", "restrict": True, "hostfwd": forward})),
        *("-device", json.dumps({"driver": "virtio-net-pci", "netdev": "n0", "romfile": ""})),
        *("-device", json.dumps({"driver": "virtio-serial-pci", "id": "ports"})),
        *("-chardev", f"socket,id=agent,path={directory}/agent,server=on,wait=off"),
        *("-device", json.dumps({"driver": "virtserialport", "chardev": "agent", "name": AGENT_PORT})),
        *("-serial", f"file:{directory}/console", "-qmp", f"unix:{directory}/qmp,server=on,wait=off"),
    ]


def until(what: str, look: Callable[[], object]) -> object:
    """The first true answer."""
    deadline = time.monotonic() + BOOT_S
    while not (found := look()):
        assert time.monotonic() < deadline, f"timed out before {what}"
        time.sleep(0.02)
    return found


def _page() -> str:
    return _get("/")


def _get(path: str) -> str:
    try:
        with socket.create_connection((ADDRESS, 8080), ATTEMPT_S) as connection:
            connection.sendall(f"GET {path} HTTP/1.0\r\n\r\n".encode())
            with connection.makefile(encoding="utf-8") as page:
                return page.read()
    except OSError:
        return ""


def test_the_page_names_the_vm_and_the_guest_shuts_down_on_a_line(boot: Callable[..., Guest]) -> None:
    guest = boot(*QBOOT)
    page = guest.page()
    assert page.startswith("HTTP/1.1 200")
    assert "Hello from web-1" in page
    assert f"address: {ADDRESS}" in page
    assert "volant: ready" in guest.console
    agent = guest.connect("agent")
    assert guest.greeting(agent) == "volant: agent of web-1\n"
    monitor = guest.monitor()
    agent.sendall(b"something else\n; poweroff -f\nshutdown\n")
    assert guest.reason(monitor) == "guest-shutdown"
    assert "volant: poweroff" in guest.console


@pytest.mark.parametrize("firmware", [QBOOT, SEABIOS], ids=["qboot", "seabios"])
def test_the_guest_shuts_down_when_its_power_button_is_pressed(
    boot: Callable[..., Guest], firmware: tuple[str, ...]
) -> None:
    guest = boot(*firmware)
    guest.greeting(guest.connect("agent"))
    assert guest.reason(guest.monitor("system_powerdown")) == "guest-shutdown"


def test_an_order_given_while_the_guest_boots_is_obeyed_once_it_is_up(boot: Callable[..., Guest]) -> None:
    guest = boot(*QBOOT)
    with guest.connect("agent") as agent:
        agent.sendall(b"reboot\n")
        assert guest.reason(guest.monitor()) == "guest-reset"


def test_the_agent_listens_again_when_its_peers_have_gone(boot: Callable[..., Guest]) -> None:
    guest = boot(*QBOOT)
    for _ in range(3):
        with guest.connect("agent") as agent:
            guest.page()
            agent.sendall(b"nothing of interest\n")
    monitor = guest.monitor()
    guest.connect("agent").sendall(b"shutdown\n")
    assert guest.reason(monitor) == "guest-shutdown"


def test_the_guest_serves_the_document_that_its_manifest_names(boot: Callable[..., Guest], image: Built) -> None:
    boot(*QBOOT).page()
    path = msgspec.convert(image.content, Manifest).openapi
    assert path is not None
    answer = str(until("the document is served", lambda: _get(path.path or "")))
    assert json.loads(answer.partition("\n\n")[2]) == hello_document()
