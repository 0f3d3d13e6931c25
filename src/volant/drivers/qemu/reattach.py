"""A new tap for a guest that runs, without a word to it or to its VMM.

    QEMU ── descriptor ── / ── vt0123 (deleted)
                 ╰───── TUNSETIFF, by us ─────▶ vt0123 (new)

A descriptor of /dev/net/tun outlives its tap and can be put on another. We borrow QEMU's own (pidfd_getfd) and do that:
QEMU reads and writes on, and the guest sees some lost frames. Nothing is asked of QEMU, so its sandbox is no obstacle
and its network card needs no hub before it, which would cost every frame of every guest (ADR 12).

Borrowing needs the right to trace the process: root has it, and whoever started QEMU under the same user, where the
kernel's Yama allows it.
"""

from __future__ import annotations

import ctypes
import os

from volant.clock import Uid
from volant.drivers import processes, tap
from volant.errors import DriverUnavailable

_PIDFD_GETFD = 438
"""The number of the system call, the same on every architecture. Python has no function for it."""


def reattach(pid: int, uid: Uid, name: str) -> None:
    """Put the VMM of `uid` on the tap `name`, if it has lost its own. Milliseconds at most.

    Harmless when it has not. DriverUnavailable when it cannot be done; a restart of the VM does it then.
    """
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        if processes.carries(pid, f"-{uid}") and not processes.is_gone(handle):
            _mend_all(handle, pid, name)
    except OSError as error:
        why = error.strerror or str(error)
        raise DriverUnavailable(f"cannot give {uid} its new tap {name}: {why}. Restart the VM") from error
    finally:
        os.close(handle)


def _mend_all(handle: int, pid: int, name: str) -> None:
    for descriptor in [number for number, interface in tap.held_taps(pid).items() if not interface]:
        borrowed = _borrow(handle, descriptor)
        try:
            tap.mend(borrowed, name)
        finally:
            os.close(borrowed)


def _borrow(handle: int, descriptor: int) -> int:
    libc = ctypes.CDLL(None, use_errno=True)
    borrowed: int = libc.syscall(_PIDFD_GETFD, handle, descriptor, 0)
    if borrowed < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return borrowed
