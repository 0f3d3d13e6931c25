"""What `volant sync` reads: one complete render, with a name that is another one when its content is.

    directory ──read twice──▶ render, named after its content
    mirror ──one commit──▶ a fresh directory ──read──▶ render, named after the commit

A render without flaws is all of the set. Any flaw is Ended: there is no part of a render.
"""

from __future__ import annotations

import hashlib
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import NamedTuple, Protocol

import msgspec

from volant.cli.ending import ERROR, USAGE, Ended
from volant.cli.saying import checked
from volant.cli.sync_git import Mirror
from volant.cli.terminal import plain
from volant.manifests import Reading, Said
from volant.model.meta import is_name


class Render(NamedTuple):
    """The objects of one commit."""

    commit: str
    said: tuple[Said, ...]


class Source(Protocol):
    """Where renders come from."""

    def render(self) -> Render:
        """All of it as it is now. Raises Ended."""
        ...


class Directory:
    """A directory on this host. Its commit is a digest of what the manifests in it say."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def render(self) -> Render:
        """Raises Ended also when it changes while it is read: half of a change is no state that anybody meant."""
        first, second = _whole(self._path), _whole(self._path)
        if _digest(first) != _digest(second):
            raise Ended(f"cannot use {plain(self._path)}: it changes while it is read", ERROR)
        return Render(f"files-{_digest(second)[:16]}", second.said)


class Repository:
    """A directory in the newest commit of a branch."""

    def __init__(self, mirror: Mirror, inner: str) -> None:
        self._mirror, self._inner = mirror, inner

    def render(self) -> Render:
        """Fetches. Raises Ended."""
        commit = self._mirror.fetched()
        with TemporaryDirectory(prefix="volant-sync-") as made:
            root = Path(made)
            self._mirror.write(commit, self._inner, root)
            try:
                reading = _whole(root)
            except Ended as error:
                # The directory is another one each turn, and says nothing to anybody.
                text = error.message.replace(f"{root}/", "").replace(str(root), "the commit")
                raise Ended(f"commit {commit[:12]}: {text}", error.exit_code) from error
            said = tuple(one._replace(file=str(Path(one.file).relative_to(root))) for one in reading.said)
        return Render(commit, said)


def within(path: str) -> str:
    """A path below a root, in its plainest form; empty for the root. Raises Ended when it leads out."""
    parts = PurePosixPath(path).parts
    if path.startswith("/") or ".." in parts:
        raise Ended(f"cannot read {plain(path)}: --path is a path below the root, without '..'", USAGE)
    return "/".join(parts)


def set_of(said: str | None, place: str) -> str:
    """The set: as said, else as the place is called."""
    found = said or place.rstrip("/").replace(":", "/").rpartition("/")[2].removesuffix(".git")
    if not is_name(found):
        raise Ended("cannot tell which set this is: nothing gives it a name. Say it with --set", USAGE)
    return found


def _whole(path: Path) -> Reading:
    reading = checked([str(path)])
    if reading.is_partial:
        raise Ended(f"cannot sync {plain(path)}: it is no directory", ERROR)
    return reading


def _digest(reading: Reading) -> str:
    values = [one.value for one in reading.said]
    return hashlib.sha256(msgspec.json.encode(values, order="deterministic")).hexdigest()
