"""A user of its own for each VMM: given out, taken back, and really a wall. Without root all are the daemon's own."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace
from tests.builders.qemu_guests import IDLES, a_boot, a_running_driver, kernel

from volant.clock import Uid, random_uid
from volant.drivers import Boot, DiskSpec
from volant.drivers.disks import DiskStore
from volant.drivers.qemu import Policy, QemuHypervisor
from volant.drivers.qemu.confinement import Confinement
from volant.drivers.qemu.rundir import Confined, RunDir
from volant.errors import DriverUnavailable, StartupError

IS_ROOT = os.geteuid() == 0
FIRST = 2_099_000_000 + os.getpid() % 90_000 * 10
"""Beside the range of a daemon, and another for each process that runs tests."""


CONNECT = """import os, socket, sys
connection, uid = socket.socket(socket.AF_UNIX), int(sys.argv[1])
os.setgroups([]), os.setresgid(uid, uid, uid), os.setresuid(uid, uid, uid)
connection.connect(sys.argv[2])
"""


@pytest.fixture
def open_place() -> Iterator[Path]:
    """A directory that every user may enter, so that what keeps others out of those in it is the driver's doing."""
    place = Path(tempfile.mkdtemp(prefix="volant-test-"))
    place.chmod(0o755)
    yield place
    shutil.rmtree(place)


@pytest.fixture
def policy() -> Policy:
    return Policy(uids=range(FIRST, FIRST + 8))


@pytest.fixture
async def driver(open_place: Path, policy: Policy) -> AsyncIterator[QemuHypervisor]:
    async with a_running_driver(open_place / "run", policy=policy) as made:
        yield made


@pytest.fixture
def boot(open_place: Path) -> Boot:
    return a_boot(Uid("none"), kernel(open_place, IDLES))


async def launched(driver: QemuHypervisor, boot: Boot) -> tuple[Uid, int]:
    """A VM that runs: its uid and pid."""
    uid = random_uid()
    await driver.launch(uid, replace(boot, uid=uid))
    seen = await driver.inspect(uid)
    assert seen is not None
    assert seen.pid is not None
    return uid, seen.pid


def user(pid: int) -> int:
    """Who the process runs as, whichever of its ids one asks for."""
    status = Path(f"/proc/{pid}/status").read_text()
    ids = {int(word) for line in re.findall(r"^[UG]id:(.*)$", status, re.MULTILINE) for word in line.split()}
    assert len(ids) == 1 or not IS_ROOT
    return int(re.findall(r"^Uid:\s+(\d+)", status, re.MULTILINE)[0])


def expected(*offsets: int) -> list[int]:
    return [FIRST + offset if IS_ROOT else os.geteuid() for offset in offsets]


def tried(uid: int, script: str, *words: str) -> subprocess.CompletedProcess[str]:
    """What a program that runs as `uid`, as a VMM that was taken over would, gets done."""
    rights = ["setpriv", "--reuid", str(uid), "--regid", str(uid), "--clear-groups", "--bounding-set=-all"]
    command = [*rights, "/bin/sh", "-c", script, "sh", *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=20, check=False, env={"LC_ALL": "C"})


# Given out and taken back


async def test_no_two_vmms_share_a_user(driver: QemuHypervisor, boot: Boot, open_place: Path) -> None:
    """A1: the lowest that is free, as user and as group, and its files are that user's."""
    seen = [await launched(driver, boot) for _ in range(3)]
    assert [user(pid) for _, pid in seen] == expected(0, 1, 2)
    for (uid, _), who in zip(seen, expected(0, 1, 2), strict=True):
        assert (open_place / "run" / uid / "console.log").stat().st_uid == who


async def test_vms_that_start_at_once_have_users_of_their_own(driver: QemuHypervisor, boot: Boot) -> None:
    """A1"""
    seen = await asyncio.gather(*(launched(driver, boot) for _ in range(6)))
    assert sorted(user(pid) for _, pid in seen) == expected(*range(6))


async def test_a_user_is_free_again_when_its_vm_is_forgotten(driver: QemuHypervisor, boot: Boot) -> None:
    """A1: and not before: files of an ended VM still belong to it."""
    first, _ = await launched(driver, boot)
    await driver.kill(first)
    assert [user((await launched(driver, boot))[1])] == expected(1)
    await driver.forget(first)
    assert [user((await launched(driver, boot))[1])] == expected(0)


