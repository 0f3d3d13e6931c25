"""Linux on disks, on real QEMU: what is written is kept over every kind of end, and every kind of system is stopped."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest
from tests.builders.disk_images import MIB, a_root, some_disks
from tests.builders.linux_disks import (
    OBEYS_THE_BUTTON,
    OBEYS_THE_GUEST_AGENT,
    boot_from_root,
    root_image,
    whole_disk,
)
from tests.builders.qemu_guests import ROOT, a_boot, a_running_driver, ended

from volant.clock import Uid, random_uid
from volant.drivers import Boot, DiskSpec
from volant.drivers.qemu import QemuHypervisor

pytestmark = [pytest.mark.e2e, pytest.mark.gate, pytest.mark.timeout(300)]

BOOT_S = 120.0

COUNTS = """count=$(cat /count 2>/dev/null || echo 0); count=$((count + 1))
echo $count >/count; sync
echo "test: boot $count"
exec sleep 1000000"""

USES_ITS_DISKS = """cd /dev/disk/by-id
for disk in virtio-*; do
  file=$(readlink $disk)
  echo "test: $disk ${file##*/} $(cat /sys/block/${file##*/}/size) $(cat /sys/block/${file##*/}/ro)"
done
echo "test: found $(dd if=virtio-data bs=12 count=1 2>/dev/null | hexdump -e '12/1 "%02x"')"
printf 'QFI\\373\\0\\0\\0\\3\\0\\0\\0\\0' | dd of=virtio-data bs=512 conv=notrunc,fsync,sync 2>/dev/null
dd if=/dev/zero of=virtio-seed bs=512 count=1 conv=fsync 2>/dev/null && echo "test: seed written"
dd if=/dev/zero of=virtio-zeta bs=1M count=10 conv=fsync 2>/dev/null && echo "test: zeta written"
echo "test: done"
exec sleep 1000000"""


@pytest.fixture
async def driver(tmp_path: Path) -> AsyncIterator[QemuHypervisor]:
    async with a_running_driver(tmp_path / "run") as made:
        yield made


async def said(tmp_path: Path, uid: Uid, text: str) -> str:
    """The console, as soon as the text is in it."""
    log, console = tmp_path / "run" / uid / "console.log", ""
    try:
        async with asyncio.timeout(BOOT_S):
            while text not in (console := log.read_text(errors="replace").replace("\r", "")):
                await asyncio.sleep(0.1)
    except TimeoutError:
        pytest.fail(f"it never said {text!r} but {console!r}")
    return console


async def stopped(driver: QemuHypervisor, uid: Uid, *, asks: int = 1) -> str | None:
    """How it ended when it was asked to, every few seconds and so many times at most."""
    for _ in range(asks):
        await driver.request_stop(uid)
        try:
            async with asyncio.timeout(5 if asks > 1 else 60):
                seen = await ended(driver, uid)
        except TimeoutError:
            continue
        return seen.exit.reason if seen.exit is not None else None
    return None


DAEMON = """
import asyncio, sys
from pathlib import Path
import msgspec
from tests.builders.qemu_guests import a_driver
from volant.clock import Uid
from volant.drivers import Boot
from volant.drivers.qemu.rundir import _rich

async def main():
    driver = a_driver(Path(sys.argv[1]))
    boot = msgspec.json.decode(sys.argv[2], type=Boot, dec_hook=_rich)
    await driver.launch(boot.uid, boot)
    print("launched", flush=True)
    await asyncio.Event().wait()

