"""Git, as a sync uses it: a bare mirror of one branch, and the files of one commit out of it.

    URL ──fetch──▶ mirror ──ls-tree, cat-file──▶ manifests of one commit, in a directory of their own

Nothing is checked out: no hook, filter, attribute or submodule of the repository has a say. Git asks nobody anything,
speaks https and ssh and, to a path on this host, file; every call of it is bounded in time and in what it says, and
ends soon when another thread says so. The mirror is one holder's at a time, a git that outlives who began it is one
too, and can be deleted when it is nobody's: one that is damaged is made anew.

The environment is handed in: what git is told by it is chosen here.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import IO, Final, NamedTuple, Self
from urllib.parse import urlsplit

from volant.clock import Clock, SystemClock
from volant.gitops.child import Terms, run
from volant.gitops.failing import SyncFailed, WrongSource, plain
from volant.manifests.reading import MAX_FILES, SUFFIXES

FETCH_S: Final = 300.0
LOOK_S: Final = 60.0
MAX_LISTED: Final = 32 << 20
"""Bytes of the names of all files below a path of a commit: some 300 000 files. A tree may name itself over and over,
so that a small repository has more files than a host has memory."""
MAX_SAID: Final = 1 << 20
"""Bytes of any other answer."""
MAX_TOTAL: Final = 64 << 20
"""Bytes of all manifests of a commit."""

HEAD: Final = "refs/volant/head"
_HEADING: Final = 128
"""More bytes than stand before each file."""
_LINK, _MODULE = "120000", "160000"
_BRANCH: Final = re.compile(r"(?!-)[^\x00-\x20\x7f:*?\[\\^~+]{1,250}")
_SCP: Final = re.compile(r"(?:[A-Za-z0-9_][A-Za-z0-9_.-]*@)?[A-Za-z0-9][A-Za-z0-9.-]*:(?!/?/)[^\x00-\x20].*")
_USER: Final = re.compile(r"(?i)\b(https?)://[^/\s]*@")
_QUERY: Final = re.compile(r"(?i)\b(https?://[^\s?#'\"]*)[?#][^\s'\"]*")
_SECRET: Final = re.compile(r"(?i)(?<=://)[^/\s]*@")
_SAFE: Final = (
    *("-c", "core.hooksPath=/dev/null", "-c", "core.fsmonitor=false", "-c", "protocol.ext.allow=never"),
    *("-c", "gc.autoDetach=false", "-c", "maintenance.autoDetach=false", "-c", "fetch.recurseSubmodules=false"),
)
_HANDED_ON: Final = ("GIT_SSH", "GIT_SSH_COMMAND", "GIT_SSH_VARIANT", "GIT_SSL_CAINFO", "GIT_CONFIG_GLOBAL")


class Address(NamedTuple):
    """A repository, and the protocols that git may speak to reach it."""

    url: str
    protocols: str

    @property
    def shown(self) -> str:
        """Without what may be a token: of https, whoever is before the host, and what is behind the path."""
        return _without_tokens(self.url)

    def cleared(self, said: str) -> str:
        """What git says of it, the same way."""
        return _without_tokens(said.replace(self.url, self.shown))


class Entry(NamedTuple):
    """A file of a commit."""

    mode: str
    blob: str
    size: int
    name: str


def _without_tokens(said: str) -> str:
    return _QUERY.sub(r"\1?***", _USER.sub(r"\1://***@", said))


def address(url: str) -> Address:
    """What may be fetched, its scheme in lower case, which is all that git knows. Raises WrongSource."""
    scheme, mark, rest = url.partition("://")
    scheme = scheme.lower() if mark else ""
    if scheme in ("https", "ssh"):
        if not _is_readable(url):
            raise WrongSource("cannot use this URL: it is none that could be read")
        if urlsplit(url).password is not None:
            raise WrongSource("cannot use this URL: it has a password in it. Give git a credential helper instead")
        return Address(f"{scheme}://{rest}", "https:ssh")
    if scheme == "file":
        return Address(f"{scheme}://{rest}", "file")
    if scheme or "::" in url or url.startswith("-") or not url:
        shown = plain(_SECRET.sub("***@", _without_tokens(url)))
        raise WrongSource(f"cannot use {shown!r}: a repository is reached by https, ssh, or as a path here")
    if _SCP.fullmatch(url) and not Path(url).exists():
        return Address(url, "https:ssh")
    return Address(str(Path(url).resolve()), "file")


def _is_readable(url: str) -> bool:
    try:
        return url.isprintable() and " " not in url and bool(urlsplit(url).hostname)
    except ValueError:
        return False


def state(environ: Mapping[str, str], *what: str) -> Path:
    """Where a user's mirror is kept unless somebody says: another place for each repository, branch, path and set."""
    base = environ.get("XDG_STATE_HOME", "")
    # A relative one counts as none, as the specification of base directories has it.
    home = Path(base) if base.startswith("/") else Path(environ.get("HOME") or Path.home()) / ".local" / "state"
    return home / "volant" / "sync" / hashlib.sha256("\0".join(what).encode()).hexdigest()[:32]