async def test_a_user_that_any_process_runs_as_is_not_given_out(driver: QemuHypervisor, boot: Boot) -> None:
    """A1: two daemons may have the same range by mistake."""
    rights = ["setpriv", "--reuid", str(FIRST)] if IS_ROOT else []
    other = subprocess.Popen([*rights, "sleep", "60"])
    try:
        async with asyncio.timeout(10):
            while Path(f"/proc/{other.pid}").stat().st_uid != expected(0)[0]:
                await asyncio.sleep(0.01)
        assert [user((await launched(driver, boot))[1])] == expected(1)
    finally:
        other.kill()
        other.wait()


async def test_when_no_user_is_left_a_start_has_to_wait(open_place: Path, boot: Boot) -> None:
    """A1: never by sharing one."""
    async with a_running_driver(open_place / "run", policy=Policy(uids=range(FIRST, FIRST + 2))) as driver:
        first, _ = await launched(driver, boot)
        await launched(driver, boot)
        if IS_ROOT:
            with pytest.raises(DriverUnavailable, match=f"all uids from {FIRST} to {FIRST + 1} are in use"):
                await launched(driver, boot)
            assert len(list((open_place / "run").iterdir())) == 2
            await driver.kill(first)
            await driver.forget(first)
        assert [user((await launched(driver, boot))[1])] == expected(0)


async def test_vms_of_another_range_are_still_ours(driver: QemuHypervisor, boot: Boot, open_place: Path) -> None:
    """A1, A17: a setting that changed loses no VM, and starts none twice."""
    uid, pid = await launched(driver, boot)
    await driver.close()
    elsewhere = Policy(uids=range(FIRST + 8, FIRST + 9))
    async with a_running_driver(open_place / "run", policy=elsewhere) as next_driver:
        assert [one.pid for one in await next_driver.observe()] == [pid]
        await next_driver.launch(uid, replace(boot, uid=uid))
        assert [one.pid for one in await next_driver.observe()] == [pid]


async def test_a_vm_without_a_record_is_found_by_its_mark(
    driver: QemuHypervisor, boot: Boot, open_place: Path, policy: Policy
) -> None:
    """A17: the daemon died between start and record, or somebody removed the directory."""
    uid, pid = await launched(driver, boot)
    await driver.close()
    shutil.rmtree(open_place / "run" / uid)
    async with a_running_driver(open_place / "run", policy=policy) as next_driver:
        assert [one.pid for one in await next_driver.observe()] == [pid]
        assert [user((await launched(next_driver, boot))[1])] == expected(1), "its user is in use all the same"


def test_users_are_said_for_people(tmp_path: Path) -> None:
    """A13: and what is weaker is said to be."""

    def said(uids: range) -> str:
        return Confinement(RunDir(tmp_path), Policy(uids=uids), "tcg").words()["user"]

    if IS_ROOT:
        assert said(range(7, 9)) == "one of its own for each VM, from 7 to 8"
        assert said(range(7, 8)) == "uid 7, shared by all VMs"
    else:
        assert said(range(7, 9)) == f"uid {os.geteuid()}, the daemon's own: it is not root"


def test_users_that_this_namespace_does_not_have_are_refused_at_the_start(tmp_path: Path) -> None:
    nobodys = range((1 << 32) - 1, 1 << 32)
    confinement = Confinement(RunDir(tmp_path), Policy(uids=nobodys), "tcg")
    with pytest.raises(StartupError, match="has no such users") if IS_ROOT else contextlib.nullcontext():
        confinement.check()


def test_a_damaged_record_of_a_user_is_none(tmp_path: Path) -> None:
    rundir = RunDir(tmp_path)
    rundir.make(Uid("a"), a_boot(Uid("a"), Path("/k")))
    rundir.write_confined(Uid("a"), Confined(vmm_uid=7))
    assert rundir.read_confined(Uid("a")) == Confined(vmm_uid=7)
    (tmp_path / "a" / "confined.json").write_text("{")
    assert rundir.read_confined(Uid("a")) is None


# A wall


