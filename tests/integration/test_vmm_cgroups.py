"""A control group for each VMM, by the driver and a real QEMU: on the host's hierarchy, and on a tree standing for one.

`kernel` is the real one, where the host has cgroup v2 and we may make groups in it: with controllers it limits, without
any it still shows who is in which group. `stand-in` is there everywhere.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from tests.builders.cgroups import StandIn, of_the_kernel, the_kernels
from tests.builders.qemu_guests import IDLES, a_boot, a_running_driver, ended, kernel

from volant.clock import Uid, random_uid
from volant.drivers import Boot
from volant.drivers.qemu import Policy, QemuHypervisor
from volant.drivers.qemu.cgroup import Cgroups
from volant.drivers.qemu.command import mark
from volant.drivers.qemu.limits import shares
from volant.drivers.qemu.rundir import RunDir
from volant.errors import DriverUnavailable

KERNELS = the_kernels()


@pytest.fixture(params=["stand-in", *(["kernel"] if KERNELS else [])])
def cgroups(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Cgroups]:
    if request.param == "stand-in" or KERNELS is None:
        yield StandIn(tmp_path / "cgroup" / "volant")
        return
    made = of_the_kernel(KERNELS, f"volant-test-{os.getpid()}")
    yield made
    made.parent.rmdir()


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return tmp_path / "run"


@pytest.fixture
def uid() -> Uid:
    return random_uid()


@pytest.fixture
def boot(uid: Uid, tmp_path: Path) -> Boot:
    return a_boot(uid, kernel(tmp_path, IDLES))


def leaf(cgroups: Cgroups, run: Path, uid: Uid) -> Path:
    return cgroups.parent / mark(RunDir(run).owner, uid)


async def pid_of(driver: QemuHypervisor, uid: Uid) -> int:
    seen = await driver.inspect(uid)
    assert seen is not None
    assert seen.pid is not None, seen
    return seen.pid


async def test_a_vmm_is_in_a_group_of_its_own_with_its_limits(
    cgroups: Cgroups, run: Path, uid: Uid, boot: Boot
) -> None:
    """A8: it went there by itself, before it was QEMU."""
    async with a_running_driver(run, policy=Policy(cgroups=cgroups)) as driver:
        await driver.launch(uid, boot)
        pid, group = await pid_of(driver, uid), leaf(cgroups, run, uid)
        if isinstance(cgroups, StandIn):
            assert (group / "cgroup.procs").read_text() == "0\n"
        else:
            assert (group / "cgroup.procs").read_text().split() == [str(pid)]
            assert f"0::/{group.relative_to(KERNELS or '/')}" in Path(f"/proc/{pid}/cgroup").read_text().splitlines()
        for file, text in shares(boot, "tcg").items():
            if file.partition(".")[0] in cgroups.controllers and (group / file).exists():
                assert (group / file).read_text().split() == text.split(), file


async def test_a_group_goes_with_its_vm(cgroups: Cgroups, run: Path, uid: Uid, boot: Boot) -> None:
    """A8: nothing is left, and not before the VM is forgotten."""
    async with a_running_driver(run, policy=Policy(cgroups=cgroups)) as driver:
        for _ in range(2):
            await driver.launch(uid, boot)
            await driver.kill(uid)
            assert leaf(cgroups, run, uid).exists()
        await driver.launch(uid, boot)
        await driver.kill(uid)
        await driver.forget(uid)
        await driver.forget(uid)
        assert not leaf(cgroups, run, uid).exists()


async def test_a_start_that_fails_leaves_no_group(cgroups: Cgroups, run: Path, uid: Uid) -> None:
    async with a_running_driver(run, policy=Policy(cgroups=cgroups)) as driver:
        with pytest.raises(DriverUnavailable, match="/nowhere"):
            await driver.launch(uid, a_boot(uid, Path("/nowhere")))
        assert not leaf(cgroups, run, uid).exists()
        assert list(run.iterdir()) == []


async def test_a_group_whose_limits_cannot_be_set_starts_nothing(
    run: Path, uid: Uid, boot: Boot, tmp_path: Path
) -> None:
    """A8"""
    lacking = StandIn(tmp_path / "cgroup", missing=["pids.max"])
    async with a_running_driver(run, policy=Policy(cgroups=lacking)) as driver:
        with pytest.raises(DriverUnavailable, match=r"pids.max: No such file"):
            await driver.launch(uid, boot)
        assert await driver.observe() == []


class _Vanishing(StandIn):
    """A leaf that somebody removes before anybody is in it."""

    def make(self, name: str, shares: Mapping[str, str]) -> Path:
        leaf = super().make(name, shares)
        self.remove(name)
        return leaf


async def test_what_cannot_go_into_its_group_never_becomes_a_vmm(
    run: Path, uid: Uid, boot: Boot, tmp_path: Path
) -> None:
    """A8"""
    async with a_running_driver(run, policy=Policy(cgroups=_Vanishing(tmp_path / "cgroup"))) as driver:
        with contextlib.suppress(DriverUnavailable):
            await driver.launch(uid, boot)
        seen = await ended(driver, uid)
        assert seen.exit is not None
        assert "cgroup.procs" in seen.exit.message
        assert b"qemu" not in (run / uid / "vmm.log").read_bytes()


async def test_what_holds_is_said(cgroups: Cgroups, run: Path) -> None:
    """A13"""
    async with a_running_driver(run, policy=Policy(cgroups=cgroups)) as driver:
        assert driver.info.confinement["cgroup"] == str(cgroups)
    async with a_running_driver(run, policy=Policy(cgroups="none: why")) as driver:
        assert driver.info.confinement["cgroup"] == "none: why"
        assert driver.info.confinement["seccomp"] == "on"
