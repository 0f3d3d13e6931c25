"""What a sync reads: one complete render, with a name that is another one when its content is.

    directory ──read, and found the same after──▶ render, named after its content
    mirror ──one commit──▶ a fresh directory ──read──▶ render, named after the commit

A render without flaws is all of the set. Any flaw is SyncFailed: there is no part of a render. What was read last is
kept, because most turns find what the turn before has found, and reading YAML takes longer than all the rest.
"""

from __future__ import annotations

import hashlib
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import NamedTuple, Protocol

import msgspec

from volant.gitops.failing import SyncFailed, WrongSource, plain
from volant.gitops.git import Mirror
from volant.manifests import Flaw, Reading, Said, check, fingerprint, read
from volant.model.meta import is_name

MOST_SHOWN = 100
"""Flaws in one message."""


class Render(NamedTuple):
    """The objects of one commit."""

    commit: str
    said: tuple[Said, ...]


class Source(Protocol):
    """Where renders come from."""

    def render(self) -> Render:
        """All of it as it is now. Blocks. Raises SyncFailed."""
        ...

    def end(self) -> None:
        """Have a render that is under way in another thread fail soon."""
        ...


class Known:
    """The last render, and of what it was."""

    def __init__(self) -> None:
        self._last: tuple[str, Render] | None = None

    def of(self, name: str) -> Render | None:
        """The render of that name, if it is the last one."""
        return self._last[1] if self._last is not None and self._last[0] == name else None

    def keep(self, name: str, render: Render) -> Render:
        """Keep it in place of the one before."""
        self._last = (name, render)
        return render


class Directory:
    """A directory on this host. Its commit is a digest of what the manifests in it say."""

    def __init__(self, path: Path) -> None:
        self._path, self._known = path, Known()

    def render(self) -> Render:
        """Raises SyncFailed also when it changes while it is read: half of a change is nothing that anybody meant."""
        before = self._fingerprint()
        known = self._known.of(before)
        if known is not None:
            return known
        reading = whole(self._path)
        if not before or self._fingerprint() != before:
            raise SyncFailed(f"cannot use {plain(self._path)}: it changes while it is read")
        return self._known.keep(before, Render(f"files-{_digest(reading)[:16]}", reading.said))

    def end(self) -> None:
        """Reading files is soon over."""

    def _fingerprint(self) -> str:
        try:
            return fingerprint(str(self._path))
        except OSError:
            return ""  # Why it cannot be read is said by the reading.


class Repository:
    """A directory in the newest commit of a branch. The mirror is held by whoever made this."""

    def __init__(self, mirror: Mirror, inner: str, known: Known | None = None) -> None:
        self._mirror, self._inner, self._known = mirror, inner, known or Known()

    def render(self) -> Render:
        """Fetches. Raises SyncFailed."""
        commit = self._mirror.fetched()
        known = self._known.of(commit)
        return known if known is not None else self._known.keep(commit, self._read(commit))

    def end(self) -> None:
        """End git."""
        self._mirror.end()

    def _read(self, commit: str) -> Render:
        try:
            return self._read_in(commit)
        except OSError as error:
            raise SyncFailed(f"cannot read commit {commit[:12]}: {plain(error.strerror or error)}") from error

    def _read_in(self, commit: str) -> Render:
        with TemporaryDirectory(prefix="volant-sync-") as made:
            root = Path(made)
            self._mirror.write(commit, self._inner, root)
            try:
                reading = whole(root)
            except SyncFailed as error:
                # The directory is another one each turn, and says nothing to anybody.
                text = error.message.replace(f"{root}/", "").replace(str(root), "the commit")
                raise SyncFailed(f"commit {commit[:12]}: {text}") from error
            said = tuple(one._replace(file=str(Path(one.file).relative_to(root))) for one in reading.said)
        return Render(commit, said)


def within(path: str) -> str:
    """A path below a root, in its plainest form; empty for the root. Raises WrongSource when it leads out."""
    parts = PurePosixPath(path).parts
    if path.startswith("/") or ".." in parts:
        raise WrongSource(f"cannot read {plain(path)}: it has to be a path below the root, without '..'")
    return "/".join(parts)


def set_of(said: str | None, place: str) -> str:
    """The set: as said, else as the place is called. Raises WrongSource."""
    found = said or place.rstrip("/").replace(":", "/").rpartition("/")[2].removesuffix(".git")
    if not is_name(found):
        raise WrongSource("cannot tell which set this is: nothing gives it a name. Say it with --set")
    return found


def whole(path: Path) -> Reading:
    """All manifests of a directory, without any flaw that can be seen here. Raises SyncFailed with every one."""
    reading = read([str(path)], bytes)
    order = {file: n for n, file in enumerate(reading.files)}
    flaws = sorted([*reading.flaws, *check(reading.said)], key=lambda flaw: order.get(flaw.file, -1))
    if flaws:
        raise SyncFailed(listed(flaws))
    if reading.is_partial:
        raise SyncFailed(f"cannot sync {plain(path)}: it is no directory")
    return reading


def listed(flaws: list[Flaw]) -> str:
    """Flaws as people read them, one a line."""
    shown = [plain(flaw) for flaw in flaws[:MOST_SHOWN]]
    more = len(flaws) - len(shown)
    counted = f"{len(flaws)} mistake{'s' if len(flaws) > 1 else ''}"
    return "\n".join([f"cannot use these manifests: {counted}", *shown, *([f"and {more} more"] if more else [])])


def _digest(reading: Reading) -> str:
    values = [one.value for one in reading.said]
    return hashlib.sha256(msgspec.json.encode(values, order="deterministic")).hexdigest()
