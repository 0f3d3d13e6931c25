"""What a guest said on its serial console, read while it is written, moved aside and removed.

    moved - len(console.log.1)        moved              moved + len(console.log)
             │ console.log.1 ─────────│ console.log ─────│
             └── the places of the bytes of one guest ───┘

A place counts the bytes that the guest has said before it, so it means the same before and after a move (`console`).
The files are held open: what was not read of a guest that is forgotten can still be read, and the file of the next
guest cannot be taken for it.

When a guest is forgotten and its VM stays, the end of what it said is kept aside (`keep`): that is what somebody who
asks why it crashed wants to read. Everything blocks, for less than a millisecond; raises OSError.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from volant.clock import Uid
from volant.drivers.qemu.console import ASIDE, MOVED, ONE_AT_A_TIME, moved
from volant.drivers.qemu.rundir import CONSOLE_LOG

PIECE = 1 << 16
KEPT_BYTES = 1 << 18
"""How much of an ended guest's console is kept."""
LOST = b"\n[volant: text of the console is lost here]\n"

_KEPT = ".consoles"
"""No uid, so no VM is looked for in it."""


class Said:
    """The text of one guest: from `start` to `end` as they were at the last `look`, what lies before `moved` aside.

    `directory` is an open one, None for text that nobody adds to.
    """

    def __init__(self, file: int, directory: int | None) -> None:
        self._file = file
        self._directory = directory
        self.moved = 0
        self._aside = 0
        self._size = 0
        self.look()

    @property
    def start(self) -> int:
        """The place of the first byte that is left."""
        return self.moved - self._aside

    @property
    def end(self) -> int:
        """The place of the next byte that the guest says."""
        return self.moved + self._size

    @property
    def has_grown(self) -> bool:
        """Whether it seems to have changed since the last look. One system call."""
        return os.fstat(self._file).st_size != self._size

    def is_file(self, path: Path) -> bool:
        """Whether that is this file. One system call."""
        with contextlib.suppress(OSError):
            return os.path.samestat(os.fstat(self._file), path.lstat())
        return False

    def look(self) -> None:
        """See how much there is. Only together with the reading that follows it, under the lock of the moves."""
        if self._directory is not None:
            here = Path(f"/proc/self/fd/{self._directory}")
            # A directory that was removed has neither: nothing has been moved since.
            with contextlib.suppress(FileNotFoundError):
                self._aside = (here / f"{CONSOLE_LOG}{ASIDE}").stat().st_size
                self.moved = moved(here / f"{CONSOLE_LOG}{MOVED}")
        self._size = os.fstat(self._file).st_size

    def piece(self, place: int, most: int) -> bytes:
        """The bytes from `place` (in `start` to `end`) on; fewer than asked for where a file ends."""
        if place >= self.moved:
            return os.pread(self._file, most, place - self.moved)
        file = os.open(f"{CONSOLE_LOG}{ASIDE}", os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=self._directory)
        try:
            return os.pread(file, min(most, self.moved - place), place - self.start)
        finally:
            os.close(file)

    def last(self, lines: int) -> int:
        """The place where the last so many lines begin. What follows the last end of a line is a line as well."""
        place = self.end
        if lines == 0:
            return place
        while place > self.start:
            begin = max(self.start, place - PIECE)
            block = self.piece(begin, place - begin)
            at = len(block) - (place == self.end and block.endswith(b"\n"))
            while (at := block.rfind(b"\n", 0, at)) >= 0:
                lines -= 1
                if lines == 0:
                    return begin + at + 1
            place = begin
        return self.start

    def close(self) -> None:
        """Let go of the files."""
        os.close(self._file)
        if self._directory is not None:
            os.close(self._directory)


class Reading:
    """One reader of a VM's console, at a place in it. Not for two threads at a time."""

    def __init__(self, said: Said, live: Path, *, tail: int | None, follows: bool) -> None:
        """Takes over `said`. `live` is where the console of the guest with a process is."""
        self._said: Said | None = said
        self._live = live
        self._follows = follows
        self._place = said.start if tail is None else said.last(tail)
        # A guest that says more than can be read would never be read to its end.
        self._until = None if follows else said.end

    @property
    def may_have_more(self) -> bool:
        """Whether a read is worth it: two system calls and no lock. False may be old news, and True no news."""
        said = self._said
        if said is None:
            return False
        is_behind = self._place < (said.end if self._until is None else self._until)
        return is_behind or (self._follows and (said.has_grown or self._has_successor(said)))

    def read(self) -> bytes:
        """What comes next. Raises OSError."""
        with ONE_AT_A_TIME:
            if self._said is None:
                return b""
            data = self._read(self._said)
            if not data and self._follows and self._has_successor(self._said):
                data = self._turn_to_next(self._said)
            return data

    def close(self) -> None:
        """Let go of the files. Waits for a read that is under way."""
        with ONE_AT_A_TIME:
            if self._said is not None:
                self._said.close()
                self._said = None

    def _has_successor(self, said: Said) -> bool:
        return not said.is_file(self._live) and self._live.exists()

    def _turn_to_next(self, said: Said) -> bytes:
        following = opened(self._live.parent)
        if following is None:
            return b""
        said.close()
        self._said, self._place = following, following.start
        return self._read(following)

    def _read(self, said: Said) -> bytes:
        said.look()
        until = said.end if self._until is None else min(self._until, said.end)
        if not said.start <= self._place <= said.end:
            # Moved aside twice since it was read last, or emptied by somebody else.
            self._place = said.start if self._place < said.start else said.moved
            return LOST
        data = said.piece(self._place, min(PIECE, until - self._place)) if until > self._place else b""
        self._place += len(data)
        return data


def opened(directory: Path) -> Said | None:
    """The console of the guest whose files are there; None when there is none."""
    with contextlib.ExitStack() as undo:
        try:
            # Not O_PATH: its name below /proc has to be a directory that can be walked into.
            folder = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
            undo.callback(os.close, folder)
            file = os.open(CONSOLE_LOG, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)
            undo.callback(os.close, file)
        except (FileNotFoundError, NotADirectoryError):
            return None
        found = Said(file, folder)
        undo.pop_all()
        return found


def kept(root: Path, uid: Uid) -> Said | None:
    """What is kept of the guest that ended last; None when nothing is. `root` is the run directory."""
    try:
        return Said(os.open(root / _KEPT / uid, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC), None)
    except FileNotFoundError:
        return None


def keep(root: Path, uid: Uid) -> None:
    """Keep the end of what the guest said whose files are about to be removed. Replaces what was kept before."""
    with ONE_AT_A_TIME:
        said = opened(root / uid)
        if said is None:
            return
        try:
            words = _end_of(said)
        finally:
            said.close()
    if words:
        folder = root / _KEPT
        folder.mkdir(mode=0o700, exist_ok=True)
        beside = folder / f".{uid}.new"
        beside.write_bytes(words)
        beside.chmod(0o600)
        beside.replace(folder / uid)


def drop(root: Path, uid: Uid) -> None:
    """Remove what is kept. Harmless when nothing is."""
    with contextlib.suppress(FileNotFoundError):
        (root / _KEPT / uid).unlink()
        with contextlib.suppress(OSError):  # because others are kept there
            (root / _KEPT).rmdir()


def _end_of(said: Said) -> bytes:
    place, pieces = max(said.start, said.end - KEPT_BYTES), []
    while place < said.end and (piece := said.piece(place, said.end - place)):
        pieces.append(piece)
        place += len(piece)
    return b"".join(pieces)
