"""Tar archives, read strictly and within bounds.

    stream ──▶ entries(): header ▸ (pax, GNU long name) ▸ Entry ──read──▶ its content ──▶ next header

ustar, pax and GNU names and numbers are read; everything about an entry is bounded before it is kept in memory: an
extended header of a gigabyte is refused by its size, not met by its bytes. Sparse files are refused: what they say they
are and what they take are two things.

Deliberately absent: touching the file system, and writing archives.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from typing import BinaryIO, Final, Protocol

from volant.errors import ArtifactRefused

BLOCK: Final = 512
MAX_EXTRA_BYTES: Final = 1 << 20
"""Of one extended header or long name."""
MAX_NAME_BYTES: Final = 4095
_PIECE: Final = 1 << 20
_PREFIXES: Final = b"xgLKX"


class Kind(Enum):
    """What an entry makes."""

    FILE = "file"
    DIRECTORY = "directory"
    SYMLINK = "symlink"
    HARDLINK = "hardlink"
    DEVICE = "device"


_KINDS: Final = {
    b"0": Kind.FILE,
    b"\0": Kind.FILE,
    b"7": Kind.FILE,
    b"1": Kind.HARDLINK,
    b"2": Kind.SYMLINK,
    b"3": Kind.DEVICE,
    b"4": Kind.DEVICE,
    b"5": Kind.DIRECTORY,
    b"6": Kind.DEVICE,
}


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry: names as the archive has them. `size` is of the content; `mtime` in whole seconds."""

    name: str
    kind: Kind
    mode: int
    uid: int
    gid: int
    size: int
    mtime: int
    target: str
    has_xattrs: bool = False


class Readable(Protocol):
    """Where the bytes come from, in order."""

    def read(self, size: int, /) -> bytes:
        """At most `size` bytes; none at the end."""
        ...


class Archive:
    """An archive that is read once, from its beginning."""

    def __init__(self, stream: Readable | BinaryIO) -> None:
        self._stream = stream
        self.offset = 0
        self._left = 0
        self._padding = 0

    def entries(self) -> Iterator[Entry]:
        """Every entry in order. Content that was not read is passed over. Raises ArtifactRefused for what is no tar."""
        extra: dict[str, str] = {}
        while (header := self._header()) is not None:
            kind, size = header[156:157], _number(header[124:136], "size")
            if kind in _PREFIXES:
                self._extend(extra, kind, size)
                continue
            entry = _entry(header, extra)
            self._left, self._padding = entry.size, -entry.size % BLOCK
            extra = {}
            yield entry
            self._pass_over()

    def read(self) -> bytes:
        """The next piece of the current entry's content; none at its end."""
        wanted = min(self._left, _PIECE)
        piece = self._exactly(wanted)
        self._left -= wanted
        return piece

    def _pass_over(self) -> None:
        while self._left:
            self.read()
        self._exactly(self._padding)
        self._padding = 0

    def _header(self) -> bytes | None:
        block = self._read(BLOCK)
        if not block or block == bytes(BLOCK):
            return None
        if len(block) != BLOCK or not _is_whole(block):
            raise ArtifactRefused("cannot unpack an archive: it is not a tar, or damaged")
        return block

    def _extend(self, extra: dict[str, str], kind: bytes, size: int) -> None:
        if size > MAX_EXTRA_BYTES:
            raise ArtifactRefused(f"cannot unpack an archive: a header of it is larger than {MAX_EXTRA_BYTES} bytes")
        data = self._exactly(size)
        self._exactly(-size % BLOCK)
        if kind in b"LK":
            extra["path" if kind == b"L" else "linkpath"] = _text(data.partition(b"\0")[0])
        elif kind == b"x":
            extra.update(_records(data))

    def _exactly(self, size: int) -> bytes:
        data = self._read(size)
        if len(data) != size:
            raise ArtifactRefused("cannot unpack an archive: it ends in the middle of an entry")
        return data

    def _read(self, size: int) -> bytes:
        data = b""
        while len(data) < size and (piece := self._stream.read(size - len(data))):
            data += piece
        self.offset += len(data)
        return data


