"""Disks at real QEMU processes: booted by the firmware, kept over ends of any kind, locked, and opened as meant."""

from __future__ import annotations

import asyncio
import os
import re
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from msgspec.structs import replace
from tests.builders.disk_images import MIB, a_root, bootable, qemu_img, qemu_io, some_disks
from tests.builders.qemu_guests import IDLES, a_boot, a_running_driver, ended, kernel
from tests.builders.toolchains import require_root

from volant.clock import Uid, random_uid
from volant.drivers import Boot, DiskSpec, VMFiles
from volant.drivers.qemu import QemuHypervisor
from volant.errors import DriverUnavailable

pytestmark = pytest.mark.timeout(120)


@pytest.fixture
async def driver(tmp_path: Path) -> AsyncIterator[QemuHypervisor]:
    async with a_running_driver(tmp_path / "run") as made:
        yield made


@pytest.fixture
def uid() -> Uid:
    return random_uid()


def with_disks(boot: Boot, files: VMFiles) -> Boot:
    return replace(boot, disks=files.disks, seed=files.seed)


async def booted(run: Path, uid: Uid, letter: str) -> None:
    """Wait until the disk has said that it was booted, with that letter, and has counted it up.

    The firmware writes the end of its own words, dots and new lines, while the boot sector writes.
    """
    log, console = run / uid / "console.log", ""
    try:
        async with asyncio.timeout(30):
            while f"booted {letter}w" not in re.sub(r"[.\s]*\n|\.", "", console := log.read_text(errors="replace")):
                await asyncio.sleep(0.02)
    except TimeoutError:
        pytest.fail(f"it was not booted with {letter}, but said {console!r}")


def opened(pid: int) -> dict[str, set[int]]:
    """The regular files that a process has open, and how: os.O_RDONLY, os.O_RDWR."""
    files: dict[str, set[int]] = {}
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        name = str(entry.readlink())
        if name.startswith("/") and not name.startswith(("/dev/", "/memfd")):
            [flags] = re.findall(r"^flags:\s*([0-7]+)$", Path(f"/proc/{pid}/fdinfo/{entry.name}").read_text(), re.M)
            files.setdefault(name, set()).add(int(flags, 8) & os.O_ACCMODE)
    return files


async def the_pid(driver: QemuHypervisor, uid: Uid) -> int:
    seen = await driver.inspect(uid)
    assert seen is not None
    assert seen.pid is not None
    return seen.pid


async def test_a_disk_boots_itself_and_the_power_button_stops_it(
    driver: QemuHypervisor, tmp_path: Path, uid: Uid
) -> None:
    """By the firmware, from virtio-blk. What it writes is there at its next start, and not in its image."""
    base = bootable(tmp_path / "image.raw")
    for letter in "ab":
        files = await some_disks(tmp_path / "disks", uid, a_root(base))
        await driver.launch(uid, with_disks(a_boot(uid, None), files))
        await booted(tmp_path / "run", uid, letter)
        await driver.request_stop(uid)
        seen = await ended(driver, uid)
        assert seen.exit is not None
        assert (seen.exit.reason, seen.exit.code) == ("guest_shutdown", 0)
    assert base.read_bytes()[512:513] == b"a", "the image itself is read-only"


async def test_what_is_written_outlives_a_vmm_that_is_killed(driver: QemuHypervisor, tmp_path: Path, uid: Uid) -> None:
    base = bootable(tmp_path / "image.raw")
    for letter in "abc":
        files = await some_disks(tmp_path / "disks", uid, a_root(base))
        await driver.launch(uid, with_disks(a_boot(uid, None), files))
        await booted(tmp_path / "run", uid, letter)
        os.kill(await the_pid(driver, uid), signal.SIGKILL)
        await ended(driver, uid)


async def test_a_disk_has_one_vmm_at_a_time(driver: QemuHypervisor, tmp_path: Path, uid: Uid) -> None:
    """A17: not because of what the daemon knows, but because of locks of the kernel."""
    base = bootable(tmp_path / "image.raw")
    files = await some_disks(tmp_path / "disks", uid, a_root(base))
    await driver.launch(uid, with_disks(a_boot(uid, None), files))
    await booted(tmp_path / "run", uid, "a")
    second = random_uid()
    await driver.launch(second, with_disks(a_boot(second, None), files))
    seen = await driver.inspect(second)
    assert seen is not None
    assert seen.exit is not None
    assert seen.state == "exited"
    assert seen.exit.message == "cannot use disk root: another process has it open"
    first = await driver.inspect(uid)
    assert first is not None
    assert first.state == "running"


async def test_two_vms_share_one_image(driver: QemuHypervisor, tmp_path: Path) -> None:
    """C11"""
    base = bootable(tmp_path / "image.raw")
    for _ in range(2):
        uid = random_uid()
        files = await some_disks(tmp_path / "disks", uid, a_root(base))
        await driver.launch(uid, with_disks(a_boot(uid, None), files))
        await booted(tmp_path / "run", uid, "a")


