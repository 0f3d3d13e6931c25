"""The rights of a VMM, read from /proc of a running one. The same holds as root and as an ordinary user."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import AsyncIterator
from pathlib import Path
from typing import NamedTuple

import pytest
from tests.builders.qemu_guests import IDLES, a_boot, a_running_driver, kernel

from volant.clock import Uid, random_uid
from volant.drivers.qemu.driver import NOBODY
from volant.drivers.user import UserNetwork

IS_ROOT = os.geteuid() == 0


class Running(NamedTuple):
    """A VMM, and where its files are."""

    pid: int
    directory: Path
    uid: Uid

    @property
    def proc(self) -> Path:
        return Path("/proc") / str(self.pid)

    def status(self, field: str) -> str:
        found = re.search(rf"^{field}:[ \t]*(.*)$", (self.proc / "status").read_text(), re.MULTILINE)
        assert found is not None
        return found[1].strip()

    def limit(self, name: str) -> tuple[str, str]:
        found = re.search(rf"^{name}\s+(\S+)\s+(\S+)", (self.proc / "limits").read_text(), re.MULTILINE)
        assert found is not None
        return found[1], found[2]


@pytest.fixture
async def vmm(tmp_path: Path) -> AsyncIterator[Running]:
    uid = random_uid()
    attachment = UserNetwork().attachment(uid, "127.88.255.244", ())
    boot = a_boot(uid, kernel(tmp_path, IDLES), attachment=attachment)
    secret = tmp_path / "secret"
    secret.write_text("")
    with secret.open():  # As the daemon has its store open.
        os.environ["VOLANT_TEST_TOKEN"] = "not for the VMM"
        try:
            async with a_running_driver(tmp_path / "run") as driver:
                await driver.launch(uid, boot)
                seen = await driver.inspect(uid)
                assert seen is not None
                assert seen.pid is not None
                yield Running(seen.pid, tmp_path / "run" / uid, uid)
        finally:
            del os.environ["VOLANT_TEST_TOKEN"]


async def test_it_is_never_root(vmm: Running) -> None:
    """A1"""
    expected = NOBODY if IS_ROOT else os.geteuid()
    assert vmm.status("Uid").split() == [str(expected)] * 4
    assert expected != 0
    assert vmm.status("Gid").split() == [str(NOBODY if IS_ROOT else os.getegid())] * 4
    assert not IS_ROOT or vmm.status("Groups") == ""


async def test_it_has_no_capability_and_can_gain_none(vmm: Running) -> None:
    """A2"""
    for kind in ("CapEff", "CapPrm", "CapInh", "CapAmb", *(["CapBnd"] if IS_ROOT else [])):
        assert int(vmm.status(kind), 16) == 0, kind


async def test_it_is_in_a_sandbox(vmm: Running) -> None:
    """A3"""
    assert vmm.status("NoNewPrivs") == "1"
    assert vmm.status("Seccomp") == "2"


async def test_it_has_only_the_descriptors_it_was_given(vmm: Running) -> None:
    """A5"""
    paths = {str(name.readlink()) for name in (vmm.proc / "fd").iterdir()}
    files = {path for path in paths if path.startswith("/")}
    logs = {str(vmm.directory / name) for name in ("vmm.log", "console.log")}
    assert files == {"/dev/null", str(vmm.directory.parent.parent / "kernel"), *logs}
    assert all(path.startswith(("/", "socket:", "anon_inode:")) for path in paths)


async def test_its_environment_is_empty(vmm: Running) -> None:
    """A6"""
    assert (vmm.proc / "environ").read_bytes() == b""


async def test_its_limits_are_set(vmm: Running) -> None:
    """A9"""
    assert vmm.limit("Max core file size") == ("0", "0")
    assert vmm.limit("Max open files") == ("1024", "1024")
    assert vmm.limit("Max file size") == (str(4 << 20), str(4 << 20))


async def test_its_directory_and_sockets_are_the_daemons_alone(vmm: Running) -> None:
    """A10, A11: not even the VMM's own user gets at them, so no other VMM does."""
    assert stat.S_IMODE(vmm.directory.stat().st_mode) == 0o700
    for path in (vmm.directory, *vmm.directory.glob("*.sock"), *vmm.directory.glob("*.json")):
        assert path.stat().st_uid == os.geteuid()
        assert path.stat().st_mode & 0o077 == 0 or path.suffix == ".json"


async def test_it_leads_its_own_session(vmm: Running) -> None:
    """It outlives the daemon, and nobody's Ctrl-C reaches it."""
    assert os.getsid(vmm.pid) == vmm.pid


async def test_it_weighs_less_than_the_daemon(vmm: Running) -> None:
    assert os.getpriority(os.PRIO_PROCESS, vmm.pid) >= min(19, os.getpriority(os.PRIO_PROCESS, 0) + 10)


async def test_nothing_secret_is_on_its_command_line(vmm: Running) -> None:
    """A7"""
    line = (vmm.proc / "cmdline").read_bytes()
    assert b"not for" not in line
    assert vmm.uid.encode() in line
