"""One daemon a data directory: a lock on a file in it, held for as long as the process lives.

The kernel lets go of the lock when the process ends, however it ends, so there is nothing to clean up after a crash.
The file stays: deleting it would let two daemons each lock a file of that name.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from volant.errors import StartupError

LOCK_FILE = "volant.lock"


class DataDirLock:
    """The hold on one data directory. Made by `acquire`."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self.path = path
        self._descriptor: int | None = descriptor

    @classmethod
    def acquire(cls, path: Path) -> DataDirLock:
        """Take the directory, which is made (readable to its owner only) when it is missing. Raises StartupError."""
        try:
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
            # Python opens files so that programs it starts do not inherit them: a VM never holds the lock.
            descriptor = os.open(path / LOCK_FILE, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise StartupError(
                f"cannot use {path}: {error.strerror}. Give a directory that this user may write to with --data-dir."
            ) from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            holder = os.pread(descriptor, 20, 0).decode("ascii", "replace").strip() or "unknown"
            os.close(descriptor)
            raise StartupError(
                f"cannot use {path}: another volant (pid {holder}) has it. Stop that one, or use another --data-dir."
            ) from error
        _note_pid(descriptor)
        return cls(path, descriptor)

    def release(self) -> None:
        """Let go. Idempotent."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


def _note_pid(descriptor: int) -> None:
    """For people only: who holds the lock is the kernel's to say, so a full disk does not matter here."""
    try:
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
    except OSError:
        return
