"""Whether a file may be a root disk, read from its first bytes and nothing else.

    fetched file ──check_root_disk──▶ its virtual size, or ArtifactRefused with the reason

A disk image is a stranger's text that hypervisors act upon: one of the format qcow2 can name other files of the host to
be shown to the guest, and one that is taken for another format than it has can do the same from inside. So the format
is what the manifest says; a qcow2 image stands for itself alone, with no feature that is not understood here; and a
raw one must not look like any other format.

Follows docs/interop/qcow2.rst of QEMU. Total: whatever the bytes, there is an answer, and no more than the first
cluster of them is looked at. Deliberately absent: reading the tables. A damaged one harms the guest that has it.
"""

from __future__ import annotations

import os
import struct
from pathlib import Path
from typing import BinaryIO, Final, NoReturn

from volant.errors import ArtifactRefused, ArtifactUnavailable

MAX_VIRTUAL_BYTES: Final = 1 << 44
SECTOR: Final = 512

_QCOW2: Final = b"QFI\xfb"
_HEADER: Final = struct.Struct(">4sIQIIQIIQQIIQ")
_V3: Final = struct.Struct(">QQQII")
_MAX_CLUSTER_BITS: Final = 21
_MIN_CLUSTER_BITS: Final = 9
_MAX_L1_BYTES: Final = 32 << 20
_MAX_REFCOUNT_BYTES: Final = 8 << 20
_MAX_SNAPSHOTS: Final = 65536
_MAX_REFCOUNT_ORDER: Final = 6
_SNAPSHOT_BYTES: Final = 40

_DIRTY, _CORRUPT, _DATA_FILE, _COMPRESSION, _EXTENDED_L2 = (1 << bit for bit in range(5))
_UNDERSTOOD: Final = _COMPRESSION | _EXTENDED_L2
_END, _EXT_DATA_FILE, _EXT_CRYPTO = 0, 0x44415441, 0x0537BE77

_STARTS: Final = (
    (0, _QCOW2, "a qcow2 image"),
    (0, b"QED\0", "a QED image"),
    (0, b"KDMV", "a VMDK image"),
    (0, b"COWD", "a VMDK image"),
    (0, b"# Disk DescriptorFile", "a VMDK descriptor"),
    (0, b"conectix", "a VHD image"),
    (0, b"vhdxfile", "a VHDX image"),
    (64, b"\x7f\x10\xda\xbe", "a VDI image"),
    (0, b"WithoutFreeSpace", "a Parallels image"),
    (0, b"WithouFreSpacExt", "a Parallels image"),
    (0, b"Bochs Virtual HD Image", "a Bochs image"),
    (0, b"#!/bin/sh\n#V2.0 Format", "a cloop image"),
    (0, b"LUKS\xba\xbe", "encrypted by LUKS"),
    (0, b"\x1f\x8b", "compressed by gzip"),
    (0, b"\xfd7zXZ\0", "compressed by xz"),
    (0, b"\x28\xb5\x2f\xfd", "compressed by zstd"),
    (0, b"BZh", "compressed by bzip2"),
    (0, b"\x04\x22\x4d\x18", "compressed by lz4"),
    (0, b"PK\x03\x04", "a zip archive"),
    (0, b"7z\xbc\xaf\x27\x1c", "a 7z archive"),
    (257, b"ustar", "a tar archive"),
)
_TRAILERS: Final = ((b"conectix", "a VHD image"), (b"koly", "a DMG image"))


def check_root_disk(path: Path, disk_format: str) -> int:
    """How large a disk the image stands for, in bytes. Blocks for a moment.

    Raises ArtifactRefused for one that no guest is given, ArtifactUnavailable when the file cannot be read.
    """
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            return _raw(file, size) if disk_format == "raw" else _qcow2(file, size, disk_format)
    except OSError as error:
        raise ArtifactUnavailable(f"cannot read the root disk: {error.strerror}") from error


def _raw(file: BinaryIO, size: int) -> int:
    head = file.read(SECTOR)
    for at, magic, what in _STARTS:
        if head.startswith(magic, at):
            _no_raw(what)
    if size >= SECTOR:
        file.seek(size - SECTOR)
        tail = file.read(SECTOR)
        for magic, what in _TRAILERS:
            if tail.startswith(magic):
                _no_raw(what)
    return _checked_size(size)