class Mirror:
    """A branch, as it was when it was fetched last. A context: inside it, the directory is this process's."""

    def __init__(
        self,
        source: Address,
        branch: str | None,
        home: Path,
        environ: Mapping[str, str],
        clock: Clock | None = None,
    ) -> None:
        """Raises WrongSource for a name that no branch can have."""
        if branch is not None and not _BRANCH.fullmatch(branch):
            raise WrongSource(f"cannot follow {plain(branch)!r}: no branch can be called so")
        self._source = source
        self._ref = "HEAD" if branch is None else f"refs/heads/{branch}"
        self._home, self._git_dir = home, home / "mirror"
        self._environ = _told(environ, source.protocols)
        self._clock = clock or SystemClock()
        self._lock: IO[bytes] | None = None
        self._is_ended = False

    def end(self) -> None:
        """Have a git that runs ended soon, and let none run any more. From any thread."""
        self._is_ended = True

    def __enter__(self) -> Self:
        try:
            self._home.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._lock = (self._home / "lock").open("ab")
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # What an ended git has left; nobody else can be using them.
            for left in self._git_dir.rglob("*.lock"):
                left.unlink(missing_ok=True)
        except BlockingIOError:
            self.__exit__()
            raise SyncFailed(
                f"cannot use {plain(self._home)}: another sync does, or a git that one has left. Each sync needs a "
                "directory of its own"
            ) from None
        except OSError as error:
            self.__exit__()
            raise SyncFailed(f"cannot use {plain(self._home)}: {error.strerror}") from error
        return self

    def __exit__(self, *_: object) -> None:
        if self._lock is None:
            return
        # Not by closing alone: a helper that git has left (a cache of credentials) has the descriptor too.
        with suppress(OSError):
            fcntl.flock(self._lock, fcntl.LOCK_UN)
        self._lock.close()
        self._lock = None

    def fetched(self) -> str:
        """The commit that the branch is at now, wherever it was before. A damaged mirror is made anew, once."""
        try:
            return self._fetched()
        except _Refused:
            # Only then: a repository that cannot be reached is not fetched whole at each turn.
            if not self._is_damaged():
                raise
        self._discard()
        return self._fetched()

    def _fetched(self) -> str:
        if not (self._git_dir / "HEAD").exists():
            self._init()
        options = ("--quiet", "--depth=1", "--no-tags", "--no-write-fetch-head", "--no-recurse-submodules", "--force")
        self._git("fetch", *options, "--", self._source.url, f"+{self._ref}:{HEAD}", bound_s=FETCH_S)
        return self._git("rev-parse", "--verify", "--quiet", f"{HEAD}^{{commit}}").decode().strip()

    def _init(self) -> None:
        """Beside its place first, because a half-made one would be taken for a whole."""
        made = self._home / "mirror.new"
        _remove(made)
        self._git("init", "--bare", "--quiet", "--template=", str(made), at=made)
        self._discard()
        try:
            made.rename(self._git_dir)
        except OSError as error:
            raise SyncFailed(f"cannot use {plain(self._home)}: {error.strerror}") from error

    def _discard(self) -> None:
        _remove(self._git_dir)

    def _is_damaged(self) -> bool:
        """Whether git finds fault with the mirror itself. Nobody is asked for that but the disk."""
        try:
            self._git("fsck", "--connectivity-only", "--no-dangling", "--no-progress", most=MAX_LISTED)
        except _Refused:
            return True
        except SyncFailed:
            return False  # It was ended, or takes too long: then nothing is known.
        return False

    def write(self, commit: str, inner: str, root: Path) -> None:
        """The manifests below `inner`, and the links among them, into an empty directory. Raises SyncFailed."""
        try:
            self._write(commit, inner, root)
        except _Refused:
            # All of this is on the disk here: where git cannot read it, the next turn has to have it fetched again.
            self._discard()
            raise

    def _write(self, commit: str, inner: str, root: Path) -> None:
        files = self._files(commit, inner)
        names = {one.name for one in files}
        # Git itself keeps no tree from being like that: what is below a link would be written wherever it leads.
        if any(str(above) in names for name in names for above in PurePosixPath(name).parents):
            raise SyncFailed(f"cannot use commit {commit[:12]}: a name in it is both a file and a directory")
        try:
            for one, content in zip(files, self._contents(files), strict=True):
                _put(root / one.name, content, is_link=one.mode == _LINK)
        except (OSError, ValueError) as error:
            raise SyncFailed(f"cannot read commit {commit[:12]}: {plain(error)}") from error
        # Only now: one link may go through another.
        for one in files:
            if one.mode == _LINK and not Path(os.path.realpath(root / one.name)).is_relative_to(root.resolve()):
                raise SyncFailed(f"cannot use commit {commit[:12]}: the link {plain(one.name)} leads out of it")

    def _files(self, commit: str, inner: str) -> list[Entry]:
        files: list[Entry] = []
        total = 0
        for one in self._listed(commit, inner):
            if _counts(one) and (one.mode == _LINK or Path(one.name).suffix in SUFFIXES):
                files.append(one)
                total += one.size
            if len(files) > MAX_FILES or total > MAX_TOTAL:
                raise SyncFailed(f"cannot read commit {commit[:12]}: its manifests are more than a host can be told")
        return files

    def _listed(self, commit: str, inner: str) -> Iterator[Entry]:
        tree = f"{commit}:{inner}"
        try:
            kind = self._git("cat-file", "-t", tree).strip()
        except _Refused:
            if self._is_damaged():
                raise
            kind = b""
        if kind != b"tree":
            raise SyncFailed(f"cannot sync: commit {commit[:12]} has no directory {plain(inner)}")
        listing = self._git("ls-tree", "-r", "-l", "-z", "--full-tree", tree, most=MAX_LISTED)
        for line in re.finditer(rb"[^\0]+", listing):
            head, _, name = line.group().partition(b"\t")
            mode, _, blob, size = head.decode().split()
            yield Entry(mode, blob, int(size) if size.isdecimal() else 0, os.fsdecode(name))

    def _contents(self, files: Sequence[Entry]) -> Iterator[bytes]:
        most = MAX_TOTAL + _HEADING * (len(files) + 1)
        found = self._git("cat-file", "--batch", given="".join(f"{one.blob}\n" for one in files).encode(), most=most)
        at = 0
        for one in files:
            start = found.index(b"\n", at) + 1
            if found[at : start - 1] != f"{one.blob} blob {one.size}".encode():
                raise _Refused("cannot read its files: one of them is missing")
            at = start + one.size + 1
            yield found[start : start + one.size]

    def _git(
        self, *words: str, given: bytes = b"", bound_s: float = LOOK_S, most: int = MAX_SAID, at: Path | None = None
    ) -> bytes:
        held = () if self._lock is None else (self._lock.fileno(),)
        terms = Terms(self._environ, bound_s, most, given, held)
        command = ["git", *_SAFE, f"--git-dir={at or self._git_dir}", *words]
        what = f"cannot {words[0]} {plain(self._source.shown)}"
        try:
            said = run(command, terms, lambda: self._is_ended, self._clock)
        except SyncFailed as error:
            raise SyncFailed(f"{what}: {error.message}") from error
        if said.status:
            reason = _reason(said.complaint.decode(errors="replace")) or f"status {said.status}"
            raise _Refused(f"{what}: {plain(self._source.cleared(reason))}")
        return said.out


