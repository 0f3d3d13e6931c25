"""The rights of a VMM with a disk, read from /proc of a running one. The same holds as root and as an ordinary user."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import AsyncIterator
from pathlib import Path
from typing import NamedTuple

import psutil
import pytest
from msgspec.structs import replace
from tests.builders.qemu_guests import IDLES, NO_NETWORK, a_boot, a_running_driver, kernel

from volant.clock import Uid, random_uid
from volant.drivers import DiskSpec
from volant.drivers.disks import DiskStore
from volant.drivers.qemu import Policy
from volant.drivers.user import UserNetwork
from volant.model.vm import CloudInit, NetworkConfig, Resources, VMConfig

IS_ROOT = os.geteuid() == 0
FIRST = 2_098_000_000 + os.getpid() % 90_000 * 10
SECRET = "not for the command line"


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
    uid, other = random_uid(), random_uid()
    attachment = UserNetwork().attachment(uid, "127.88.255.244", (), NetworkConfig())
    config = VMConfig(
        resources=Resources(memory_mb=32),
        env={"TOKEN": SECRET},
        cloud_init=CloudInit(user_data=f"#cloud-config\n{SECRET}"),
    )
    boot = a_boot(uid, kernel(tmp_path, IDLES), attachment=attachment)
    boot = replace(boot, booted=replace(boot.booted, config=config))
    disks = DiskStore(tmp_path / "disks", virtual_size=lambda path, image: 0)
    theirs = {
        one: await disks.ensure(one, (DiskSpec(name="data", size_mb=8),), SECRET.encode()) for one in (uid, other)
    }
    policy = Policy(uids=range(FIRST, FIRST + 4))
    secret = tmp_path / "secret"
    secret.write_text("")
    with secret.open():  # As the daemon has its store open.
        os.environ["VOLANT_TEST_TOKEN"] = "not for the VMM"
        try:
            async with a_running_driver(tmp_path / "run", policy=policy) as driver:
                for one, files in theirs.items():
                    await driver.launch(
                        one,
                        replace(
                            boot,
                            uid=one,
                            disks=files.disks,
                            seed=files.seed,
                            attachment=NO_NETWORK if one == other else attachment,
                        ),
                    )
                seen = await driver.inspect(uid)
                assert seen is not None
                assert seen.pid is not None, seen
                yield Running(seen.pid, tmp_path / "run" / uid, uid)
        finally:
            del os.environ["VOLANT_TEST_TOKEN"]


async def test_it_is_never_root(vmm: Running) -> None:
    """A1"""
    expected = FIRST if IS_ROOT else os.geteuid()
    assert vmm.status("Uid").split() == [str(expected)] * 4
    assert expected != 0
    assert vmm.status("Gid").split() == [str(FIRST if IS_ROOT else os.getegid())] * 4
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
    """A5: nothing of the daemon's, and nothing of the VM beside it."""
    paths = {str(name.readlink()) for name in (vmm.proc / "fd").iterdir()}
    files = {path for path in paths if path.startswith("/")}
    logs = {str(vmm.directory / name) for name in ("vmm.log", "console.log")}
    place = vmm.directory.parent.parent
    own = {str(path) for path in (place / "disks" / vmm.uid).iterdir() if path.suffix != ".json"}
    assert len(own) == 2
    assert files == {"/dev/null", str(place / "kernel"), *logs, *own}
    assert all(path.startswith(("/", "socket:", "anon_inode:")) for path in paths)


async def test_its_environment_is_empty(vmm: Running) -> None:
    """A6"""
    assert (vmm.proc / "environ").read_bytes() == b""


async def test_its_limits_are_set(vmm: Running) -> None:
    """A9"""
    assert vmm.limit("Max core file size") == ("0", "0")
    assert vmm.limit("Max open files") == ("1024", "1024")
    assert vmm.limit("Max locked memory") == ("0", "0")
    assert not IS_ROOT or vmm.limit("Max processes") == ("129", "129")
    soft, hard = vmm.limit("Max file size")
    assert soft == hard
    assert int(soft) < 128 << 20


async def test_its_directory_and_sockets_are_the_daemons_alone(vmm: Running) -> None:
    """A10"""
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
    """A7: neither the environment of the guest nor what cloud-init is told."""
    line = (vmm.proc / "cmdline").read_bytes()
    assert b"not for" not in line
    assert SECRET in (vmm.directory / "boot.json").read_text(), "it was there to be told"
    assert vmm.uid.encode() in line


async def test_it_listens_on_no_network_but_for_published_ports(vmm: Running) -> None:
    """E9, A12: its monitors, its console and the guest's agent are sockets in the run directory."""
    assert psutil.Process(vmm.pid).net_connections("inet") == []
    listening = {line.split()[-1] for line in (vmm.proc / "net" / "unix").read_text().splitlines() if "@" in line}
    assert not [name for name in listening if vmm.uid in name], "an abstract socket has no directory to keep others out"
