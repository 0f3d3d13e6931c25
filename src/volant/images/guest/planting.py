"""Entries of an archive as files below a directory, for a root disk that is made of one (`mke2fs -d`)."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable
from pathlib import Path

from volant.errors import ArtifactRefused, StartupError
from volant.images.newc import Entry


def plant(entries: Iterable[Entry], tree: Path) -> None:
    """Write `entries` below `tree`, over what is there. A link on the way is not followed: it may come from an image.

    Directories that are there stay as they are. Owners are set by root only. Raises ArtifactRefused for a name that
    leads out of the tree, or through something that is no directory; StartupError when the host cannot write.
    """
    for entry in entries:
        try:
            _plant(entry, tree)
        except OSError as error:
            raise StartupError(f"cannot write {entry.name} below {tree}: {error.strerror}") from error


def _plant(entry: Entry, tree: Path) -> None:
    *parents, name = _parts(entry.name)
    place = tree
    for parent in parents:
        place = place / parent
        _directory(place, 0o755, entry.name)
    place = place / name
    if stat.S_ISDIR(entry.mode):
        _directory(place, stat.S_IMODE(entry.mode), entry.name)
        return
    if place.is_dir() and not place.is_symlink():
        raise ArtifactRefused(f"cannot write {entry.name}: the image has a directory there")
    place.unlink(missing_ok=True)
    if stat.S_ISLNK(entry.mode):
        place.symlink_to(os.fsdecode(entry.data))
    elif stat.S_ISREG(entry.mode):
        place.write_bytes(entry.data)
        place.chmod(stat.S_IMODE(entry.mode))
    else:
        raise ArtifactRefused(f"cannot write {entry.name}: only files, directories and links are")
    if os.geteuid() == 0:
        os.chown(place, *entry.owner, follow_symlinks=False)


def _directory(place: Path, mode: int, name: str) -> None:
    # A link to a directory is not one: an absolute one would lead to a directory of the host.
    if place.is_symlink() or (place.exists() and not place.is_dir()):
        raise ArtifactRefused(f"cannot write {name}: {place.name} is no directory in the image")
    if not place.exists():
        place.mkdir()
        place.chmod(mode)


def _parts(name: str) -> list[str]:
    parts = name.split("/")
    if not all(part not in ("", ".", "..") for part in parts):
        raise ArtifactRefused(f"cannot write a file named {name!r}")
    return parts