class _Refused(SyncFailed):
    """Git itself says no, for whatever reason: the repository's, or its mirror's."""


def _remove(directory: Path) -> None:
    try:
        shutil.rmtree(directory)
    except FileNotFoundError:
        return
    except OSError as error:
        raise SyncFailed(f"cannot use {plain(directory)}: {error.strerror}") from error


def _told(environ: Mapping[str, str], protocols: str) -> dict[str, str]:
    # What git is told by variables (another repository, a prompt, a trace) is meant for other calls of it.
    kept = {k: v for k, v in environ.items() if not k.startswith("GIT_") and k not in ("SSH_ASKPASS", "DISPLAY")}
    kept |= {name: environ[name] for name in _HANDED_ON if name in environ}
    # GIT_SSH_COMMAND would go before a GIT_SSH of the user's.
    ssh = {} if "GIT_SSH" in environ else {"GIT_SSH_COMMAND": "ssh -oBatchMode=yes"}
    return {
        **ssh,
        **kept,
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_ALLOW_PROTOCOL": protocols,
        "GIT_NO_REPLACE_OBJECTS": "1",
        "LC_ALL": "C",
    }


def _reason(said: str) -> str:
    """The line of git that says why: what comes before it may be the chatter of ssh."""
    lines = said.strip().splitlines() or [""]
    return next((line for line in lines if line.startswith(("fatal:", "error:"))), lines[-1])


def _counts(one: Entry) -> bool:
    """Whether the reader of a directory would look at it. Raises SyncFailed of what cannot be seen into."""
    parts = one.name.split("/")
    if "" in parts:
        raise SyncFailed(f"cannot use this commit: no file of it can be called {plain(one.name)!r}")
    if any(part.startswith(".") for part in parts):
        return False  # Which is `..` too.
    if one.mode == _MODULE:
        # Left out silently, what is in it would be pruned.
        raise SyncFailed(f"cannot sync: {plain(one.name)} is a submodule, which is not followed")
    return True


def _put(path: Path, content: bytes, *, is_link: bool) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if is_link:
        path.symlink_to(os.fsdecode(content))
    else:
        with path.open("xb") as file:
            file.write(content)
