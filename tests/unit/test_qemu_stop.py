"""How a guest is asked to stop: with the test in the place of QEMU's sockets."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from volant.clock import Uid
from volant.drivers.qemu.vmm import PATIENCE, Vmm


class Listener:
    """A socket in the run directory, and what was said to it."""

    def __init__(self, path: Path) -> None:
        self._listening = socket.socket(socket.AF_UNIX)
        self._listening.bind(str(path))
        self._listening.listen(1)
        self._listening.settimeout(5)
        self._connection: socket.socket | None = None

    def heard(self) -> bytes:
        self._listening.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            self._connection, _ = self._listening.accept()
        if self._connection is None:
            return b""
        self._connection.setblocking(False)
        try:
            return self._connection.recv(1 << 16)
        except BlockingIOError:
            return b""

    def say(self, data: bytes) -> int:
        """As much of it as there is room for."""
        assert self._connection is not None
        try:
            return self._connection.send(data)
        except BlockingIOError:
            return 0

    def close(self) -> None:
        self._listening.close()
        if self._connection is not None:
            self._connection.close()


@pytest.fixture
def process() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(["sleep", "60"]) as child:
        yield child
        child.kill()


def a_vmm(process: subprocess.Popen[bytes], directory: Path) -> Vmm:
    return Vmm(
        Uid("0123"),
        os.pidfd_open(process.pid),
        pid=process.pid,
        directory=directory,
        started_at=None,
        booted=None,
        patience=PATIENCE,
        on_change=lambda _: None,
        on_end=lambda *_: None,
    )


@pytest.fixture
def sockets(tmp_path: Path) -> Iterator[dict[str, Listener]]:
    made = {name: Listener(tmp_path / f"{name}.sock") for name in ("qmp", "agent", "qga")}
    yield made
    for one in made.values():
        one.close()


async def test_a_guest_that_boots_itself_hears_the_button_first_and_the_agent_next(
    process: subprocess.Popen[bytes], tmp_path: Path, sockets: dict[str, Listener]
) -> None:
    """P7"""
    vmm = a_vmm(process, tmp_path)
    vmm.request_stop()
    assert b'"system_powerdown"' in sockets["qmp"].heard()
    assert sockets["qga"].heard() == b""
    for _ in range(2):
        vmm.request_stop()
        line = sockets["qga"].heard()
        assert line.startswith(b"\xff"), "which no JSON begins with: it ends whatever was heard in part"
        said = json.loads(line[1:])
        assert said == {"execute": "guest-shutdown", "arguments": {"mode": "powerdown"}}
        assert b'"system_powerdown"' in sockets["qmp"].heard()
    assert sockets["agent"].heard() == b"shutdown\n" * 3
    vmm.close()


async def test_a_guest_of_ours_is_asked_by_button_and_line(
    process: subprocess.Popen[bytes], tmp_path: Path, sockets: dict[str, Listener]
) -> None:
    """P7"""
    (tmp_path / "qga.sock").unlink()
    vmm = a_vmm(process, tmp_path)
    for _ in range(3):
        vmm.request_stop()
    assert sockets["qmp"].heard().count(b'"system_powerdown"') == 3
    assert sockets["agent"].heard() == b"shutdown\n" * 3
    vmm.close()


async def test_what_an_agent_answers_is_never_read(
    process: subprocess.Popen[bytes], tmp_path: Path, sockets: dict[str, Listener]
) -> None:
    """E8: an agent that talks without end fills its own socket, and nothing of ours."""
    vmm = a_vmm(process, tmp_path)
    vmm.request_stop()
    vmm.request_stop()
    sockets["qga"].heard()
    room = 0
    while sent := sockets["qga"].say(b'{"return": ' * 1000):
        room += sent
    assert room < 1 << 22
    vmm.request_stop()
    assert b"guest-shutdown" in sockets["qga"].heard()
    vmm.close()


async def test_an_agent_that_does_not_listen_is_passed_over(
    process: subprocess.Popen[bytes], tmp_path: Path, sockets: dict[str, Listener]
) -> None:
    """Requests go on until nothing more fits, and then harm nobody."""
    vmm = a_vmm(process, tmp_path)
    for _ in range(20_000):
        vmm.request_stop()
    assert not vmm.is_overdue
    vmm.close()


async def test_without_sockets_there_is_nobody_to_ask(process: subprocess.Popen[bytes], tmp_path: Path) -> None:
    vmm = a_vmm(process, tmp_path / "gone")
    vmm.request_stop()
    vmm.close()