def _qcow2(file: BinaryIO, file_size: int, disk_format: str) -> int:
    if disk_format != "qcow2":
        _refuse("its format is neither raw nor qcow2")
    head = file.read(1 << _MAX_CLUSTER_BITS if file_size else 0)
    if len(head) < _HEADER.size or not head.startswith(_QCOW2):
        _refuse("it is no qcow2 image, though the manifest says so")
    (_, version, backing, backing_bytes, cluster_bits, size, crypt, l1_count, l1_at, refcounts_at, refcount_clusters,
     snapshots, snapshots_at) = _HEADER.unpack_from(head)  # fmt: skip
    if version not in (2, 3):
        _refuse(f"it is of version {version} of qcow2; 2 and 3 are read")
    if backing or backing_bytes:
        _refuse("it has a backing file. Convert it into an image that stands for itself")
    if crypt:
        _refuse("it is encrypted")
    if not _MIN_CLUSTER_BITS <= cluster_bits <= _MAX_CLUSTER_BITS:
        _corrupt("its cluster size is none")
    cluster = 1 << cluster_bits
    entry_bytes = 8
    header_bytes = _HEADER.size
    if version == 3:
        header_bytes, entry_bytes = _features(head, cluster)
    _extensions(head[:cluster], header_bytes)
    _checked_size(size)
    clusters = -(-size // cluster)
    _table("L1", l1_at, l1_count * 8, cluster, file_size, _MAX_L1_BYTES)
    if l1_count * (cluster // entry_bytes) < clusters:
        _corrupt("its L1 table is too small for its size")
    _table("refcount", refcounts_at, refcount_clusters * cluster, cluster, file_size, _MAX_REFCOUNT_BYTES)
    if snapshots > _MAX_SNAPSHOTS:
        _corrupt("it has too many snapshots")
    if snapshots:
        _table("snapshot", snapshots_at, snapshots * _SNAPSHOT_BYTES, cluster, file_size, _MAX_L1_BYTES)
    return int(size)


def _features(head: bytes, cluster: int) -> tuple[int, int]:
    """Of a header of version 3: how long it is, and how long an entry of its L2 tables."""
    if len(head) < _HEADER.size + _V3.size:
        _corrupt("it is cut short")
    incompatible, _, _, refcount_order, header_bytes = _V3.unpack_from(head, _HEADER.size)
    if incompatible & _DATA_FILE:
        _refuse("its data is in another file. Convert it into an image that stands for itself")
    if incompatible & (_DIRTY | _CORRUPT):
        _refuse("it was not closed properly or is marked as corrupt. Repair it: qemu-img check -r all")
    if incompatible & ~_UNDERSTOOD:
        _refuse(f"it has features that are not understood (0x{incompatible & ~_UNDERSTOOD:x})")
    if refcount_order > _MAX_REFCOUNT_ORDER:
        _corrupt("the width of its refcounts is none")
    if header_bytes < _HEADER.size + _V3.size or header_bytes % 8 or header_bytes > min(cluster, len(head)):
        _corrupt("the length of its header is none")
    return header_bytes, 16 if incompatible & _EXTENDED_L2 else 8


def _extensions(first: bytes, at: int) -> None:
    """What follows the header: pieces of (type, length, data), to the one of type 0 or to the end of the cluster."""
    while at + 8 <= len(first):
        kind, length = struct.unpack_from(">II", first, at)
        if kind == _END:
            return
        if kind == _EXT_DATA_FILE:
            _refuse("it names a file for its data. Convert it into an image that stands for itself")
        if kind == _EXT_CRYPTO:
            _refuse("it is encrypted")
        at += 8 + length + -length % 8
        if at > len(first):
            _corrupt("an extension of its header is longer than the header")


def _table(what: str, at: int, size: int, cluster: int, file_size: int, most: int) -> None:
    if at % cluster or at < cluster or not 0 < size <= most or at + size > file_size:
        _corrupt(f"its {what} table is not where it can be")


def _checked_size(size: int) -> int:
    if size == 0 or size % SECTOR:
        _refuse(f"its size of {size} bytes is no multiple of {SECTOR}")
    if size > MAX_VIRTUAL_BYTES:
        _refuse(f"its size of {size} bytes is over the limit of {MAX_VIRTUAL_BYTES}")
    return size


def _no_raw(what: str) -> NoReturn:
    _refuse(f"the manifest says that its format is raw, but it is {what}")


def _corrupt(why: str) -> NoReturn:
    _refuse(f"its header is damaged: {why}")


def _refuse(why: str) -> NoReturn:
    raise ArtifactRefused(f"cannot use the root disk: {why}")
