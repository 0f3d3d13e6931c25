"""What has to be known of an ELF file before it goes into an image.

Three questions are answered from the headers alone: which kernel modules must be loaded before this one (its
`.modinfo` section), whether a program runs without a dynamic loader, and which notes a kernel carries (one of them is
the entry QEMU uses). Only 64-bit little-endian files are read, because that is what the guests run; anything else is a
ValueError.

Deliberately absent: symbols, relocations, and trust. Offsets come from the file and are only used for slicing.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Final, NamedTuple

_PT_INTERP: Final = 3
_PT_NOTE: Final = 4
_FILE_HEADER: Final = struct.Struct("<16sHHIQQQIHHHHHH")
_PROGRAM_HEADER: Final = struct.Struct("<IIQQQQQQ")
_NOTE_HEADER: Final = struct.Struct("<III")
_SECTION_HEADER: Final = struct.Struct("<IIQQQQIIQQ")


class _Header(NamedTuple):
    program_offset: int
    section_offset: int
    program_count: int
    section_count: int
    name_section: int


def module_needs(module: bytes) -> list[str]:
    """The names of the modules that must be loaded before this one, as its builder wrote them into `.modinfo`."""
    for line in _section(module, b".modinfo").split(b"\0"):
        key, _, value = line.partition(b"=")
        if key == b"depends":
            return [name for name in value.decode().split(",") if name]
    return []


def is_static(program: bytes) -> bool:
    """Whether the program starts without an interpreter (ld.so), and so without any library in the image."""
    return all(kind != _PT_INTERP for kind, _, _ in _segments(program))


def notes(data: bytes) -> set[tuple[bytes, int]]:
    """Owner and type of every note in the file's note segments."""
    found: set[tuple[bytes, int]] = set()
    for kind, offset, size in _segments(data):
        at = offset
        while kind == _PT_NOTE and at < offset + size:
            name_size, value_size, note = _unpack(_NOTE_HEADER, data, at)
            at += _NOTE_HEADER.size
            found.add((data[at : at + name_size].rstrip(b"\0"), note))
            at += name_size + (-name_size % 4) + value_size + (-value_size % 4)
    return found


def _header(data: bytes) -> _Header:
    if data[:6] != b"\x7fELF\x02\x01":
        raise ValueError("not a 64-bit little-endian ELF file")
    fields = _unpack(_FILE_HEADER, data, 0)
    return _Header(fields[5], fields[6], fields[10], fields[12], fields[13])


def _segments(data: bytes) -> Iterator[tuple[int, int, int]]:
    """Type, offset and size in the file of each segment."""
    header = _header(data)
    for index in range(header.program_count):
        fields = _unpack(_PROGRAM_HEADER, data, header.program_offset + index * _PROGRAM_HEADER.size)
        yield fields[0], fields[2], fields[5]


def _section(data: bytes, wanted: bytes) -> bytes:
    header = _header(data)
    sections = list(_sections(data, header))
    if header.name_section >= len(sections):
        return b""
    _, names_at, names_size = sections[header.name_section]
    names = data[names_at : names_at + names_size]
    for name_at, offset, size in sections:
        if names[name_at:].partition(b"\0")[0] == wanted:
            return data[offset : offset + size]
    return b""


def _sections(data: bytes, header: _Header) -> Iterator[tuple[int, int, int]]:
    for index in range(header.section_count):
        fields = _unpack(_SECTION_HEADER, data, header.section_offset + index * _SECTION_HEADER.size)
        yield fields[0], fields[4], fields[5]


def _unpack(layout: struct.Struct, data: bytes, offset: int) -> tuple[int, ...]:
    try:
        return layout.unpack_from(data, offset)
    except (struct.error, OverflowError) as error:  # OverflowError: an offset beyond any file
        raise ValueError(f"a truncated ELF file: {error}") from error
