"""The smallest guest that lives like one: it starts in milliseconds, sleeps, and shuts down when its button is pressed.

A real QEMU runs it. It needs no boot: QEMU loads it as it loads any multiboot kernel, and it runs in 32-bit protected
mode. While it waits for its button it is halted, so a crowd of them costs the host nothing.
"""

from __future__ import annotations

import hashlib
import struct
from pathlib import Path
from typing import Any

from tests.builders.qemu_guests import HALT, SHUTS_DOWN, kernel

PORT = 8080
"""Published on the VM's address by QEMU, whether or not the guest answers there."""

_ENTRY = 0x100020
_IDT = 0x200000
_BUTTON = 0x71
"""The vector of interrupt 9, the one of power management, as the firmware leaves it."""


def _waits(handler: int, tables: int) -> bytes:
    gate = _IDT + 8 * _BUTTON
    return b"".join(
        (
            b"\xfa\x0f\x01\x15" + struct.pack("<I", tables),  # cli; lgdt
            b"\xbc" + struct.pack("<I", _IDT),  # the stack ends where the interrupt table begins
            b"\xc7\x05" + struct.pack("<II", gate, 8 << 16 | handler & 0xFFFF),
            b"\xc7\x05" + struct.pack("<II", gate + 4, handler & 0xFFFF0000 | 0x8E00),
            b"\x0f\x01\x1d" + struct.pack("<I", tables + 6),  # lidt
            bytes.fromhex("b0fb e621 b0fd e6a1"),  # of all interrupts, 9 and what it comes through
            bytes.fromhex("66ba0206 66b80001 66ef"),  # the button is an event of power management
            b"\xfb" + HALT[1:],  # sti; hlt; and again
        )
    )


def _program() -> bytes:
    handler = _ENTRY + len(_waits(0, 0))
    tables = handler + len(SHUTS_DOWN)
    registers = struct.pack("<HI", 23, tables + 12) + struct.pack("<HI", 8 * (_BUTTON + 1) - 1, _IDT)
    segments = struct.pack("<QQQ", 0, 0x00CF9A000000FFFF, 0x00CF92000000FFFF)
    return _waits(handler, tables) + SHUTS_DOWN + registers + segments


def light_manifest(directory: Path) -> dict[str, Any]:
    """The manifest of a plugin whose files are made in `directory`."""
    image = kernel(directory, _program())
    nothing = directory / "initramfs"
    nothing.write_bytes(b"nothing\n")
    nothing.chmod(0o644)
    return {
        "name": "light",
        "version": "1.0.0",
        "workload": {"type": "tcp", "port": PORT},
        "resources": {"vcpu": 1, "memory_mb": 64},
        "kernel": _source(image),
        "initramfs": _source(nothing),
    }


def _source(path: Path) -> dict[str, str]:
    return {"url": path.as_uri(), "checksum": "sha256:" + hashlib.sha256(path.read_bytes()).hexdigest()}
