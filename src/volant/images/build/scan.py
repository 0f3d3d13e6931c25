"""A directory of the host as a tree: somebody's own files, or an OCI image that was unpacked.

Links are taken as links, never followed. Somebody's own files all belong to root, and of their modes only the right to
execute counts: a checkout with another umask or another owner gives the same image. An unpacked image has owners and
modes of its own, which are handed in.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final, Protocol

from volant.errors import ArtifactRefused
from volant.images.build.tree import Node, Tree, a_directory, a_file, a_link, clean


class Attributes(Protocol):
    """Mode (permission bits), user and group of one file."""

    @property
    def mode(self) -> int: ...  # noqa: D102 -- the class says it
    @property
    def uid(self) -> int: ...  # noqa: D102
    @property
    def gid(self) -> int: ...  # noqa: D102


NOTHING_SAID: Final[Mapping[str, Attributes]] = {}


def put_directory(
    tree: Tree,
    source: Path,
    to: str = "",
    *,
    owner: tuple[int, int] = (0, 0),
    attributes: Mapping[str, Attributes] = NOTHING_SAID,
) -> None:
    """Put all that is below `source` at `to`.

    `attributes` are by path below `source`, `.` for itself. Raises ArtifactRefused for a file that is neither regular
    nor a directory nor a link, and for one that cannot be read.
    """
    try:
        for path in _walk(source):
            name = path.relative_to(source).as_posix()
            node = _node(path, owner)
            tree.put(f"{to}/{name}", _dressed(node, attributes.get(name)))
    except OSError as error:
        raise ArtifactRefused(f"cannot read {error.filename}: {error.strerror}") from error


def put_file(tree: Tree, source: Path, to: str, *, owner: tuple[int, int] = (0, 0), mode: int | None = None) -> None:
    """Put one file or, with what is below, one directory at `to`. `mode` is that of files."""
    try:
        if source.is_dir():
            put_directory(tree, source, to, owner=owner)
            return
        node = _node(source, owner)
    except OSError as error:
        raise ArtifactRefused(f"cannot read {source}: {error.strerror}") from error
    tree.put(clean(to), node if mode is None else a_file(node.content, mode, *owner))


def _walk(source: Path) -> Iterator[Path]:
    """Itself, then all below, sorted."""
    yield source
    with os.scandir(source) as found:
        names = sorted((entry.name, entry.is_dir(follow_symlinks=False)) for entry in found)
    for name, is_directory in names:
        if is_directory:
            yield from _walk(source / name)
        else:
            yield source / name


def _node(path: Path, owner: tuple[int, int]) -> Node:
    mode = path.lstat().st_mode
    if stat.S_ISDIR(mode):
        return a_directory(0o755, *owner)
    if stat.S_ISLNK(mode):
        return a_link(str(path.readlink()))
    if not stat.S_ISREG(mode):
        raise ArtifactRefused(f"cannot put {path} into an image: it is neither a file nor a directory nor a link")
    return a_file(path, 0o755 if mode & stat.S_IXUSR else 0o644, *owner)


def _dressed(node: Node, worn: Attributes | None) -> Node:
    if worn is None:
        return node
    return Node(stat.S_IFMT(node.mode) | worn.mode, worn.uid, worn.gid, node.content)
