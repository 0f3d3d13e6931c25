"""Disks for tests: one that boots itself in a few bytes, and headers of qcow2 images, sound and not."""

from __future__ import annotations

import hashlib
import os
import struct
import subprocess
from pathlib import Path

from volant.clock import Uid
from volant.drivers import DiskSpec, VMFiles
from volant.drivers.disks import DiskStore
from volant.images.rootdisk import check_root_disk

MIB = 1 << 20

BOOT_SECTOR = bytes.fromhex(
    "fa 31c0 8ed8 8ed0 bc007c fc"  #  cli; ds = ss = 0; sp = 0x7c00; cld
    "be5c7c b442 cd13 7245"  #        read the second sector of the disk to 0x7e00, by the firmware
    "baf803 be6c7c"  #                to the serial port:
    "ac 84c0 7403 ee ebf8"  #           "booted "
    "a0007e ee b00a ee"  #              the first byte of that sector, and a new line
    "fe06007e"  #                     count it up
    "be5c7c b280 b80043 cd13 7220"  # write the sector back
    "ba0206 b80001 ef"  #             enable the power button's event
    "baf803 b077 ee b00a ee"  #       "w" and a new line
    "ba0006 ed a90001 74fa"  #        wait for it in the status register
    "ba0406 b80020 ef"  #             go to sleep state S5
    "f4 ebfd"  #                      halt
    "1000 0100 007e 0000 0100000000000000"  # the packet: one sector, to 0000:7e00, from sector 1
    "626f6f7465642000"
)
"""Run by the firmware from a disk: says `booted` and a letter, which is the next one at each start."""


def bootable(path: Path, size: int = MIB) -> Path:
    """A raw image whose first start says `booted a`."""
    path.write_bytes(BOOT_SECTOR.ljust(510, b"\0") + b"\x55\xaa" + b"a" + bytes(size - 513))
    path.chmod(0o644)
    return path


def digest_of(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def a_root(base: Path, size_mb: int | None = None, base_format: str = "raw") -> DiskSpec:
    """The root disk of a VM whose plugin's image is `base`."""
    assert base_format in ("raw", "qcow2")
    return DiskSpec(
        name="root",
        size_mb=size_mb,
        base=base,
        base_format="qcow2" if base_format == "qcow2" else "raw",
        base_digest=digest_of(base),
    )


def a_disk_store(root: Path, *, qemu_img: str = "qemu-img") -> DiskStore:
    return DiskStore(root, virtual_size=check_root_disk, qemu_img=qemu_img)


async def some_disks(root: Path, uid: Uid, *wanted: DiskSpec, seed: bytes | None = None) -> VMFiles:
    """The disks of one VM, from a store made a moment ago."""
    return await a_disk_store(root).ensure(uid, wanted, seed)


def qemu_io(path: Path, *commands: str, disk_format: str = "qcow2") -> str:
    """What qemu-io says to those commands on an image; a pattern that is not there has `failed`."""
    words = [word for command in commands for word in ("-c", command)]
    done = subprocess.run(
        ["qemu-io", "-f", disk_format, *words, str(path)], capture_output=True, text=True, timeout=60, check=False
    )
    return done.stdout


def qemu_img(*words: str | os.PathLike[str]) -> str:
    done = subprocess.run(["qemu-img", *words], capture_output=True, text=True, timeout=60, check=True)
    return done.stdout


_HEADER = ">4sIQIIQIIQQIIQQQQII"
_FIELDS = {
    "magic": b"QFI\xfb",
    "version": 3,
    "backing": 0,
    "backing_bytes": 0,
    "cluster_bits": 16,
    "size": 10 * MIB,
    "crypt": 0,
    "l1_count": 1,
    "l1_at": 3 << 16,
    "refcounts_at": 1 << 16,
    "refcount_clusters": 1,
    "snapshots": 0,
    "snapshots_at": 0,
    "incompatible": 0,
    "compatible": 0,
    "autoclear": 0,
    "refcount_order": 4,
    "header_bytes": 104,
}


def a_qcow2(extensions: bytes = b"", **fields: int | bytes) -> bytes:
    """The bytes of an image of 10 MiB with nothing in it, `fields` of its header replaced."""
    assert fields.keys() <= _FIELDS.keys()
    head = struct.pack(_HEADER, *{**_FIELDS, **fields}.values()) + extensions
    return head.ljust(4 << 16, b"\0")


def an_extension(kind: int, data: bytes) -> bytes:
    """One piece of what follows a header."""
    return struct.pack(">II", kind, len(data)) + data + bytes(-len(data) % 8)
