"""One file out of an initramfs, as the kernel would find it in its first root: read, never unpacked.

    archive ──segments──▶ plain or gzip ──entries──▶ the last one of that name ──▶ its bytes

Follows the kernel's reader (Documentation/driver-api/early-userspace/buffer-format.rst): an initramfs is any number of
cpio "newc" archives in a row, each plain or compressed, with zeros between them; of two entries with one name the later
one counts; what follows after damage is not read. Compressions other than gzip are named and refused.

Archives are not trusted. Nothing is written; names are compared, never opened; links lead nowhere, so a file behind one
is told from its target. The bytes looked at, unpacked ones included, and the number of entries are bounded, and
no more of the archive is held than the one file.
"""

from __future__ import annotations

import re
import stat
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final, NoReturn

from volant.errors import ArtifactRefused, ArtifactUnavailable
from volant.images.newc import TRAILER

MAX_BYTES: Final = 512 << 20
"""Of the archive, unpacked, that are looked at: a second or two of one processor."""
MAX_ENTRIES: Final = 200_000

_PIECE: Final = 1 << 16
_MAX_NAME: Final = 4096
_HEADER: Final = re.compile(rb"07070[12]([0-9A-Fa-f]{104})")
_HEADER_BYTES: Final = 110
_MAGIC_BYTES: Final = 6
_NEWC: Final = b"07070"
_NO_ARCHIVE: Final = "it is no cpio archive of the newc format"
_NOT_ZERO: Final = re.compile(rb"[^\0]")
_GZIP: Final = b"\x1f\x8b"
_OTHERS: Final = {
    b"\x28\xb5\x2f\xfd": "zstd",
    b"\xfd7zXZ": "xz",
    b"\x02\x21\x4c\x18": "lz4",
    b"\x04\x22\x4d\x18": "lz4",
    b"\x89LZO": "lzo",
    b"BZh": "bzip2",
    b"\x5d\x00\x00": "lzma",
}


class Damaged(Exception):
    """What follows is no archive; the message is the end of a sentence."""


def read_file(archive: Path, name: str, *, max_file: int, max_bytes: int = MAX_BYTES) -> bytes:
    """The content of the regular file `name` (an absolute path), of at most `max_file` bytes. Blocks.

    Raises ArtifactRefused when the archive has no such file or cannot be read so far, ArtifactUnavailable when the
    archive is not there.
    """
    try:
        with archive.open("rb") as stream:
            return _find(stream, name, max_file, max_bytes)
    except OSError as error:
        raise ArtifactUnavailable(f"cannot read the initramfs: {error.strerror}") from error


def _find(stream: BinaryIO, name: str, max_file: int, max_bytes: int) -> bytes:
    search = _Search(_parts(name), max_file)
    damage: str | None = None
    try:
        _read_segments(_Plain(stream, _Budget(max_bytes)), search)
    except Damaged as error:
        damage = str(error)
    if search.problem is not None:
        raise ArtifactRefused(f"cannot read {name} in the initramfs: {search.problem}")
    if search.data is None:
        _missing(name, damage)
    return search.data


def _missing(name: str, damage: str | None) -> NoReturn:
    if damage is not None:
        raise ArtifactRefused(f"cannot look for {name} in the initramfs: {damage}")
    raise ArtifactRefused(f"cannot find {name} in the initramfs")


class _Budget:
    """How much may still be looked at."""

    def __init__(self, left: int) -> None:
        self._left = left
        self._entries = MAX_ENTRIES

    def spend(self, size: int) -> None:
        self._left -= size
        if self._left < 0:
            raise Damaged("it is larger than what is looked at")

    def spend_entry(self) -> None:
        self._entries -= 1
        if self._entries < 0:
            raise Damaged("it has more entries than are looked at")


class _Source:
    """Bytes in a row, a piece of them in memory. How they come is said by `_piece`."""

    def __init__(self, budget: _Budget) -> None:
        self.budget = budget
        self._held = b""
        self._at = 0

    def some(self, most: int) -> bytes:
        """At least one byte and at most so many; none at the end."""
        if self._at == len(self._held):
            self._refill(b"")
        data = self._held[self._at : self._at + most]
        self._at += len(data)
        return data

    def start(self) -> bytes:
        """The first bytes that are not zero, six where there are so many; they stay unread. None at the end."""
        while (found := _NOT_ZERO.search(self._held, self._at)) is None:
            self._refill(b"")
            if not self._held:
                return b""
        self._at = found.start()
        while len(self._held) - self._at < _MAGIC_BYTES:
            left = self._held[self._at :]
            self._refill(left)
            if len(self._held) == len(left):
                break
        return self._held[self._at : self._at + _MAGIC_BYTES]

    def back(self, data: bytes) -> None:
        """Give back what was read too far."""
        self._held, self._at = data + self._held[self._at :], 0

    def _refill(self, left: bytes) -> None:
        piece = self._piece()
        self.budget.spend(len(piece))
        self._held, self._at = left + piece, 0

    def _piece(self) -> bytes:
        raise NotImplementedError


class _Plain(_Source):
    """The file itself."""

    def __init__(self, stream: BinaryIO, budget: _Budget) -> None:
        super().__init__(budget)
        self._stream = stream

    def _piece(self) -> bytes:
        return self._stream.read(_PIECE)