async def test_a_vmms_user_gets_at_nothing_of_its_own_vm_by_name(
    driver: QemuHypervisor, boot: Boot, open_place: Path
) -> None:
    """A10: neither records nor sockets: what QEMU needs it was handed."""
    uid, pid = await launched(driver, boot)
    if not IS_ROOT:
        return
    assert tried(user(pid), 'test -r "$1"', str(open_place / "kernel")).returncode == 0, "it may enter the place"
    directory = open_place / "run" / uid
    files = [path for path in directory.iterdir() if path.name != "console.log"]
    assert {"boot.json", "instance.json", "confined.json", "qmp.sock"} <= {path.name for path in files}
    for path in [directory, directory.parent, *files]:
        refused = tried(user(pid), 'cat "$1" || ls "$1" || echo x >"$1"', str(path))
        assert refused.stdout == "", path
        assert "Permission denied" in refused.stderr, path
    for path in directory.glob("*.sock"):
        command = [sys.executable, "-c", CONNECT, str(user(pid)), str(path)]
        refused = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
        assert "PermissionError" in refused.stderr, refused


async def test_a_vmms_user_gets_at_nothing_of_another_vm(driver: QemuHypervisor, boot: Boot, open_place: Path) -> None:
    """A10, A11: not by name, not through /proc, not by a signal."""
    (_, attacker), (uid, victim) = await launched(driver, boot), await launched(driver, boot)
    if not IS_ROOT:
        return
    me = user(attacker)
    for name in ("console.log", "qmp.sock", "vmm.log", "boot.json"):
        assert (open_place / "run" / uid / name).exists()
        refused = tried(me, 'cat "$1"', str(open_place / "run" / uid / name))
        assert (refused.stdout, "Permission denied" in refused.stderr) == ("", True), name
    for script in ('ls "/proc/$1/fd"', 'cat "/proc/$1/environ"', 'cat "/proc/$1/mem"', 'ls "/proc/$1/cwd/"'):
        refused = tried(me, script, str(victim))
        assert (refused.stdout, "Permission denied" in refused.stderr) == ("", True), (script, refused)
    assert "not permitted" in tried(me, 'kill -KILL "$1"', str(victim)).stderr
    assert Path(f"/proc/{victim}").exists()


async def test_a_vmms_user_opens_no_disk_but_what_it_was_handed(
    driver: QemuHypervisor, boot: Boot, open_place: Path
) -> None:
    """A11: its own neither, by name: and a disk is for its VM's user alone, should it ever come to lie in the open."""
    store = DiskStore(open_place / "disks", virtual_size=lambda path, image: 0)
    seen: dict[Path, int] = {}
    for _ in range(2):
        uid = random_uid()
        files = await store.ensure(uid, (DiskSpec(name="data", size_mb=8),), b"seed")
        await driver.launch(uid, replace(boot, uid=uid, disks=files.disks, seed=files.seed))
        found = await driver.inspect(uid)
        assert found is not None
        assert found.pid is not None
        assert files.seed is not None
        seen |= {files.disks[0].path: user(found.pid), files.seed: user(found.pid)}
    if not IS_ROOT:
        return
    assert len(set(seen.values())) == 2
    for path in seen:
        for who in set(seen.values()):
            refused = tried(who, 'cat "$1"', str(path))
            assert (refused.stdout, "Permission denied" in refused.stderr) == ("", True), path
    for directory in (open_place / "disks", *(open_place / "disks").iterdir()):
        directory.chmod(0o711)
    for path, owner in seen.items():
        for who in set(seen.values()):
            assert (tried(who, 'test -r "$1"', str(path)).returncode == 0) == (who == owner), path


async def test_what_a_shared_user_costs(open_place: Path, boot: Boot) -> None:
    """A11: with one user for all, a VMM may end its neighbour. That is why each has its own by default."""
    async with a_running_driver(open_place / "run", policy=Policy(uids=range(FIRST, FIRST + 1))) as driver:
        (_, attacker), (uid, victim) = await launched(driver, boot), await launched(driver, boot)
        assert user(attacker) == user(victim) == expected(0)[0]
        if not IS_ROOT:
            return
        assert tried(user(attacker), 'kill -KILL "$1"', str(victim)).returncode == 0
        async with asyncio.timeout(20):
            while (seen := await driver.inspect(uid)) is not None and seen.state != "exited":
                await asyncio.sleep(0.02)
        assert seen is not None
        assert seen.exit is not None
        assert seen.exit.code == -signal.SIGKILL
