"""The kernel inside the kernel image."""

from __future__ import annotations

import bz2
import lzma
import struct
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.builders.elves import a_bzimage, a_vmlinux, gzipped

from volant.images.vmlinux import uncompressed, unpack_lz4

MAGIC = b"\x02\x21\x4c\x18"
Sequence = tuple[bytes, int, int]
"""Literals, then a match: how far back, how long (at least 4)."""


def _count(number: int) -> tuple[int, bytes]:
    if number < 15:
        return number, b""
    rest = number - 15
    return 15, b"\xff" * (rest // 255) + bytes([rest % 255])


def lz4_block(sequences: list[Sequence], tail: bytes) -> bytes:
    """The block that says so, after the format's description."""
    out = b""
    for literals, distance, length in sequences:
        high, more = _count(len(literals))
        low, still_more = _count(length - 4)
        out += bytes([high << 4 | low]) + more + literals + struct.pack("<H", distance) + still_more
    high, more = _count(len(tail))
    return out + bytes([high << 4]) + more + tail


def lz4_frame(*blocks: bytes) -> bytes:
    """A legacy frame."""
    return MAGIC + b"".join(struct.pack("<I", len(block)) + block for block in blocks)


def plainly(sequences: list[Sequence], tail: bytes) -> bytes:
    """What it means, one byte at a time."""
    out = bytearray()
    for literals, distance, length in sequences:
        out += literals
        for _ in range(length):
            out.append(out[-distance])
    return bytes(out + tail)


@st.composite
def blocks(draw: st.DrawFn) -> tuple[list[Sequence], bytes]:
    """Sequences whose matches lie within what was written before them."""
    sequences: list[Sequence] = []
    size = 0
    for _ in range(draw(st.integers(0, 6))):
        literals = draw(st.binary(min_size=0 if size else 1, max_size=draw(st.sampled_from([3, 14, 15, 16, 300]))))
        size += len(literals)
        distance = draw(st.integers(1, size))
        length = draw(st.one_of(st.integers(4, 20), st.integers(270, 600)))
        sequences.append((literals, distance, length))
        size += length
    return sequences, draw(st.binary(min_size=1, max_size=20))


@given(st.lists(blocks(), max_size=3))
def test_lz4_is_unpacked_as_its_description_says(parts: list[tuple[list[Sequence], bytes]]) -> None:
    frame = lz4_frame(*(lz4_block(*part) for part in parts))
    assert unpack_lz4(frame) == b"".join(plainly(*part) for part in parts)


def test_an_lz4_match_outside_of_what_was_written_is_a_value_error() -> None:
    with pytest.raises(ValueError, match="outside"):
        unpack_lz4(lz4_frame(lz4_block([(b"ab", 3, 4)], b"c")))


@pytest.mark.parametrize(
    "pack",
    [
        gzipped,
        lambda data: lzma.compress(data, format=lzma.FORMAT_XZ, check=lzma.CHECK_CRC32),
        lambda data: lzma.compress(data, format=lzma.FORMAT_ALONE),
        bz2.compress,
        lambda data: lz4_frame(lz4_block([], data)),
    ],
    ids=["gzip", "xz", "lzma", "bzip2", "lz4"],
)
def test_the_kernel_comes_out_whatever_it_was_packed_with(pack: Callable[[bytes], bytes]) -> None:
    kernel = a_vmlinux()
    assert uncompressed(a_bzimage(pack(kernel), size=len(kernel))) == kernel


def test_a_kernel_without_an_entry_for_qemu_stays_compressed() -> None:
    kernel = a_vmlinux(has_pvh=False)
    assert uncompressed(a_bzimage(gzipped(kernel), size=len(kernel))) is None


@pytest.mark.parametrize(
    "image",
    [
        b"",
        b"short",
        bytes(4096),
        a_bzimage(b"\x28\xb5\x2f\xfd" + bytes(100), size=1),  # zstd, which not every Python reads
        a_bzimage(gzipped(a_vmlinux())[:60], size=len(a_vmlinux())),
        a_bzimage(gzipped(a_vmlinux()), size=7),
        a_bzimage(gzipped(b"not a kernel"), size=12),
        a_bzimage(gzipped(a_vmlinux()), size=len(a_vmlinux()))[:1700],
        a_bzimage(b"", size=0)[:0x210],
    ],
    ids=["empty", "short", "zeros", "zstd", "truncated", "wrong size", "no elf", "cut", "cut in its header"],
)
def test_what_cannot_be_unpacked_stays_as_it_is(image: bytes) -> None:
    assert uncompressed(image) is None
