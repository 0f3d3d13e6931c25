"""What a real QEMU does too rarely to wait for, done by programs that stand in for it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from tests.builders import stand_ins
from tests.builders.qemu_guests import IDLES, a_boot, a_running_driver, ended, kernel
from tests.builders.stand_ins import stand_in

from volant.clock import Uid, random_uid
from volant.drivers import Boot, processes
from volant.drivers.qemu.vmm import Patience
from volant.errors import DriverUnavailable

ME = os.geteuid()
HASTY = Patience(start_s=5.0, answer_s=0.2, kill_s=10.0, leave_s=0.2)


@pytest.fixture
def uid() -> Uid:
    return random_uid()


@pytest.fixture
def boot(uid: Uid, tmp_path: Path) -> Boot:
    return a_boot(uid, kernel(tmp_path, IDLES))


async def test_a_qemu_that_never_answers_is_ended_and_leaves_nothing(tmp_path: Path, uid: Uid, boot: Boot) -> None:
    mute = stand_in(tmp_path, stand_ins.MUTE)
    hasty = Patience(start_s=0.3)
    async with a_running_driver(tmp_path / "run", qemu=mute, vmm_uid=ME, patience=hasty) as driver:
        with pytest.raises(DriverUnavailable, match=r"did not answer within 0\.3 s"):
            await driver.launch(uid, boot)
        assert await driver.inspect(uid) is None
        assert list((tmp_path / "run").iterdir()) == []
        assert processes.marks("volant-", owners={ME}) == {}


async def test_a_qemu_that_ends_at_once_says_why(tmp_path: Path, uid: Uid, boot: Boot) -> None:
    complaining = stand_in(tmp_path, stand_ins.COMPLAINS)
    async with a_running_driver(tmp_path / "run", qemu=complaining, vmm_uid=ME) as driver:
        await driver.launch(uid, boot)
        seen = await driver.inspect(uid)
    assert seen is not None
    assert seen.exit is not None
    assert (seen.state, seen.exit.reason, seen.exit.code) == ("exited", "launch_failed", 1)
    assert seen.exit.message == "no such ?[31mcolour"


async def test_a_qemu_that_hangs_on_its_way_out_is_helped(tmp_path: Path, uid: Uid, boot: Boot) -> None:
    """Its last word stays the reason."""
    stuck = stand_in(tmp_path, stand_ins.STUCK)
    async with a_running_driver(tmp_path / "run", qemu=stuck, vmm_uid=ME, patience=HASTY) as driver:
        await driver.launch(uid, boot)
        seen = await ended(driver, uid)
    assert seen.exit is not None
    assert seen.exit.reason == "guest_panic"


@pytest.mark.parametrize("body", [stand_ins.FALLS_SILENT, stand_ins.BABBLES])
async def test_a_qemu_that_no_longer_answers_is_unknown_and_can_be_ended(
    tmp_path: Path, uid: Uid, boot: Boot, body: str
) -> None:
    """P12, E8"""
    silent = stand_in(tmp_path, body)
    async with a_running_driver(tmp_path / "run", qemu=silent, vmm_uid=ME, patience=HASTY) as driver:
        await driver.launch(uid, boot)
        seen = await driver.inspect(uid)
        assert seen is not None
        assert seen.state == "unknown"
        await driver.request_stop(uid)
        await driver.kill(uid)
        seen = await driver.inspect(uid)
        assert seen is not None
        assert seen.state == "exited"
        await driver.forget(uid)


async def test_a_vmm_that_writes_without_end_fills_no_disk(tmp_path: Path, uid: Uid, boot: Boot) -> None:
    """A9, A15"""
    flooding = stand_in(tmp_path, f"{stand_ins.FLOODS}\n{stand_ins.FALLS_SILENT}")
    async with a_running_driver(tmp_path / "run", qemu=flooding, vmm_uid=ME, patience=HASTY) as driver:
        await driver.launch(uid, boot)
        assert (tmp_path / "run" / uid / "vmm.log").stat().st_size == 4 << 20
