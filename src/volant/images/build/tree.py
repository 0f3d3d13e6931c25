"""A guest's files as they will be in its image: names, modes, owners, and where the bytes come from.

    directory ─┐
    .deb files ├──put──▶ Tree ──entries──▶ initramfs
    OCI image ─┘           └───items────▶ root disk

A tree is a table, not a directory: nothing is written while it grows, so that owners and set-id bits need no root, and
no link of an image can lead to a file of the host. A path that leads through links is followed inside the tree, as the
guest would. Items come sorted, whatever the order in which they were put.

Deliberately absent: devices (guests have devtmpfs), sockets, pipes, extended attributes, times (they are the image's).
"""

from __future__ import annotations

import re
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from fnmatch import translate
from pathlib import Path
from typing import Final

from volant.errors import ArtifactRefused
from volant.images.newc import Entry

MAX_PATH_BYTES: Final = 3500
"""Of a path: it has to fit into a line of the tool that sets owners."""
MAX_LINKS: Final = 40
"""Of links followed for one path, as Linux has it."""


@dataclass(frozen=True, slots=True)
class Node:
    """One file. `mode` has its type's bits; `content` is its bytes, the host's file with them, or a link's target."""

    mode: int
    uid: int = 0
    gid: int = 0
    content: bytes | Path = b""

    @property
    def is_directory(self) -> bool:
        """Whether others can be below it."""
        return stat.S_ISDIR(self.mode)

    @property
    def is_link(self) -> bool:
        """Whether it is a symbolic link."""
        return stat.S_ISLNK(self.mode)

    @property
    def target(self) -> str:
        """Where a link leads."""
        return self.data().decode()

    def data(self) -> bytes:
        """The bytes."""
        return self.content if isinstance(self.content, bytes) else self.content.read_bytes()

    def size(self) -> int:
        """How many bytes."""
        return len(self.content) if isinstance(self.content, bytes) else self.content.stat().st_size


def a_directory(mode: int = 0o755, uid: int = 0, gid: int = 0) -> Node:
    """A directory with these permissions."""
    return Node(stat.S_IFDIR | mode, uid, gid)


def a_file(content: bytes | Path, mode: int = 0o644, uid: int = 0, gid: int = 0) -> Node:
    """A regular file with this content."""
    return Node(stat.S_IFREG | mode, uid, gid, content)


def a_link(target: str) -> Node:
    """A symbolic link; the target is kept as it is."""
    return Node(stat.S_IFLNK | 0o777, content=target.encode())


def clean(path: str) -> str:
    """`/usr/./bin/` -> `usr/bin`; the root is empty. Raises ArtifactRefused for what no image of ours can hold."""
    parts = [part for part in path.split("/") if part not in {"", "."}]
    name = "/".join(parts)
    if ".." in parts or not name.isprintable() or len(name.encode(errors="replace")) > MAX_PATH_BYTES:
        raise ArtifactRefused(f"cannot put a file called {path[:200]!r} into an image")
    return name


