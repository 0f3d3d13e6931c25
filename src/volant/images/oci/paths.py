"""Paths inside a directory that strangers have filled, resolved as if that directory were the root of the world.

    "var/run/app.pid", var/run -> /run   ──Tree.find──▶  descriptor of <root>/run, "run", "app.pid"

A link of the image leads to where it would lead inside the guest, never out: each step is taken by hand, from a
descriptor, with O_NOFOLLOW, and a link is read and walked from the root of the tree. `..` ends at that root. The last
part of a path is never followed. Nobody else may write below the directory while it is open.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NamedTuple

from volant.errors import ArtifactRefused

MAX_LINKS: Final = 40
MAX_DEPTH: Final = 128
MAX_STEPS: Final = 1000
"""Of one path, links included: links that lead to links of many parts each are a way to take time."""
_STEP: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class Place(NamedTuple):
    """Where an entry is or will be: its directory, open, that directory's real path in the tree, and its name."""

    directory: int
    folder: str
    name: str

    @property
    def path(self) -> str:
        """The entry's real path, without a leading slash."""
        return f"{self.folder}/{self.name}" if self.folder else self.name


class Tree:
    """A directory, open, and the world to all that is in it."""

    def __init__(self, root: Path) -> None:
        self._root = os.open(root, _STEP)

    def close(self) -> None:
        """Give the descriptor back."""
        os.close(self._root)

    @property
    def root(self) -> int:
        """The descriptor of the tree's root."""
        return self._root

    @contextmanager
    def find(self, path: str) -> Iterator[Place | None]:
        """The place of `path`, its directory open for the time of the `with`; None when that directory is not there.

        Raises ArtifactRefused for a path that has no last part, or leads through what is no directory.
        """
        folders, name = _parted(path)
        walk = _Walk(self, make=False)
        try:
            yield Place(walk.top, walk.folder, name) if walk.through(folders) else None
        finally:
            walk.close()

    @contextmanager
    def make(self, path: str) -> Iterator[Place]:
        """As `find`, but the directories on the way are made where they are missing."""
        folders, name = _parted(path)
        walk = _Walk(self, make=True)
        try:
            walk.through(folders)
            yield Place(walk.top, walk.folder, name)
        finally:
            walk.close()


def _parted(path: str) -> tuple[list[str], str]:
    parts = [part for part in path.split("/") if part not in ("", ".")]
    if not parts or parts[-1] == "..":
        raise ArtifactRefused(f"cannot unpack {path[:200]!r}: it names no entry")
    return parts[:-1], parts[-1]


class _Walk:
    """The directories that are open between the root and where we are."""

    def __init__(self, tree: Tree, *, make: bool) -> None:
        self._tree = tree
        self._make = make
        self._open: list[tuple[str, int]] = []

    @property
    def top(self) -> int:
        return self._open[-1][1] if self._open else self._tree.root

    @property
    def folder(self) -> str:
        return "/".join(name for name, _ in self._open)

    def through(self, parts: list[str]) -> bool:
        """Walk on; False when something is missing that is not to be made."""
        ahead, links, steps = parts[::-1], 0, 0
        while ahead:
            part = ahead.pop()
            steps += 1
            if part == "..":
                self._back()
                continue
            target = self._step(part)
            if target is None:
                return False
            if target:
                links += 1
                if links > MAX_LINKS or steps + len(ahead) > MAX_STEPS:
                    raise ArtifactRefused(
                        "cannot unpack an image: its links lead in a circle, or through too many others"
                    )
                if target.startswith("/"):
                    self.close()
                ahead += [piece for piece in target.split("/") if piece not in ("", ".")][::-1]
        return True

    def _step(self, part: str) -> str | None:
        """ "" after a step into a directory, the target of a link instead of a step, None for what is not there."""
        if len(self._open) >= MAX_DEPTH:
            raise ArtifactRefused(f"cannot unpack an image: its directories are deeper than {MAX_DEPTH}")
        try:
            self._open.append((part, os.open(part, _STEP, dir_fd=self.top)))
            return ""
        except FileNotFoundError:
            return self._made(part) if self._make else None
        except OSError as error:
            # A link is ENOTDIR to O_DIRECTORY on some file systems, ELOOP on others.
            if error.errno not in (errno.ELOOP, errno.ENOTDIR):
                raise
        if stat.S_ISLNK(os.stat(part, dir_fd=self.top, follow_symlinks=False).st_mode):
            return os.readlink(part, dir_fd=self.top)
        raise ArtifactRefused(f"cannot unpack an image: {part[:200]!r} is a file, and a directory to something else")

    def _made(self, part: str) -> str:
        os.mkdir(part, 0o755, dir_fd=self.top)
        self._open.append((part, os.open(part, _STEP, dir_fd=self.top)))
        return ""

    def _back(self) -> None:
        if self._open:
            os.close(self._open.pop()[1])

    def close(self) -> None:
        while self._open:
            self._back()


def read_inside(root: Path, path: str, max_bytes: int) -> bytes | None:
    """The content of a regular file in the tree, links resolved inside of it; None when there is none.

    Raises ArtifactRefused for one that is larger.
    """
    tree = Tree(root)
    try:
        for _ in range(MAX_LINKS):
            with tree.find(path) as place:
                if place is None:
                    return None
                try:
                    mode = os.stat(place.name, dir_fd=place.directory, follow_symlinks=False).st_mode
                except FileNotFoundError:
                    return None
                if not stat.S_ISLNK(mode):
                    return _content(place, max_bytes) if stat.S_ISREG(mode) else None
                target = os.readlink(place.name, dir_fd=place.directory)
                path = target if target.startswith("/") else f"{place.folder}/{target}"
        return None
    finally:
        tree.close()


def _content(place: Place, max_bytes: int) -> bytes:
    descriptor = os.open(place.name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=place.directory)
    with os.fdopen(descriptor, "rb") as file:
        content = file.read(max_bytes + 1)
    if len(content) > max_bytes:
        raise ArtifactRefused(f"cannot use an image: {place.path[:200]} is larger than {max_bytes} bytes")
    return content
