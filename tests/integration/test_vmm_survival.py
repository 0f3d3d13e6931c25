"""A daemon that dies, a daemon without root, a disk that two would write to: what holds then, on real processes."""

from __future__ import annotations

import asyncio
import concurrent.futures.thread  # noqa: F401 - now, because a child that is not root may read no module
import os
import re
import shutil
import signal
import tempfile
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace
from tests.builders.qemu_guests import IDLES, a_boot, a_driver, a_running_driver, ended, kernel

from volant.clock import Uid, random_uid
from volant.drivers import Boot, DiskSpec
from volant.drivers.disks import DiskStore
from volant.drivers.qemu import Policy

FIRST = 2_097_000_000 + os.getpid() % 90_000 * 10
POLICY = Policy(uids=range(FIRST, FIRST + 8))


@pytest.fixture
def place() -> Iterator[Path]:
    """A directory that belongs to the user FIRST, where there are such users."""
    made = Path(tempfile.mkdtemp(prefix="volant-test-"))
    if os.geteuid() == 0:
        os.chown(made, FIRST, FIRST)
    yield made
    shutil.rmtree(made)


@pytest.fixture
def uid() -> Uid:
    return random_uid()


@pytest.fixture
def boot(place: Path, uid: Uid) -> Boot:
    return a_boot(uid, kernel(place, IDLES))


def in_a_child(work: Callable[[], str], *, user: int | None = None) -> tuple[int, str]:
    """What `work` returns in a process of its own, of that user; and how that process ended. No program is started."""
    reader, writer = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of forking beside threads: the child starts none of them
        child = os.fork()
    if child == 0:
        try:
            if user is not None and os.geteuid() == 0:
                os.setgroups([])
                os.setresgid(user, user, user)
                os.setresuid(user, user, user)
            os.write(writer, work().encode())
        except BaseException as error:
            os.write(writer, repr(error).encode())
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader, encoding="utf-8") as pipe:
        said = pipe.read()
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), said


def test_without_root_a_vm_runs_as_the_daemon_does_and_that_is_said(place: Path, boot: Boot, uid: Uid) -> None:
    """A13: no user of its own, and every other wall: no capability, no new rights, the sandbox."""

    async def daemon() -> str:
        async with a_running_driver(place / "run", policy=POLICY) as driver:
            await driver.launch(uid, boot)
            seen = await driver.inspect(uid)
            assert seen is not None
            status = Path(f"/proc/{seen.pid}/status").read_text()
            fields = re.findall(r"^(Uid|CapEff|CapAmb|NoNewPrivs|Seccomp):\s+(\w+)", status, re.MULTILINE)
            return f"{dict(fields)} {driver.info.confinement['user']} {driver.info.isolation}"

    user = FIRST if os.geteuid() == 0 else os.geteuid()
    _, said = in_a_child(lambda: asyncio.run(daemon()), user=FIRST)
    none = "0" * 16
    rights = {"Uid": str(user), "CapEff": none, "CapAmb": none, "NoNewPrivs": "1", "Seccomp": "2"}
    assert said == f"{rights} uid {user}, the daemon's own: it is not root none"


def test_a_vm_outlives_a_daemon_that_is_killed(place: Path, boot: Boot, uid: Uid) -> None:
    """A17: the next one finds it with its user and starts no second."""

    async def daemon() -> str:
        await a_driver(place / "run", policy=POLICY).launch(uid, boot)
        os.kill(os.getpid(), signal.SIGKILL)
        return "not killed"

    async def next_daemon() -> tuple[int | None, int | None, int]:
        async with a_running_driver(place / "run", policy=POLICY) as driver:
            [found] = await driver.observe()
            await driver.launch(uid, boot)
            [again] = await driver.observe()
            return found.pid, again.pid, Path(f"/proc/{found.pid}").stat().st_uid

    if os.geteuid() == 0:
        os.chown(place, 0, 0)
    assert in_a_child(lambda: asyncio.run(daemon())) == (-signal.SIGKILL, "")
    found, again, owner = asyncio.run(next_daemon())
    assert found == again is not None
    assert owner == (FIRST if os.geteuid() == 0 else os.geteuid())


async def test_a_disk_has_one_vmm(place: Path, boot: Boot, uid: Uid) -> None:
    """A17: whoever gets past everything else is held by the lock on the file, and the first does not notice."""
    if os.geteuid() == 0:
        os.chown(place, 0, 0)
    store = DiskStore(place / "disks", virtual_size=lambda path, image: 0)
    files = await store.ensure(uid, (DiskSpec(name="data", size_mb=8),), None)
    async with a_running_driver(place / "run", policy=POLICY) as driver:
        await driver.launch(uid, replace(boot, disks=files.disks))
        second = random_uid()
        await driver.launch(second, replace(boot, uid=second, disks=files.disks))
        refused = await ended(driver, second)
        assert refused.exit is not None
        assert "another process has it open" in refused.exit.message
        first = await driver.inspect(uid)
        assert first is not None
        assert first.state == "running"
