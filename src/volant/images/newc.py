"""An initramfs as bytes: cpio "newc" archives, written without being root.

    entries ──newc()──▶ archive ──gzip_bytes()──▶ initramfs.gz ──▶ the kernel unpacks it into its first root

The same entries give the same bytes on every machine: times are 0, everything belongs to root unless its entry says
otherwise, inode numbers count up, and entries stand in the order they were given. That is what lets a checksum of an
image mean something.

Deliberately absent: reading archives, hard links, extended attributes (the kernel's unpacker knows none of them).
"""

from __future__ import annotations

import io
import stat
import struct
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

TRAILER: Final = "TRAILER!!!"
_MAGIC: Final = b"070701"
_HEADER_BYTES: Final = 110
_FIELD_MAX: Final = 0xFFFF_FFFF
_GZIP_HEADER: Final = b"\x1f\x8b\x08" + bytes(6) + b"\xff"


@dataclass(frozen=True, slots=True)
class Entry:
    """One file of the archive. `name` is relative to the root; `device` is (major, minor) of a device node.

    `owner` is its user and its group, as numbers.
    """

    name: str
    mode: int
    data: bytes = b""
    device: tuple[int, int] = (0, 0)
    owner: tuple[int, int] = (0, 0)


def directory(name: str, mode: int = 0o755) -> Entry:
    """A directory. The kernel creates no parents, so a parent stands before its children."""
    return Entry(name, stat.S_IFDIR | mode)


def regular(name: str, data: bytes, mode: int = 0o644) -> Entry:
    """A file with these bytes."""
    return Entry(name, stat.S_IFREG | mode, data)


def symlink(name: str, target: str) -> Entry:
    """A symbolic link; `target` is kept as it is."""
    return Entry(name, stat.S_IFLNK | 0o777, target.encode())


def character_device(name: str, major: int, minor: int, mode: int = 0o600) -> Entry:
    """A character device node: a header in the archive, so nobody needs to be root to make one."""
    return Entry(name, stat.S_IFCHR | mode, b"", (major, minor))


def newc(entries: Iterable[Entry]) -> bytes:
    """The archive of `entries` in their order, with its trailer.

    Raises ValueError for a name the format or the kernel cannot carry (empty, absolute, with a NUL, a `..` or the
    trailer's own name, or given twice) and for a field wider than 32 bits.
    """
    out = io.BytesIO()
    seen: set[str] = set()
    for inode, entry in enumerate(entries, start=1):
        _check_name(entry.name, seen)
        _write(out, inode, entry)
    _write(out, 0, Entry(TRAILER, 0))
    return out.getvalue()


def gzip_bytes(data: bytes, level: int = 6) -> bytes:
    """`data` as one gzip member without name, time or system: equal input gives equal output of one version of zlib."""
    deflate = zlib.compressobj(level, zlib.DEFLATED, -zlib.MAX_WBITS)
    body = deflate.compress(data) + deflate.flush()
    return _GZIP_HEADER + body + struct.pack("<II", zlib.crc32(data), len(data) & _FIELD_MAX)


def _check_name(name: str, seen: set[str]) -> None:
    if not name or "\0" in name or name == TRAILER or name.startswith("/") or ".." in name.split("/"):
        raise ValueError(f"cannot archive a file named {name!r}")
    if name in seen:
        raise ValueError(f"cannot archive {name!r} twice")
    seen.add(name)


def _write(out: io.BytesIO, inode: int, entry: Entry) -> None:
    name = entry.name.encode() + b"\0"
    links = 2 if stat.S_ISDIR(entry.mode) else 1
    # inode, mode, uid, gid, nlink, mtime, filesize, devmajor, devminor, rdevmajor, rdevminor, namesize, check
    fields = (inode, entry.mode, *entry.owner, links, 0, len(entry.data), 0, 0, *entry.device, len(name), 0)
    if not all(0 <= field <= _FIELD_MAX for field in fields):
        raise ValueError(f"cannot archive {entry.name!r}: a field of its header is wider than 32 bits")
    out.write(_MAGIC + b"".join(b"%08X" % field for field in fields))
    out.write(name + b"\0" * (-(_HEADER_BYTES + len(name)) % 4))
    out.write(entry.data + b"\0" * (-len(entry.data) % 4))
