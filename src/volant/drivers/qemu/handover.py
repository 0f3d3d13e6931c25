"""What a VMM is given: files and sockets that the driver has opened, as descriptors.

The VMM's user needs no right to any directory of ours, no path of ours can be swapped under it, and a listening
socket is there before the VMM is: whoever connects at once waits in its queue instead of trying again. The length
limit on socket paths (107 bytes) does not apply either: long ones are reached through their directory's descriptor.

Files of the cache are read-only for a VMM, because others boot from them too. Files of the VM's own are given to the
user that its VMM runs as: they are opened once more by QEMU, with the right that it needs at the time.

All methods and functions raise OSError; `artifact` raises DriverRefused for a file that the VMM may not read.
"""

from __future__ import annotations

import contextlib
import os
import socket
import stat
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

from volant.drivers import Boot, DiskFile
from volant.drivers.qemu.blocks import Layer
from volant.drivers.qemu.command import Files, Sockets, boots_itself
from volant.drivers.qemu.rundir import CONSOLE_LOG
from volant.drivers.tap import open_tap
from volant.errors import DriverRefused

QMP = "qmp.sock"
MONITOR = "monitor.sock"
CONSOLE = "console.sock"
AGENT = "agent.sock"
GUEST_AGENT = "qga.sock"

_MAX_SUN_PATH = 107


class Handover(ExitStack):
    """The descriptors for one VMM, until it is started: leaving the context closes our ends.

    `vmm_uid` (and gid) is who the VMM runs as, None if it runs as we do. `handed` is what it inherits.
    """

    def __init__(self, vmm_uid: int | None) -> None:
        super().__init__()
        self.handed: list[int] = []
        self._vmm_uid = vmm_uid

    def artifact(self, path: Path) -> str:
        """A file of the cache, to be read. What QEMU opens it by."""
        descriptor = self._open(path, os.O_RDONLY)
        facts = os.fstat(descriptor)
        if not stat.S_ISREG(facts.st_mode):
            raise DriverRefused(f"cannot boot from {path}: it is not a file")
        if self._vmm_uid is not None and not _may_read(facts, self._vmm_uid):
            raise DriverRefused(
                f"cannot boot from {path}: uid {self._vmm_uid} may not read it. Make it readable to all"
            )
        return self._hand_over(descriptor)

    def own_file(self, path: Path, *, writes: bool) -> str:
        """A file that is this VM's alone. What QEMU opens it by."""
        descriptor = self._open(path, (os.O_RDWR if writes else os.O_RDONLY) | os.O_NOFOLLOW)
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise DriverRefused(f"cannot boot from {path}: it is not a file")
        if self._vmm_uid is not None:
            os.fchown(descriptor, self._vmm_uid, self._vmm_uid)
        return self._hand_over(descriptor)

    def tap(self, name: str) -> int:
        """The VM's end of its network. The descriptor that QEMU takes as it is."""
        descriptor = open_tap(name)
        self.callback(os.close, descriptor)
        self.handed.append(descriptor)
        return descriptor

    def console_log(self, path: Path) -> str:
        """A new file that the VMM opens again, to append. What QEMU opens it by."""
        descriptor = self._open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL)
        if self._vmm_uid is not None:
            os.fchown(descriptor, self._vmm_uid, -1)
        return self._hand_over(descriptor)

    def own_log(self, path: Path) -> int:
        """A new file for standard output and error."""
        return self._open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND)

    def listener(self, path: Path) -> int:
        """A listening Unix socket. The name stays behind; the daemon's end is closed with this object."""
        listening = self.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
        with _short(path) as name:
            listening.bind(name)
        path.chmod(0o600)
        listening.listen(1)
        self.handed.append(listening.fileno())
        return listening.fileno()

    def _open(self, path: Path, flags: int) -> int:
        descriptor = os.open(path, flags | os.O_CLOEXEC, 0o600)
        self.callback(os.close, descriptor)
        return descriptor

    def _hand_over(self, descriptor: int) -> str:
        self.handed.append(descriptor)
        return f"/proc/self/fd/{descriptor}"


def handed_files(over: Handover, directory: Path, boot: Boot) -> Files:
    """Everything that the VMM reads and writes."""
    return Files(
        kernel=over.artifact(boot.kernel) if boot.kernel else None,
        initramfs=over.artifact(boot.initramfs) if boot.initramfs else None,
        console_log=over.console_log(directory / CONSOLE_LOG),
        disks=tuple(_layer(over, disk) for disk in boot.disks),
        seed=over.own_file(boot.seed, writes=False) if boot.seed else None,
        tap=over.tap(boot.attachment.tap) if boot.attachment.tap else None,
    )


def handed_sockets(over: Handover, directory: Path, boot: Boot) -> Sockets:
    """Everything that the VMM listens on."""
    return Sockets(
        qmp=over.listener(directory / QMP),
        monitor=over.listener(directory / MONITOR),
        console=over.listener(directory / CONSOLE),
        agent=over.listener(directory / AGENT),
        guest_agent=over.listener(directory / GUEST_AGENT) if boots_itself(boot) else None,
    )


def _layer(over: Handover, disk: DiskFile) -> Layer:
    return Layer(
        name=disk.name,
        path=over.own_file(disk.path, writes=True),
        base=over.artifact(disk.base) if disk.base else None,
        base_format=disk.base_format,
    )


def connect(path: Path) -> socket.socket | None:
    """A connection to a VM's socket, non-blocking; None when nobody listens there (any more)."""
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    try:
        with _short(path) as name:
            connection.connect(name)
    except OSError:
        connection.close()
        return None
    return connection


@contextlib.contextmanager
def _short(path: Path) -> Iterator[str]:
    """A name for the path that fits into a socket address."""
    if len(os.fsencode(path)) <= _MAX_SUN_PATH:
        yield str(path)
        return
    directory = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{directory}/{path.name}"
    finally:
        os.close(directory)


def _may_read(facts: os.stat_result, uid: int) -> bool:
    if facts.st_uid == uid:
        return bool(facts.st_mode & stat.S_IRUSR)
    return bool(facts.st_mode & (stat.S_IRGRP if facts.st_gid == uid else stat.S_IROTH))
