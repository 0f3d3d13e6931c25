"""What lies beside a VM's process, so that another daemon finds it: one directory a VM.

    <run dir>/<uid>/  boot.json      what it was started with; there before the process is
                      confined.json  which user its process runs as; there before the process is
                      instance.json  which process it is; there as soon as the process is
                      exit.json      how it ended; there as soon as that is known
                      *.sock         QMP, the monitor for people, the serial console, the agent port
                      console.log    what the guest said; QEMU's standard error is in vmm.log. What was moved aside
                                     of either is in .1, and how much that was in .moved
    <run dir>/.consoles/<uid>        the end of what the VM's last guest said

Directories are 0700 and the daemon's own: no VMM, whoever it runs as, can read, plant or replace anything here. A
directory is always made fresh; a name that is already there, be it a symbolic link, is never followed. Records are
written beside and renamed into place, so a reader finds a whole one or none; a damaged one counts as none.

All functions touch the disk and raise OSError.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
from pathlib import Path
from typing import Any, TypeVar

import msgspec
from msgspec import Struct

from volant.clock import Instant, Uid
from volant.drivers import Boot
from volant.drivers.processes import Identity
from volant.drivers.qemu.command import is_uid
from volant.errors import DriverRefused
from volant.model.vm import Exit

BOOT = "boot.json"
INSTANCE = "instance.json"
EXIT = "exit.json"
CONFINED = "confined.json"
CONSOLE_LOG = "console.log"
VMM_LOG = "vmm.log"

_MAX_RECORD = 1 << 18
_MAX_SAID = 4096

T = TypeVar("T")


class Started(Struct, frozen=True, kw_only=True):
    """The process of a VM, as it was recorded right after it was started."""

    identity: Identity
    mark: str
    started_at: Instant


class Confined(Struct, frozen=True, kw_only=True):
    """Who the VM's process runs as: nobody else is given that uid while this record is there."""

    vmm_uid: int


class Records(Struct, frozen=True, kw_only=True):
    """Everything that is recorded about one VM. Each part may be missing: the daemon may have died before it."""

    boot: Boot | None
    started: Started | None
    exit: Exit | None


class RunDir:
    """The directory that holds one directory for each VM."""

    def __init__(self, root: Path) -> None:
        self.root = root.resolve()
        self.owner = hashlib.sha256(os.fsencode(self.root)).hexdigest()[:8]
        """Part of every mark, so that daemons with different run directories never take each other's VMs for theirs."""

    def prepare(self) -> None:
        """Make the directory, or check that it is ours alone. Raises OSError, PermissionError if others may write."""
        self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
        facts = self.root.stat()
        if facts.st_uid != os.geteuid() or facts.st_mode & 0o022:
            raise PermissionError(f"{self.root} belongs to or may be written by somebody else")

    def of(self, uid: Uid) -> Path:
        """Where a VM's files are. DriverRefused for what is no uid, before it becomes part of a path."""
        if not is_uid(uid):
            raise DriverRefused(f"cannot use {uid!r} as a uid: only lower-case letters, digits and dashes")
        return self.root / uid

    def uids(self) -> list[Uid]:
        """The VMs that have a directory. Whatever else lies there is not looked at."""
        with os.scandir(self.root) as entries:
            return [Uid(e.name) for e in entries if is_uid(e.name) and e.is_dir(follow_symlinks=False)]

    def exists(self, uid: Uid) -> bool:
        """Whether the VM has a directory."""
        path = self.of(uid)
        return path.is_dir() and not path.is_symlink()

    def make(self, uid: Uid, boot: Boot) -> Path:
        """A fresh directory that says what is about to be started. FileExistsError for any name already there.

        Not synced: it is for the crash of a daemon, which loses nothing that was written. `write_started` syncs both,
        while QEMU is starting and nobody waits for the disk.
        """
        path = self.of(uid)
        path.mkdir(mode=0o700)
        self._write(uid, BOOT, boot, sync=False)
        return path

    def read(self, uid: Uid) -> Records:
        """What is recorded; nothing at all if there is no directory."""
        return Records(
            boot=self._read(uid, BOOT, Boot), started=self._read(uid, INSTANCE, Started), exit=self.read_exit(uid)
        )

    def read_exit(self, uid: Uid) -> Exit | None:
        """How the VM ended, if that was recorded."""
        return self._read(uid, EXIT, Exit)

    def read_confined(self, uid: Uid) -> Confined | None:
        """Who the VM's process runs as, if that was recorded."""
        return self._read(uid, CONFINED, Confined)

    def write_confined(self, uid: Uid, confined: Confined) -> None:
        """Record it. Not synced: after a crash of the host no process has that uid."""
        self._write(uid, CONFINED, confined, sync=False)

    def write_started(self, uid: Uid, started: Started) -> None:
        """Record the process, and see to it that everything so far is on the disk."""
        self._write(uid, INSTANCE, started, sync=True)

    def write_exit(self, uid: Uid, exit_: Exit) -> None:
        """Record how it ended.

        Not synced: written on the event loop, and should the host go down now, the process is gone all the same and
        only the reason is lost.
        """
        self._write(uid, EXIT, exit_, sync=False)

    def said(self, uid: Uid) -> str:
        """The beginning of what QEMU wrote to its standard error."""
        with contextlib.suppress(OSError), (self.of(uid) / VMM_LOG).open("rb") as file:
            return file.read(_MAX_SAID).decode(errors="replace")
        return ""

    def remove(self, uid: Uid) -> None:
        """Remove everything of a VM. Harmless when there is nothing; what is no directory of ours is left alone."""
        if self.exists(uid):
            shutil.rmtree(self.of(uid))

    def _write(self, uid: Uid, name: str, value: object, *, sync: bool) -> None:
        directory = self.of(uid)
        beside = directory / f".{name}.new"
        with beside.open("wb") as file:
            file.write(msgspec.json.encode(value, enc_hook=_plain))
            if sync:
                file.flush()
                os.fsync(file.fileno())
        beside.replace(directory / name)
        if sync:
            _sync(directory / BOOT)
            _sync(directory)

    def _read(self, uid: Uid, name: str, kind: type[T]) -> T | None:
        try:
            with (self.of(uid) / name).open("rb") as file:
                return msgspec.json.decode(file.read(_MAX_RECORD), type=kind, dec_hook=_rich)
        except (OSError, msgspec.MsgspecError):
            return None


def _sync(path: Path) -> None:
    with contextlib.suppress(FileNotFoundError):
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _plain(value: Any) -> Any:
    if isinstance(value, Path):
        return str(value)
    raise NotImplementedError


def _rich(kind: type, value: Any) -> Any:
    if kind is Path:
        return Path(value)
    raise NotImplementedError
