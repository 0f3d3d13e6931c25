"""The Disks port to a simulated host: what would be made is written down there, and no file is."""

from __future__ import annotations

from pathlib import Path

from volant.clock import Uid
from volant.drivers import DiskFile, DiskSpec, VMFiles
from volant.drivers.simulated.host import SimulatedHost
from volant.errors import DriverRefused, DriverUnavailable

ROOT = Path("/simulated/disks")


class SimulatedDisks:
    """Keeps the rules of the real one: a disk never shrinks, and keeps the base that it was made of."""

    def __init__(self, host: SimulatedHost) -> None:
        self._host = host

    async def ensure(self, uid: Uid, wanted: tuple[DiskSpec, ...], seed: bytes | None) -> VMFiles:
        """Written down. Raises DriverUnavailable while the host has a disk fault."""
        self._host.note("disks.ensure", uid)
        self._check()
        kept = self._host.disks.setdefault(uid, {})
        for disk in wanted:
            before = kept.get(disk.name, disk)
            if before.base_digest != disk.base_digest:
                raise DriverRefused(f"cannot use the disk {disk.name}: it was made of another image")
            if (disk.size_mb or 0) < (before.size_mb or 0):
                raise DriverRefused(f"cannot make the disk {disk.name} smaller")
            kept[disk.name] = disk
        files = tuple(_file(uid, disk) for disk in wanted)
        return VMFiles(disks=files, seed=None if seed is None else ROOT / uid / "seed.iso")

    async def has(self, uid: Uid) -> bool:
        """Whether any is written down."""
        return uid in self._host.disks

    async def ensure_absent(self, uid: Uid) -> None:
        """Crossed out. Raises DriverUnavailable while the host has a disk fault."""
        self._host.note("disks.ensure_absent", uid)
        self._check()
        self._host.disks.pop(uid, None)

    async def observe(self) -> list[Uid]:
        """Those written down."""
        return list(self._host.disks)

    def _check(self) -> None:
        if self._host.disk_fault is not None:
            raise DriverUnavailable(f"cannot keep the disks: {self._host.disk_fault}")


def _file(uid: Uid, disk: DiskSpec) -> DiskFile:
    path = ROOT / uid / f"{disk.name}.qcow2"
    return DiskFile(name=disk.name, path=path, base=disk.base, base_format=disk.base_format)
