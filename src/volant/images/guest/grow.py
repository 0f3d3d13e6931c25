"""A program of 245 bytes that grows a mounted ext4 to the size of its disk: neither busybox nor images need have one.

    /volant/grow MOUNT_POINT DEVICE

It asks the kernel for the size of the device and the block size of the file system, and orders the kernel to have as
many blocks as fit. The kernel does the work, online and with its journal; a file system that is as large as its disk
stays as it is. The exit status is the kernel's error number, 0 when it is so.

Written as the instructions of one machine, x86-64, which is the only one that guests are built for.
"""

from __future__ import annotations

import struct
from typing import Final

_CODE: Final = bytes.fromhex(
    # ebx = open(MOUNT_POINT, O_RDONLY)
    "488b7c2410"  # mov rdi, [rsp+16]
    "31f6 6a02 58 0f05"  # xor esi, esi; push 2; pop rax; syscall
    "89c3"  # mov ebx, eax
    # edi = open(DEVICE, O_RDONLY)
    "488b7c2418"  # mov rdi, [rsp+24]
    "31f6 6a02 58 0f05"
    "89c7"  # mov edi, eax
    # ioctl(edi, BLKGETSIZE64, &size), size being at rsp+128
    "4881ec00010000"  # sub rsp, 256
    "be72120880"  # mov esi, BLKGETSIZE64
    "488d942480000000"  # lea rdx, [rsp+128]
    "6a10 58 0f05"  # push 16; pop rax; syscall
    "85c0 783b"  # test eax, eax; js end
    # fstatfs(ebx, rsp): the block size is at rsp+8
    "89df 4889e6"  # mov edi, ebx; mov rsi, rsp
    "b88a000000 0f05"  # mov eax, 138; syscall
    "85c0 782b"  # test eax, eax; js end
    # size /= block size
    "488b842480000000"  # mov rax, [rsp+128]
    "31d2 48f7742408"  # xor edx, edx; div qword [rsp+8]
    "4889842480000000"  # mov [rsp+128], rax
    # ioctl(ebx, EXT4_IOC_RESIZE_FS, &size)
    "89df be10660840"  # mov edi, ebx; mov esi, EXT4_IOC_RESIZE_FS
    "488d942480000000"  # lea rdx, [rsp+128]
    "6a10 58 0f05"  # push 16; pop rax; syscall
    # end: exit(-eax)
    "f7d8 89c7"  # neg eax; mov edi, eax
    "6a3c 58 0f05"  # push 60; pop rax; syscall
)
_BASE: Final = 0x400000
_HEADERS: Final = 64 + 56


def grow_program() -> bytes:
    """The program, as an executable that needs nothing."""
    size = _HEADERS + len(_CODE)
    # magic, type (executable), machine, version, entry, program headers at, section headers at, flags, sizes and counts
    magic = b"\x7fELF\x02\x01\x01".ljust(16, b"\0")
    elf = struct.pack("<16sHHIQQQIHHHHHH", magic, 2, 62, 1, _BASE + _HEADERS, 64, 0, 0, 64, 56, 1, 0, 0, 0)
    # type (to be loaded), flags (readable and executable), offset, addresses, sizes, alignment
    load = struct.pack("<IIQQQQQQ", 1, 5, 0, _BASE, _BASE, size, size, 0x1000)
    return elf + load + _CODE
