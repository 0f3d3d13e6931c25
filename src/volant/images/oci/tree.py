"""A directory that becomes the image's root, layer by layer.

    entry ──▶ place inside the tree (links resolved inside) ──▶ file, directory, link; owner and mode into a list

What an entry says about itself is done inside the tree or not at all: `..` is refused, a link is replaced and never
written through, a hard link leads to what is in the tree, a whiteout removes what is in the tree.

On the host, files belong to whoever unpacks and no file has a set-id bit: a root shell of an image is none of the host.
What they are to be in the guest is in `attributes`, for whoever makes a file system of the tree. Device nodes and pipes
are left out (the guest makes its own), as are extended attributes; both are counted.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from volant.errors import ArtifactRefused, ArtifactUnavailable
from volant.images.oci.layers import Limits
from volant.images.oci.paths import MAX_DEPTH, Place, Tree
from volant.images.oci.tar import Archive, Entry, Kind, Readable

_WHITEOUT: Final = ".wh."
_META: Final = ".wh..wh."
_OPAQUE: Final = ".wh..wh..opq"
_NEW: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_FOLDER: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_MAX_ID: Final = (1 << 32) - 2


@dataclass(frozen=True, slots=True)
class Attributes:
    """What an entry is to be in the guest: all twelve bits of its mode, and its owner by number."""

    mode: int = 0o755
    uid: int = 0
    gid: int = 0


@dataclass(slots=True)
class Growing:
    """A tree while layers are put on it. `into` is an empty directory; nobody else writes below it meanwhile."""

    into: Path
    limits: Limits
    left_out: dict[str, int] = field(default_factory=lambda: {"devices": 0, "xattrs": 0})
    _tree: Tree = field(init=False)
    _entries: int = 0
    _said: dict[str, tuple[Attributes, int]] = field(default_factory=dict)
    _fresh: set[str] = field(default_factory=set)
    _opaque: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self._tree = Tree(self.into)

    def close(self) -> None:
        """Give the descriptor back."""
        self._tree.close()

    def add(self, layer: Readable) -> None:
        """Put one layer on top. Raises ArtifactRefused, or ArtifactUnavailable when the disk is full."""
        self._fresh.clear()
        self._opaque.clear()
        archive = Archive(layer)
        for entry in archive.entries():
            self._entries += 1
            if self._entries > self.limits.max_entries:
                raise ArtifactRefused(f"cannot unpack an image: it has more than {self.limits.max_entries} entries")
            self._put(archive, entry)

    def finish(self) -> dict[str, Attributes]:
        """Set times and what modes the host may have. The attributes of every path, "." for the root itself."""
        os.fchmod(self._tree.root, 0o700)
        found = {".": self._said.get("", (Attributes(), 0))[0]}
        self._settle(self._tree.root, "", found)
        return found

    def _put(self, archive: Archive, entry: Entry) -> None:
        parts = [part for part in entry.name.split("/") if part not in ("", ".")]
        if ".." in parts:
            raise ArtifactRefused(f"cannot unpack {entry.name[:200]!r}: it leads upwards")
        if any(len(os.fsencode(part)) > 255 for part in parts):
            raise ArtifactRefused(f"cannot unpack {entry.name[:200]!r}: its name is too long")
        if not parts:
            self._remember("", entry)
        elif any(part.startswith(_META) for part in parts[:-1]):
            pass  # notes of a file system that once kept the layer
        elif parts[-1].startswith(_WHITEOUT):
            self._white_out(parts)
        elif entry.kind is Kind.DEVICE:
            self.left_out["devices"] += 1
        else:
            self._make(archive, entry, "/".join(parts))

    def _make(self, archive: Archive, entry: Entry, path: str) -> None:
        with self._tree.make(path) as place:
            if entry.kind is Kind.DIRECTORY:
                self._directory(place)
            elif entry.kind is Kind.HARDLINK:
                self._hard_link(place, entry)
            else:
                self._discard(place, keep_fresh=False)
                if entry.kind is Kind.SYMLINK:
                    os.symlink(_target(entry), place.name, dir_fd=place.directory)
                else:
                    self._write(archive, place, entry)
            if entry.kind is not Kind.HARDLINK:
                self._remember(place.path, entry)
            self._freshen(place.path)

    def _write(self, archive: Archive, place: Place, entry: Entry) -> None:
        room = os.fstatvfs(place.directory)
        if room.f_bavail * room.f_frsize - entry.size < self.limits.keep_free_bytes:
            raise ArtifactUnavailable("cannot unpack an image: there is not enough room on the disk")
        with os.fdopen(os.open(place.name, _NEW, 0o600, dir_fd=place.directory), "wb", buffering=0) as file:
            while piece := archive.read():
                file.write(piece)

    def _directory(self, place: Place) -> None:
        if not _is_directory(place):
            self._discard(place, keep_fresh=False)
            os.mkdir(place.name, 0o700, dir_fd=place.directory)

    def _hard_link(self, place: Place, entry: Entry) -> None:
        if ".." in entry.target.split("/"):
            raise ArtifactRefused(f"cannot unpack {entry.name[:200]!r}: it links upwards")
        with self._tree.find(entry.target) as source:
            mode = None if source is None else _mode(source)
            if source is None or mode is None or stat.S_ISDIR(mode):
                raise ArtifactRefused(f"cannot unpack {entry.name[:200]!r}: it links to what is not in the image")
            if source.path == place.path:
                return
            self._discard(place, keep_fresh=False)
            os.link(
                source.name, place.name, src_dir_fd=source.directory, dst_dir_fd=place.directory, follow_symlinks=False
            )
            self._said[place.path] = self._said[source.path]

    def _white_out(self, parts: list[str]) -> None:
        name = parts[-1]
        if name.startswith(_META) and name != _OPAQUE:
            return
        hidden = name.removeprefix(_WHITEOUT)
        if name != _OPAQUE and hidden in ("", ".", ".."):
            raise ArtifactRefused(f"cannot unpack {'/'.join(parts)[:200]!r}: it hides no entry")
        if name == _OPAQUE and len(parts) == 1:
            self._once(lambda: self._clear(self._tree.root, ""), "")
            return
        with self._tree.find("/".join(parts[:-1] if name == _OPAQUE else [*parts[:-1], hidden])) as place:
            if place is None:
                return
            if name != _OPAQUE:
                self._discard(place, keep_fresh=True)
            elif _is_directory(place):
                self._once(lambda: self._empty(place), place.path)

    def _once(self, clear: Callable[[], None], path: str) -> None:
        # What is there after the first time is of this layer: a layer of nothing but marks is no way to take time.
        if path not in self._opaque:
            self._opaque.add(path)
            clear()

    def _discard(self, place: Place, *, keep_fresh: bool) -> None:
        """Remove the entry with all below it; with `keep_fresh`, only what layers below have brought."""
        mode = _mode(place)
        if mode is None:
            return
        is_kept = keep_fresh and place.path in self._fresh
        if stat.S_ISDIR(mode):
            self._empty(place, keep_fresh=keep_fresh)
            if not is_kept:
                os.rmdir(place.name, dir_fd=place.directory)
        elif not is_kept:
            os.unlink(place.name, dir_fd=place.directory)
        if not is_kept:
            self._said.pop(place.path, None)
            self._fresh.discard(place.path)

    def _empty(self, place: Place, *, keep_fresh: bool = True) -> None:
        folder = os.open(place.name, _FOLDER, dir_fd=place.directory)
        try:
            self._clear(folder, place.path, keep_fresh=keep_fresh)
        finally:
            os.close(folder)

    def _clear(self, folder: int, path: str, *, keep_fresh: bool = True) -> None:
        if path.count("/") > MAX_DEPTH:
            raise ArtifactRefused(f"cannot unpack an image: its directories are deeper than {MAX_DEPTH}")
        for name in os.listdir(folder):
            self._discard(Place(folder, path, name), keep_fresh=keep_fresh)

    def _remember(self, path: str, entry: Entry) -> None:
        if max(entry.uid, entry.gid) > _MAX_ID:
            raise ArtifactRefused(f"cannot unpack {entry.name[:200]!r}: its owner is no number that can be")
        self._said[path] = (Attributes(entry.mode, entry.uid, entry.gid), entry.mtime)
        self.left_out["xattrs"] += entry.has_xattrs

    def _freshen(self, path: str) -> None:
        # With all above it: what this layer has put below a directory stays when the directory's old content goes.
        while path and path not in self._fresh:
            self._fresh.add(path)
            path = path.rpartition("/")[0]

    def _settle(self, folder: int, path: str, found: dict[str, Attributes]) -> None:
        for name in sorted(os.listdir(folder)):
            place = Place(folder, path, name)
            mode = _mode(place) or 0
            said, mtime = self._said.get(place.path, (Attributes(), 0))
            found[place.path] = said
            if stat.S_ISDIR(mode):
                inner = os.open(name, _FOLDER, dir_fd=folder)
                try:
                    self._settle(inner, place.path, found)
                    os.fchmod(inner, said.mode & 0o777 | 0o700)
                finally:
                    os.close(inner)
            elif stat.S_ISREG(mode):
                os.chmod(name, said.mode & 0o777 | 0o600, dir_fd=folder)
            os.utime(name, (mtime, mtime), dir_fd=folder, follow_symlinks=False)


def _target(entry: Entry) -> str:
    if not entry.target:
        raise ArtifactRefused(f"cannot unpack {entry.name[:200]!r}: it is a link to nothing")
    return entry.target


def _mode(place: Place) -> int | None:
    try:
        return os.stat(place.name, dir_fd=place.directory, follow_symlinks=False).st_mode
    except FileNotFoundError:
        return None


def _is_directory(place: Place) -> bool:
    mode = _mode(place)
    return mode is not None and stat.S_ISDIR(mode)
