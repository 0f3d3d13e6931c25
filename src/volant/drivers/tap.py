"""Taps: Ethernet ends of the host, as descriptors. The one place that knows the ioctls of /dev/net/tun.

    new_tap ──▶ a tap that lives as long as the descriptor ──keep──▶ one that lives until it is deleted
    open_tap ─▶ the descriptor that a VMM inherits
    mend ─────▶ a VMM's own descriptor, whose tap was deleted under it, on the tap that has its name now

A descriptor outlives its tap: when the tap is deleted the kernel takes it off, and another TUNSETIFF puts it on a new
one. Whoever holds the descriptor, and does not know, reads and writes on. All functions raise OSError.
"""

from __future__ import annotations

import errno
import fcntl
import os
import socket
import struct
from pathlib import Path

DEVICE = "/dev/net/tun"

_TUNSETIFF = 0x400454CA
_TUNSETPERSIST = 0x400454CB
_TUNGETIFF = 0x800454D2
_TUNSETVNETHDRSZ = 0x400454D8

_IFF_TAP = 0x0002
_IFF_PERSIST = 0x0800
_IFF_NO_PI = 0x1000
_IFF_VNET_HDR = 0x4000
_FLAGS = _IFF_TAP | _IFF_NO_PI | _IFF_VNET_HDR
_IFREQ = struct.Struct("16sH22x")

VNET_HEADER_BYTES = 12
"""What stands before each frame once a virtio 1.0 card has been set up. QEMU asks for it then, and never again."""


def new_tap(name: str) -> int:
    """A tap that nobody else has. FileExistsError when there is an interface of that name."""
    if _exists(name):
        raise FileExistsError(errno.EEXIST, "there is an interface of that name", name)
    return _attach(name)


def keep(descriptor: int) -> None:
    """Let the tap live on without its descriptor."""
    fcntl.ioctl(descriptor, _TUNSETPERSIST, 1)


def open_tap(name: str) -> int:
    """The descriptor of a tap that was kept: non-blocking, closed on exec.

    FileNotFoundError when there is none; OSError with EBUSY when somebody holds it.
    """
    if not _exists(name):
        raise FileNotFoundError(errno.ENOENT, "there is no such tap", name)
    descriptor = _attach(name)
    if _of(descriptor) & _IFF_PERSIST:
        return descriptor
    # It went between the look and the ioctl, which then made another: that goes with its descriptor.
    os.close(descriptor)
    raise FileNotFoundError(errno.ENOENT, "there is no such tap", name)


def held_taps(pid: int) -> dict[int, str]:
    """The taps of a process: the number of its descriptor -> the tap's name, empty when that tap was deleted."""
    held: dict[int, str] = {}
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        try:
            if str(entry.readlink()) == DEVICE:
                held[int(entry.name)] = _interface(pid, entry.name)
        except FileNotFoundError:  # closed meanwhile
            continue
    return held


def mend(descriptor: int, name: str) -> None:
    """Put a descriptor that has lost its tap on the tap of that name.

    Offloads stay off, because nobody can tell what the guest has agreed to: frames to it are whole and summed by the
    kernel, which is right for every guest and costs some throughput until it is started again.
    """
    if not _exists(name):
        raise FileNotFoundError(errno.ENOENT, "there is no such tap", name)
    fcntl.ioctl(descriptor, _TUNSETIFF, _IFREQ.pack(name.encode(), _FLAGS))
    fcntl.ioctl(descriptor, _TUNSETVNETHDRSZ, struct.pack("i", VNET_HEADER_BYTES))


def _interface(pid: int, descriptor: str) -> str:
    for line in Path(f"/proc/{pid}/fdinfo/{descriptor}").read_text().splitlines():
        key, _, value = line.partition(":")
        if key == "iff":
            return value.strip()
    return ""


def _attach(name: str) -> int:
    descriptor = os.open(DEVICE, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        fcntl.ioctl(descriptor, _TUNSETIFF, _IFREQ.pack(name.encode(), _FLAGS))
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def _of(descriptor: int) -> int:
    flags: int = _IFREQ.unpack(fcntl.ioctl(descriptor, _TUNGETIFF, bytes(_IFREQ.size)))[1]
    return flags


def _exists(name: str) -> bool:
    try:
        socket.if_nametoindex(name)
    except OSError:
        return False
    return True