asyncio.run(main())
"""


async def launched_by_a_daemon_that_dies(tmp_path: Path, boot: Boot, text: str) -> None:
    """Another process starts the guest and is killed as soon as the guest has said that."""
    words = [sys.executable, "-c", DAEMON, str(tmp_path / "run"), msgspec.json.encode(boot, enc_hook=str).decode()]
    path = os.pathsep.join([str(ROOT), *sys.path])
    with subprocess.Popen(
        words, cwd=ROOT, env={**os.environ, "PYTHONPATH": path}, stdout=subprocess.PIPE, start_new_session=True
    ) as daemon:
        try:
            assert daemon.stdout is not None
            assert await asyncio.to_thread(daemon.stdout.readline) == b"launched\n"
            await said(tmp_path, boot.uid, text)
        finally:
            os.killpg(daemon.pid, signal.SIGKILL)


async def test_a_root_disk_is_kept_over_every_end(driver: QemuHypervisor, tmp_path: Path) -> None:
    """A17, P7, P10: a stop, a VMM that is killed, and a daemon that dies."""
    uid = random_uid()
    base = root_image(tmp_path, COUNTS)
    before = base.read_bytes()

    async def boot() -> Boot:
        return boot_from_root(uid, tmp_path, await some_disks(tmp_path / "disks", uid, a_root(base, 64)))

    await driver.launch(uid, await boot())
    await said(tmp_path, uid, "test: boot 1\n")
    assert await stopped(driver, uid) == "guest_shutdown"

    await driver.launch(uid, await boot())
    await said(tmp_path, uid, "test: boot 2\n")
    seen = await driver.inspect(uid)
    assert seen is not None
    assert seen.pid is not None
    os.kill(seen.pid, signal.SIGKILL)
    await ended(driver, uid)
    await driver.forget(uid)

    await launched_by_a_daemon_that_dies(tmp_path, await boot(), "test: boot 3\n")
    seen = await driver.inspect(uid)
    assert seen is not None
    assert seen.state == "running"
    assert await stopped(driver, uid) == "guest_shutdown"

    await driver.launch(uid, await boot())
    console = await said(tmp_path, uid, "test: boot 4\n")
    assert "recovery" not in console, "the stop before was a clean one"
    assert base.read_bytes() == before


async def test_extra_disks_are_found_by_their_names(driver: QemuHypervisor, tmp_path: Path) -> None:
    """C3: in the order root, by name, seed; what the guest writes at their beginning makes them nothing else."""
    uid = random_uid()
    base = root_image(tmp_path, USES_ITS_DISKS)
    wanted = (DiskSpec(name="zeta", size_mb=12), a_root(base), DiskSpec(name="data", size_mb=2))
    for found in ("00" * 12, "514649fb" + "00000003" + "00000000"):
        files = await some_disks(tmp_path / "disks", uid, *wanted, seed=bytes(4096))
        await driver.launch(uid, boot_from_root(uid, tmp_path, files))
        console = await said(tmp_path, uid, "test: done\n")
        lines = {line for line in console.splitlines() if line.startswith("test: virtio-")}
        assert lines == {
            f"test: virtio-root vda {base.stat().st_size // 512} 0",
            f"test: virtio-data vdb {2 * MIB // 512} 0",
            f"test: virtio-zeta vdc {12 * MIB // 512} 0",
            "test: virtio-seed vdd 8 1",
        }
        assert f"test: found {found}\n" in console
        assert "seed written" not in console
        assert "zeta written" in console, "files of a VMM may be as large as its disks"
        assert await stopped(driver, uid) == "guest_shutdown"
    assert files.seed is not None
    assert files.seed.read_bytes() == bytes(4096)


async def test_a_linux_on_a_disk_of_its_own_obeys_its_power_button(driver: QemuHypervisor, tmp_path: Path) -> None:
    """P7: by the firmware from virtio-blk, with a boot loader and a kernel that are not ours."""
    uid = random_uid()
    base = whole_disk(tmp_path, OBEYS_THE_BUTTON)
    files = await some_disks(tmp_path / "disks", uid, a_root(base))
    boot = msgspec.structs.replace(a_boot(uid, None, memory_mb=192), disks=files.disks)
    await driver.launch(uid, boot)
    await said(tmp_path, uid, "test: up\n")
    assert await stopped(driver, uid) == "guest_shutdown"
    assert "test: button" in (tmp_path / "run" / uid / "console.log").read_text()


async def test_a_linux_that_hears_no_button_is_asked_through_its_guest_agent(
    driver: QemuHypervisor, tmp_path: Path
) -> None:
    """P7: from the second request on."""
    uid = random_uid()
    base = whole_disk(tmp_path, OBEYS_THE_GUEST_AGENT)
    files = await some_disks(tmp_path / "disks", uid, a_root(base))
    boot = msgspec.structs.replace(a_boot(uid, None, memory_mb=192), disks=files.disks)
    await driver.launch(uid, boot)
    await said(tmp_path, uid, "test: up\n")
    assert await stopped(driver, uid, asks=3) == "guest_shutdown"
    assert "test: agent" in (tmp_path / "run" / uid / "console.log").read_text()