async def test_a_running_guests_disk_does_not_grow_under_it(driver: QemuHypervisor, tmp_path: Path, uid: Uid) -> None:
    data = DiskSpec(name="data", size_mb=4)
    files = await some_disks(tmp_path / "disks", uid, data)
    await driver.launch(uid, with_disks(a_boot(uid, kernel(tmp_path, IDLES)), files))
    with pytest.raises(DriverUnavailable, match=r"disk data: .*lock"):
        await some_disks(tmp_path / "disks", uid, replace(data, size_mb=8))
    assert await some_disks(tmp_path / "disks", uid, data) == files
    await driver.kill(uid)
    await some_disks(tmp_path / "disks", uid, replace(data, size_mb=8))


@pytest.mark.parametrize("odd", ["plain", "a,b=c", "a,file=x", "json:{}", "nbd:h:1", "a b", "$(id)", "é"])
async def test_exactly_the_files_that_were_meant_are_open(
    driver: QemuHypervisor, tmp_path: Path, uid: Uid, odd: str
) -> None:
    """A5, B3: the VM's own to be written, all others to be read."""
    place = tmp_path / odd
    place.mkdir()
    base = bootable(place / "image.raw")
    wanted = (a_root(base), DiskSpec(name="data", size_mb=4))
    files = await some_disks(place / "disks", uid, *wanted, seed=bytes(2048))
    await driver.launch(uid, with_disks(a_boot(uid, kernel(tmp_path, IDLES)), files))
    pid = await the_pid(driver, uid)
    run = tmp_path / "run" / uid
    seen = opened(pid)
    assert {name: modes for name, modes in seen.items() if not name.startswith(str(run))} == {
        str(place / "disks" / uid / "root.qcow2"): {os.O_RDWR},
        str(place / "disks" / uid / "data.qcow2"): {os.O_RDWR},
        str(place / "disks" / uid / "seed.iso"): {os.O_RDONLY},
        str(base): {os.O_RDONLY},
        str(tmp_path / "kernel"): {os.O_RDONLY},
    }


async def test_what_the_files_name_is_not_opened(driver: QemuHypervisor, tmp_path: Path, uid: Uid) -> None:
    """C3, V4: neither what a guest writes into its disk, nor what is written into the file around it."""
    secret = tmp_path / "secret"
    secret.write_bytes(b"secret".ljust(MIB, b"."))
    secret.chmod(0o644)
    files = await some_disks(tmp_path / "disks", uid, DiskSpec(name="data", size_mb=4))
    [disk] = files.disks
    inner = tmp_path / "inner.qcow2"
    qemu_img("create", "-q", "-f", "qcow2", "-b", secret, "-F", "raw", inner)
    qemu_io(disk.path, f"write -s {inner} 0 {inner.stat().st_size}")
    qemu_img("rebase", "-u", "-f", "qcow2", "-b", secret, "-F", "raw", disk.path)
    files = await some_disks(tmp_path / "disks", uid, DiskSpec(name="data", size_mb=4))
    await driver.launch(uid, with_disks(a_boot(uid, kernel(tmp_path, IDLES)), files))
    assert str(secret) not in opened(await the_pid(driver, uid))


async def test_a_link_in_the_place_of_a_disk_is_not_followed(driver: QemuHypervisor, tmp_path: Path, uid: Uid) -> None:
    """A16"""
    files = await some_disks(tmp_path / "disks", uid, DiskSpec(name="data", size_mb=4))
    [disk] = files.disks
    disk.path.rename(tmp_path / "elsewhere")
    disk.path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(DriverUnavailable, match=r"data\.qcow2: Too many levels of symbolic links"):
        await driver.launch(uid, with_disks(a_boot(uid, kernel(tmp_path, IDLES)), files))
    assert (tmp_path / "elsewhere").stat().st_uid == os.geteuid()


async def test_a_disk_belongs_to_the_user_of_its_vmm(driver: QemuHypervisor, tmp_path: Path, uid: Uid) -> None:
    """A11, E2: and stays behind the daemon's own directory."""
    require_root("giving files to others")
    files = await some_disks(tmp_path / "disks", uid, DiskSpec(name="data", size_mb=4), seed=bytes(2048))
    await driver.launch(uid, with_disks(a_boot(uid, kernel(tmp_path, IDLES)), files))
    owner = Path(f"/proc/{await the_pid(driver, uid)}").stat().st_uid
    assert files.seed is not None
    for path in (files.disks[0].path, files.seed):
        assert (path.stat().st_uid, path.stat().st_mode & 0o777) == (owner, 0o600)
    assert (tmp_path / "disks" / uid).stat().st_uid == 0