class Tree:
    """The files. Paths are absolute with or without their first `/`; the root is always there."""

    def __init__(self) -> None:
        self._nodes: dict[str, Node] = {"": a_directory()}

    def __len__(self) -> int:
        return len(self._nodes)

    def items(self) -> Iterator[tuple[str, Node]]:
        """`(path, node)` of everything below the root, sorted: a directory stands before what is in it."""
        yield from ((path, self._nodes[path]) for path in sorted(self._nodes) if path)

    @property
    def root(self) -> Node:
        """The directory that all is in."""
        return self._nodes[""]

    def find(self, path: str) -> Node | None:
        """What a guest would find there, links followed; None when there is nothing."""
        return self._nodes.get(self._real(clean(path)))

    def read(self, path: str) -> str | None:
        """The text of a file, or None when there is none."""
        node = self.find(path)
        return node.data().decode() if node is not None and stat.S_ISREG(node.mode) else None

    def put(self, path: str, node: Node) -> None:
        """Have it there; parents are made, and belong to root. A directory on a directory changes its mode and owner.

        A link to a directory stays when a directory comes (as dpkg has it). Raises ArtifactRefused when a file is to
        stand where a directory is, or below another file.
        """
        name = clean(path)
        parent, _, last = name.rpartition("/")
        real = f"{self._directory(parent)}/{last}".lstrip("/") if name else ""
        there = self._nodes.get(real)
        if there is not None and node.is_directory and there.is_link:
            return
        if there is not None and there.is_directory and not node.is_directory:
            raise ArtifactRefused(f"cannot put a file at /{real}: a directory is there")
        self._nodes[real] = node

    def own(self, path: str, uid: int, gid: int) -> None:
        """Give what is at this path to somebody. It has to be there."""
        real = self._real(clean(path))
        self._nodes[real] = replace(self._nodes[real], uid=uid, gid=gid)

    def remove(self, patterns: Iterable[str], *, keep: Iterable[str] = ()) -> set[str]:
        """Take away what a pattern matches and all that is below; returns the patterns that matched nothing.

        Patterns are absolute paths with `*`, `?` and `[]`, which match `/` too. Of what a directory has to be there
        for, because it matches `keep`, nothing is taken.
        """
        kept = self._with_parents(path for path in self._nodes if _matches(keep, path))
        idle = set()
        for pattern in patterns:
            matching = [path for path in self._nodes if path and re.match(_below(pattern), f"/{path}")]
            for path in matching:
                if path not in kept:
                    del self._nodes[path]
            if not matching:
                idle.add(pattern)
        return idle

    def entries(self) -> list[Entry]:
        """The tree as entries of an initramfs, root itself left out."""
        return [Entry(path, n.mode, n.data(), owner=(n.uid, n.gid)) for path, n in self.items()]

    def put_entries(self, entries: Iterable[Entry]) -> None:
        """Have these in the tree too. Devices are left out, and directories that are there stay as they are."""
        for entry in entries:
            node = Node(entry.mode, *entry.owner, entry.data)
            if not stat.S_ISCHR(entry.mode) and not (node.is_directory and self.find(entry.name)):
                self.put(entry.name, node)

    def _with_parents(self, paths: Iterable[str]) -> set[str]:
        return {parent for path in paths for parent in (path, *(str(p) for p in Path(path).parents))}

    def _directory(self, path: str) -> str:
        """The real path of a directory, made with its parents where it is not there."""
        real = self._real(path)
        there = self._nodes.get(real)
        if there is None:
            parent, _, _ = real.rpartition("/")
            self._directory(parent)
            self._nodes[real] = a_directory()
        elif not there.is_directory:
            raise ArtifactRefused(f"cannot put anything below /{real}: it is no directory")
        return real

    def _real(self, path: str) -> str:
        """`bin/sh` -> `usr/bin/dash`. What is not there stays as it is named."""
        rest, real, followed = path.split("/")[::-1] if path else [], "", 0
        while rest:
            part = rest.pop()
            if part in {"", "."}:
                continue
            if part == "..":
                real = real.rpartition("/")[0]
                continue
            at = f"{real}/{part}".lstrip("/")
            node = self._nodes.get(at)
            if node is None or not node.is_link:
                real = at
                continue
            followed += 1
            if followed > MAX_LINKS:
                raise ArtifactRefused(f"cannot follow the links of /{path}: they lead in a circle")
            rest.extend(node.target.split("/")[::-1])
            real = "" if node.target.startswith("/") else real
        return real


def _below(pattern: str) -> str:
    """A regular expression for what the pattern matches and for all below."""
    # Python ends a translated pattern with \Z, in later versions with \z.
    return translate(pattern.rstrip("/")).removesuffix(r"\Z").removesuffix(r"\z") + r"(?:/.*)?\Z"


def _matches(patterns: Iterable[str], path: str) -> bool:
    return any(re.match(translate(pattern), f"/{path}") for pattern in patterns)
