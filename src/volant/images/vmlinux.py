"""The kernel proper, taken out of a compressed kernel image.

    vmlinuz = loader + compressed vmlinux ──uncompressed()──▶ vmlinux, which QEMU enters directly (PVH)

A guest that is emulated unpacks its kernel at emulated speed, on every boot; unpacking it once when the image is built
takes that out of every start. Where that cannot be done (a compression that Python cannot read, a kernel without a PVH
entry) the answer is None and the compressed image is as good, only slower.

Offsets follow the kernel's Documentation/arch/x86/boot.rst.
"""

from __future__ import annotations

import bz2
import lzma
import struct
import zlib
from collections.abc import Callable
from typing import Final

from volant.images.elf import notes

_SETUP_SECTORS_AT: Final = 0x1F1
_MAGIC_AT: Final = 0x202
_PAYLOAD_AT: Final = 0x248
_SECTOR_BYTES: Final = 512
_LENGTH: Final = struct.Struct("<I")
_PVH_NOTE: Final = (b"Xen", 18)


def uncompressed(image: bytes) -> bytes | None:
    """The ELF kernel inside a bzImage, if it can be read and has an entry for QEMU; else None."""
    if image[_MAGIC_AT : _MAGIC_AT + 4] != b"HdrS" or len(image) < _PAYLOAD_AT + 8:
        return None
    offset, length = struct.unpack_from("<II", image, _PAYLOAD_AT)
    start = ((image[_SETUP_SECTORS_AT] or 4) + 1) * _SECTOR_BYTES + offset
    payload = image[start : start + length]
    unpack = next((unpack for magic, unpack in _UNPACKERS.items() if payload.startswith(magic)), None)
    if unpack is None or len(payload) != length:
        return None
    try:
        kernel = unpack(payload)
        # The build appends the size that must come out.
        whole = len(kernel) == _LENGTH.unpack(payload[-4:])[0]
        return kernel if whole and _PVH_NOTE in notes(kernel) else None
    except (ValueError, IndexError, EOFError, OSError, zlib.error, lzma.LZMAError):
        return None


def unpack_lz4(data: bytes) -> bytes:
    """The content of an LZ4 "legacy frame": a magic number, then blocks with their compressed lengths before them."""
    out = bytearray()
    at = 4
    while at + 4 < len(data):
        (length,) = _LENGTH.unpack_from(data, at)
        block = data[at + 4 : at + 4 + length]
        if len(block) < length:
            break
        out += _lz4_block(block)
        at += 4 + length
    return bytes(out)


def _lz4_block(block: bytes) -> bytearray:
    """Sequences of literals and matches. A match may reach into bytes that it is only now writing."""
    out = bytearray()
    at, end = 0, len(block)
    while at < end:
        token = block[at]
        literals, at = _lz4_count(block, at + 1, token >> 4)
        out += block[at : at + literals]
        at += literals
        if at >= end:
            break
        distance = block[at] | block[at + 1] << 8
        length, at = _lz4_count(block, at + 2, token & 15)
        length += 4
        if not 0 < distance <= len(out):
            raise ValueError("an LZ4 match outside the block")
        start = len(out) - distance
        if distance >= length:
            out += out[start : start + length]
        else:
            out += (bytes(out[start:]) * (length // distance + 1))[:length]
    return out


def _lz4_count(block: bytes, at: int, count: int) -> tuple[int, int]:
    """A four-bit count that 15 extends by bytes until one is not 255; with the position after it."""
    if count == 15:
        while True:
            more = block[at]
            at += 1
            count += more
            if more != 255:
                break
    return count, at


def _unpack_gzip(data: bytes) -> bytes:
    return zlib.decompressobj(wbits=31).decompress(data)


def _unpack_xz(data: bytes) -> bytes:
    return lzma.LZMADecompressor(format=lzma.FORMAT_XZ).decompress(data)


def _unpack_lzma(data: bytes) -> bytes:
    return lzma.LZMADecompressor(format=lzma.FORMAT_ALONE).decompress(data)


def _unpack_bzip2(data: bytes) -> bytes:
    return bz2.BZ2Decompressor().decompress(data)


_UNPACKERS: Final[dict[bytes, Callable[[bytes], bytes]]] = {
    b"\x02\x21\x4c\x18": unpack_lz4,
    b"\x1f\x8b\x08": _unpack_gzip,
    b"\xfd7zXZ\x00": _unpack_xz,
    b"\x5d\x00\x00": _unpack_lzma,
    b"BZh": _unpack_bzip2,
}
