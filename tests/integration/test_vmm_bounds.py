"""What a VMM can fill: its logs, and no more of the host's disk or of the daemon's memory, with disks and without."""

from __future__ import annotations

import asyncio
import contextlib
import re
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest
from msgspec.structs import replace
from tests.builders import qemu_guests as guests
from tests.builders.qemu_guests import a_boot, a_running_driver, kernel

from volant.clock import Uid, random_uid
from volant.drivers import DiskFile
from volant.drivers.qemu import Policy, console
from volant.drivers.qemu.limits import FILE_LIMIT_BYTES, MIB, limits
from volant.drivers.qemu.vmm import PATIENCE
from volant.errors import DriverRefused

CLAIM_BYTES = 10 << 30
"""What a guest would write, if it could."""


def sizes(directory: Path) -> int:
    found = 0
    for path in directory.glob("*.log*"):
        with contextlib.suppress(FileNotFoundError):  # moved meanwhile
            found += path.stat().st_size
    return found


@pytest.fixture
def uid() -> Uid:
    return random_uid()


async def test_a_flood_stays_within_its_bound_for_as_long_as_it_lasts(tmp_path: Path, uid: Uid) -> None:
    """A15: the limit and one log aside, whenever one looks; the guest runs on, and the daemon does not grow."""
    run, me = tmp_path / "run", psutil.Process()
    async with a_running_driver(run) as driver:
        await driver.launch(uid, a_boot(uid, kernel(tmp_path, guests.FLOODS)))
        log, before, most, rounds = run / uid / "console.log", me.memory_info().rss, 0, 0
        async with asyncio.timeout(60):
            while rounds < 2:
                most = max(most, sizes(run / uid))
                if log.stat().st_size > console.KEEP_BYTES:
                    await driver.observe()
                    rounds += 1
                await asyncio.sleep(0.01)
        assert most <= 2 * FILE_LIMIT_BYTES + console.KEEP_BYTES < CLAIM_BYTES
        assert me.memory_info().rss - before < 32 * MIB
        seen = await driver.inspect(uid)
        assert seen is not None
        assert seen.state == "running"


async def test_whoever_watches_keeps_the_logs_short(tmp_path: Path, uid: Uid) -> None:
    """A15: at every beat, and without anybody looking: with disks nothing else bounds them."""
    run = tmp_path / "run"
    async with a_running_driver(run, patience=replace(PATIENCE, beat_s=0.1)) as driver:
        hints = driver.watch()
        await driver.launch(uid, a_boot(uid, kernel(tmp_path, guests.FLOODS)))
        async with asyncio.timeout(60):
            async for _ in hints:
                if (run / uid / "console.log.1").exists():
                    break
        await hints.aclose()
        assert (run / uid / "console.log.1").stat().st_size > console.KEEP_BYTES


def test_a_log_far_past_its_limit_is_cut_to_its_newest_text(tmp_path: Path) -> None:
    """A15: as it is after a time without a daemon, in a VM with a disk. Sparse here: 10 GiB in name only."""
    log = tmp_path / "console.log"
    with log.open("wb") as file:
        file.truncate(CLAIM_BYTES)
        file.seek(CLAIM_BYTES)
        file.write(b"the end")
    console.tend(tmp_path)
    aside = tmp_path / "console.log.1"
    assert (log.stat().st_size, aside.stat().st_size) == (0, FILE_LIMIT_BYTES)
    assert aside.read_bytes().endswith(b"the end")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["console.log", "console.log.1", "console.log.moved"]


def test_logs_are_moved_by_one_hand_at_a_time(tmp_path: Path) -> None:
    """A15: looks and beats come from several threads, and none takes away what another has just put aside."""
    for _ in range(20):
        (tmp_path / "console.log").write_bytes(b"x" * (console.KEEP_BYTES + 1))
        with ThreadPoolExecutor(8) as several:
            list(several.map(console.tend, [tmp_path] * 8))
        assert (tmp_path / "console.log.1").stat().st_size == console.KEEP_BYTES + 1


def test_what_qemu_says_is_bounded_as_well(tmp_path: Path) -> None:
    """A15"""
    (tmp_path / "vmm.log").write_bytes(b"x" * (console.KEEP_BYTES + 1))
    console.tend(tmp_path)
    assert (tmp_path / "vmm.log").stat().st_size == 0


def test_a_log_that_is_a_symbolic_link_to_nothing_is_left_alone(tmp_path: Path) -> None:
    """A16"""
    (tmp_path / "console.log").symlink_to(tmp_path / "absent")
    console.tend(tmp_path)
    assert not (tmp_path / "absent").exists()


async def test_a_disk_lifts_the_limit_to_its_size_and_not_away(tmp_path: Path, uid: Uid) -> None:
    """A9: files of a VMM with disks may become as large as the largest of them, and no larger."""
    disk, run = tmp_path / "disk.qcow2", tmp_path / "run"
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", str(disk), "1G"], check=True)
    boot = a_boot(uid, kernel(tmp_path, guests.IDLES))
    async with a_running_driver(run) as driver:
        await driver.launch(uid, replace(boot, disks=(DiskFile(name="data", path=disk),)))
        seen = await driver.inspect(uid)
        assert seen is not None
        assert seen.state == "running", (run / uid / "vmm.log").read_text()
        limit = re.search(r"^Max file size +(\d+) +(\d+)", Path(f"/proc/{seen.pid}/limits").read_text(), re.MULTILINE)
        assert limit is not None
        assert limit[1] == limit[2]
        assert 1 << 30 < int(limit[1]) < 1.1 * (1 << 30)


async def test_emulation_is_refused_where_the_operator_wants_a_wall(tmp_path: Path, uid: Uid) -> None:
    """A14: a start is refused; what runs already is left alone."""
    run, boot = tmp_path / "run", a_boot(uid, kernel(tmp_path, guests.IDLES))
    async with a_running_driver(run) as driver:
        assert (driver.info.accelerator, driver.info.isolation) == ("tcg", "none")
        await driver.launch(uid, boot)
        async with a_running_driver(run, policy=Policy(require_kvm=True)) as strict:
            await strict.launch(uid, boot)
            other = random_uid()
            with pytest.raises(DriverRefused, match=r"cannot start web-1: this host emulates.*'require_kvm' is set"):
                await strict.launch(other, replace(boot, uid=other))
            assert [one.uid for one in await strict.observe()] == [uid]
            assert limits(boot).file_bytes == FILE_LIMIT_BYTES
