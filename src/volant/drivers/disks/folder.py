"""The directory of one VM's disks, held open and locked while it is worked on.

Every name is looked up in the open directory and no symbolic link is followed, so nothing that lies in the way can
send a write elsewhere. What is written appears whole or not at all: beside, then renamed.

Everything blocks and raises OSError; DriverRefused for something that is in the way and not ours.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from volant.errors import DriverRefused, DriverUnavailable

_FLAGS = os.O_CLOEXEC | os.O_NOFOLLOW


class Folder:
    """Of the directory `path`, open as `descriptor`."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self.path = path
        self._at = descriptor

    def has(self, name: str) -> bool:
        """Whether the file is there. DriverRefused for anything else of that name."""
        try:
            facts = os.stat(name, dir_fd=self._at, follow_symlinks=False)
        except FileNotFoundError:
            return False
        if not stat.S_ISREG(facts.st_mode):
            raise DriverRefused(f"cannot use {self.path / name}: it is not a file. Remove it")
        return True

    def read(self, name: str, most: int) -> bytes | None:
        """Its content, of which `most` bytes at most; None if it is not there."""
        if not self.has(name):
            return None
        with self.opened(name, os.O_RDONLY) as descriptor:
            return os.pread(descriptor, most, 0)

    @contextlib.contextmanager
    def opened(self, name: str, flags: int) -> Iterator[int]:
        """The file, opened."""
        descriptor = os.open(name, flags | _FLAGS, 0o600, dir_fd=self._at)
        try:
            yield descriptor
        finally:
            os.close(descriptor)

    @contextlib.contextmanager
    def fresh(self, name: str, *, sync: bool) -> Iterator[int]:
        """An empty file, which takes the name when the context ends well. What an earlier attempt left is removed.

        `sync`: that it is there, and whole, survives the end of the host as well.
        """
        beside = f".{name}.new"
        self.remove(beside)
        try:
            with self.opened(beside, os.O_RDWR | os.O_CREAT | os.O_EXCL) as descriptor:
                yield descriptor
                if sync:
                    os.fsync(descriptor)
            os.rename(beside, name, src_dir_fd=self._at, dst_dir_fd=self._at)
            if sync:
                os.fsync(self._at)
        except BaseException:
            with contextlib.suppress(OSError):
                self.remove(beside)
            raise

    def write(self, name: str, data: bytes, *, sync: bool) -> None:
        """Replace the file by one of exactly these bytes."""
        with self.fresh(name, sync=sync) as descriptor:
            left = memoryview(data)
            while left:
                left = left[os.write(descriptor, left) :]

    def remove(self, name: str) -> None:
        """Harmless when it is not there."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(name, dir_fd=self._at)


@contextlib.contextmanager
def open_folder(path: Path, *, make: bool) -> Iterator[Folder | None]:
    """The directory, ours and locked; None if it is not there and not to be made.

    DriverUnavailable while somebody else works on it: a turn that was cancelled goes on for a while.
    """
    if make:
        with contextlib.suppress(FileExistsError):
            path.mkdir(mode=0o700)
            _sync(path.parent)
    descriptor = _open(path)
    if descriptor is None:
        yield None
        return
    try:
        _check(path, os.fstat(descriptor))
        _lock(path, descriptor)
        yield Folder(path, descriptor)
    finally:
        os.close(descriptor)


def _sync(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _open(path: Path) -> int | None:
    try:
        return os.open(path, os.O_RDONLY | os.O_DIRECTORY | _FLAGS)
    except FileNotFoundError:
        return None
    except NotADirectoryError as error:  # a symbolic link too: of the two flags, the kernel complains by this one
        raise DriverRefused(f"cannot keep disks in {path}: it is not a directory. Remove it") from error


def _check(path: Path, facts: os.stat_result) -> None:
    if facts.st_uid != os.geteuid() or facts.st_mode & 0o077:
        raise DriverRefused(f"cannot keep disks in {path}: others own it or may look into it. Remove it")


def _lock(path: Path, descriptor: int) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise DriverUnavailable(f"cannot work on {path}: somebody else does") from error