def _entry(header: bytes, extra: dict[str, str]) -> Entry:
    flag = header[156:157]
    if flag not in _KINDS or any(key.startswith("GNU.sparse.") for key in extra):
        raise ArtifactRefused(f"cannot unpack an archive: entries of the type {flag!r} and sparse files are not taken")
    name = extra.get("path") or _name(header)
    kind = _KINDS[flag]
    if kind is Kind.FILE and name.endswith("/") and flag in b"0\0":
        kind = Kind.DIRECTORY  # because archives older than POSIX say directories so
    size = _decimal(extra["size"]) if "size" in extra else _number(header[124:136], "size")
    return Entry(
        name=_clean(name),
        kind=kind,
        mode=_number(header[100:108], "mode") & 0o7777,
        uid=_decimal(extra["uid"]) if "uid" in extra else _number(header[108:116], "uid"),
        gid=_decimal(extra["gid"]) if "gid" in extra else _number(header[116:124], "gid"),
        size=size if kind is Kind.FILE else 0,
        mtime=_time(extra["mtime"]) if "mtime" in extra else _number(header[136:148], "time"),
        target=_clean(extra.get("linkpath") or _text(header[157:257].partition(b"\0")[0])),
        has_xattrs=any(key.startswith(("SCHILY.xattr.", "LIBARCHIVE.xattr.")) for key in extra),
    )


def _is_whole(block: bytes) -> bool:
    try:
        said = _number(block[148:156], "checksum")
    except ArtifactRefused:
        return False
    return said == sum(block[:148]) + sum(block[156:]) + 8 * 32


def _name(header: bytes) -> str:
    name = header[:100].partition(b"\0")[0]
    # GNU archives keep times where POSIX keeps the beginning of a long name.
    prefix = header[345:500].partition(b"\0")[0] if header[257:263] == b"ustar\0" else b""
    return _text(prefix + b"/" + name if prefix else name)


def _number(field: bytes, what: str) -> int:
    if field[0] & 0x80:
        value = int.from_bytes(bytes([field[0] & 0x7F]) + field[1:], "big")
        if field[0] == 0x80 and value < 1 << 63:
            return value
        raise ArtifactRefused(f"cannot unpack an archive: the {what} of an entry is no number that can be")
    digits = field.partition(b"\0")[0].strip()
    try:
        return int(digits or b"0", 8) if not digits.startswith((b"-", b"+")) and b"_" not in digits else _wrong(what)
    except ValueError:
        return _wrong(what)


def _wrong(what: str) -> int:
    raise ArtifactRefused(f"cannot unpack an archive: the {what} of an entry is no number")


def _decimal(text: str) -> int:
    if not text.isascii() or not text.isdecimal() or len(text) > 19:
        return _wrong("size or owner")
    return int(text)


def _time(text: str) -> int:
    whole = text.partition(".")[0]
    # A time before 1970 is nothing that a build depends on.
    return 0 if whole.startswith("-") else _decimal(whole or "0")


def _records(data: bytes) -> dict[str, str]:
    """The records of a pax header: `LENGTH KEY=VALUE\\n`, where LENGTH is of the whole record."""
    found: dict[str, str] = {}
    at = 0
    while at < len(data):
        length, space, _ = data[at : at + 24].partition(b" ")
        end = at + int(length) if length.isdigit() else at
        key, equals, value = data[at + len(length) + 1 : end - 1].partition(b"=")
        if not space or not equals or end <= at or data[end - 1 : end] != b"\n":
            raise ArtifactRefused("cannot unpack an archive: an extended header of it is damaged")
        found[_text(key)] = _text(value)
        at = end
    return found


def _text(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")


def _clean(name: str) -> str:
    # Control characters: a name with a line break becomes two lines of whatever list it is written to.
    is_long = len(name.encode("utf-8", "surrogateescape")) > MAX_NAME_BYTES
    if is_long or any(ord(char) < 32 or ord(char) == 127 for char in name):
        raise ArtifactRefused(f"cannot unpack an archive: the name {name[:90]!r} has control characters or is too long")
    return name