class _Unpacked(_Source):
    """What one gzip member holds; what follows the member goes back to where it came from."""

    def __init__(self, packed: _Source) -> None:
        super().__init__(packed.budget)
        self._packed = packed
        self._inflate = zlib.decompressobj(wbits=31)

    def _piece(self) -> bytes:
        while not self._inflate.eof:
            given = self._inflate.unconsumed_tail or self._packed.some(_PIECE)
            if not given:
                raise Damaged("it ends in the middle")
            try:
                data = self._inflate.decompress(given, _PIECE)
            except zlib.error:
                raise Damaged("its gzip data is damaged") from None
            if self._inflate.eof:
                self._packed.back(self._inflate.unused_data)
            if data:
                return data
        return b""


@dataclass(slots=True)
class _Entry:
    """What a header says. `link` tells names of one file from each other's."""

    parts: tuple[str, ...]
    mode: int
    size: int
    link: tuple[int, int, int] | None


class _Search:
    """What is known of the one file so far: its data, or why it cannot be had."""

    def __init__(self, wanted: tuple[str, ...], max_file: int) -> None:
        self._wanted = wanted
        self._max_file = max_file
        self._link: tuple[int, int, int] | None = None
        self.data: bytes | None = None
        self.problem: str | None = None

    def wants(self, entry: _Entry) -> bool:
        """Whether the data of this entry is that of the file, as far as can be told."""
        if entry.parts == self._wanted:
            # Names of one file share its data, which archivers write with the last name.
            self._link = entry.link if entry.size == 0 else None
            return self._is_taken(entry)
        if self._link is not None and entry.link == self._link and entry.size > 0:
            return self._is_taken(entry)
        return False

    def forget_links(self) -> None:
        """At the end of an archive, because the next one counts its inodes anew."""
        self._link = None

    def _is_taken(self, entry: _Entry) -> bool:
        # No data until it has been read to its end: what was there before is gone, and half a file is none.
        self.data, self.problem = None, self._judged(entry)
        return self.problem is None

    def _judged(self, entry: _Entry) -> str | None:
        if stat.S_ISLNK(entry.mode):
            return "it is a symbolic link. Name the file that it leads to"
        if not stat.S_ISREG(entry.mode):
            return "it is not a regular file"
        return f"it is larger than {self._max_file} bytes" if entry.size > self._max_file else None


def _read_segments(plain: _Source, search: _Search) -> None:
    while start := plain.start():
        plain.budget.spend_entry()  # because an empty segment costs time as well
        if start.startswith(_NEWC):
            _read_archive(plain, search)
        elif start.startswith(_GZIP):
            _read_packed(_Unpacked(plain), search)
        else:
            other = next((name for magic, name in _OTHERS.items() if start.startswith(magic)), None)
            raise Damaged(f"it is compressed by {other}; only gzip is read" if other else _NO_ARCHIVE)


def _read_packed(unpacked: _Source, search: _Search) -> None:
    while start := unpacked.start():
        if not start.startswith(_NEWC):
            raise Damaged(_NO_ARCHIVE)
        _read_archive(unpacked, search)


def _read_archive(source: _Source, search: _Search) -> None:
    while True:
        source.budget.spend_entry()
        entry = _entry(source)
        if entry.parts == (TRAILER,):
            _skip(source, _padded(entry.size))
            search.forget_links()
            return
        if search.wants(entry):
            search.data = _exactly(source, entry.size)
            _skip(source, _padded(entry.size) - entry.size)
        else:
            _skip(source, _padded(entry.size))


def _entry(source: _Source) -> _Entry:
    found = _HEADER.fullmatch(_exactly(source, _HEADER_BYTES))
    if found is None:
        raise Damaged(_NO_ARCHIVE)
    # inode, mode, uid, gid, nlink, mtime, filesize, devmajor, devminor, rdevmajor, rdevminor, namesize, check
    number = [int(found[1][at : at + 8], 16) for at in range(0, 104, 8)]
    inode, mode, nlink, size, major, minor, name_bytes = (number[i] for i in (0, 1, 4, 6, 7, 8, 11))
    rest = _padded(_HEADER_BYTES + name_bytes) - _HEADER_BYTES
    link = (inode, major, minor) if nlink > 1 and stat.S_ISREG(mode) else None
    if not 0 < name_bytes <= _MAX_NAME:
        _skip(source, rest)
        return _Entry((), mode, size, None)  # because the kernel passes it over as well
    name = _exactly(source, rest)[:name_bytes].partition(b"\0")[0]
    return _Entry(_parts(name.decode("utf-8", "surrogateescape")), mode, size, link)


def _parts(name: str) -> tuple[str, ...]:
    """`./etc//x` and `/etc/x` are one file. `..` stays as it is: no name that is asked for has one."""
    return tuple(part for part in name.split("/") if part not in ("", "."))


def _padded(size: int) -> int:
    return size + -size % 4


def _exactly(source: _Source, size: int) -> bytes:
    data = bytearray()
    while len(data) < size:
        piece = source.some(size - len(data))
        if not piece:
            raise Damaged("it ends in the middle")
        data += piece
    return bytes(data)


def _skip(source: _Source, size: int) -> None:
    while size > 0:
        piece = source.some(min(size, _PIECE))
        if not piece:
            raise Damaged("it ends in the middle")
        size -= len(piece)
