"""Small ELF files, kernels and the trees they are found in, made to order."""

from __future__ import annotations

import lzma
import struct
import zlib
from pathlib import Path

FILE_HEADER = 64
PROGRAM_HEADER = 56
SECTION_HEADER = 64
PT_LOAD, PT_INTERP, PT_NOTE = 1, 3, 4
PVH_NOTE = (b"Xen", 18)


def an_elf(
    *,
    segments: list[tuple[int, bytes]] | None = None,
    sections: dict[str, bytes] | None = None,
    padding: int = 0,
) -> bytes:
    """A 64-bit little-endian file: program headers, the contents, section headers with their names."""
    segments = segments or []
    named = {"": b"", **(sections or {})}
    names = b"".join(name.encode() + b"\0" for name in [*named, ".shstrtab"])
    named[".shstrtab"] = names
    body = bytearray(padding)
    start = FILE_HEADER + PROGRAM_HEADER * len(segments)
    programs = b""
    for kind, content in segments:
        programs += struct.pack("<IIQQQQQQ", kind, 4, start + len(body), 0, 0, len(content), len(content), 4)
        body += content
    headers = b""
    for name, content in named.items():
        at = names.index(name.encode() + b"\0")
        headers += struct.pack("<IIQQQQIIQQ", at, 1, 0, 0, start + len(body), len(content), 0, 0, 1, 0)
        body += content
    table = start + len(body)
    head = struct.pack(
        "<16sHHIQQQIHHHHHH",
        b"\x7fELF\x02\x01\x01",
        *(2, 62, 1, 0, FILE_HEADER, table, 0),
        *(FILE_HEADER, PROGRAM_HEADER, len(segments), SECTION_HEADER, len(named), len(named) - 1),
    )
    return head + programs + bytes(body) + headers


def a_note(owner: bytes, kind: int, value: bytes = b"\0" * 8) -> bytes:
    """One ELF note, padded to four bytes."""
    name = owner + b"\0"
    return (
        struct.pack("<III", len(name), len(value), kind) + name + bytes(-len(name) % 4) + value + bytes(-len(value) % 4)
    )


def a_module(name: str, *needs: str) -> bytes:
    """A kernel module that needs those."""
    info = f"license=GPL\0depends={','.join(needs)}\0name={name}\0".encode()
    return an_elf(sections={".modinfo": info, ".text": b"\xc3"})


def a_vmlinux(*, has_pvh: bool = True) -> bytes:
    """An uncompressed kernel of some kilobytes."""
    notes = a_note(b"Linux", 257) + (a_note(*PVH_NOTE) if has_pvh else b"")
    return an_elf(segments=[(PT_LOAD, b"kernel" * 1000), (PT_NOTE, notes)])


def a_bzimage(payload: bytes, *, size: int) -> bytes:
    """A compressed kernel image with that payload; the build appends the `size` of what comes out."""
    payload += struct.pack("<I", size)
    setup = bytearray(3 * 512)
    setup[0x1F1] = 2
    setup[0x202:0x206] = b"HdrS"
    struct.pack_into("<II", setup, 0x248, 0x40, len(payload))
    return bytes(setup) + bytes(0x40) + payload + b"trailing"


def gzipped(data: bytes) -> bytes:
    """As `gzip -n` does."""
    packer = zlib.compressobj(wbits=31)
    return packer.compress(data) + packer.flush()


def a_kernel_tree(
    root: Path,
    release: str,
    modules: dict[str, bytes] | None = None,
    *,
    built_in: tuple[str, ...] = (),
    usr: bool = False,
    packed: bool = False,
    image: bytes = b"kernel image",
) -> Path:
    """What a kernel package looks like when it is unpacked in `root`. `packed`: modules as `.ko.xz`."""
    boot = root / "boot"
    boot.mkdir(parents=True)
    (boot / f"vmlinuz-{release}").write_bytes(image)
    folder = root / ("usr/lib/modules" if usr else "lib/modules") / release
    (folder / "kernel/drivers").mkdir(parents=True)
    (folder / "modules.builtin").write_text("".join(f"kernel/lib/{name}.ko\n" for name in built_in))
    for name, data in (modules or {}).items():
        file = folder / "kernel/drivers" / (f"{name}.ko.xz" if packed else f"{name}.ko")
        file.write_bytes(lzma.compress(data, check=lzma.CHECK_CRC32) if packed else data)
    return root
