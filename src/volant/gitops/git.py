"""Git, as a sync uses it: a bare mirror of one branch, and the files of one commit out of it.

    URL ──fetch──▶ mirror ──ls-tree, cat-file──▶ manifests of one commit, in a directory of their own

Nothing is checked out: no hook, filter, attribute or submodule of the repository has a say. Git asks nobody anything,
speaks https and ssh and, to a path on this host, file; every call of it is bounded in time, is a process group of its
own, and ends soon when another thread says so. The mirror is one holder's at a time, and can be deleted when it is
nobody's.

The environment is handed in: what git is told by it is chosen here.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import IO, Final, NamedTuple, Self
from urllib.parse import urlsplit

from volant.gitops.failing import SyncFailed, WrongSource, plain
from volant.manifests.reading import MAX_FILES, SUFFIXES

FETCH_S: Final = 300.0
LOOK_S: Final = 60.0
LOOK_UP_S: Final = 0.2
"""How soon it is noticed that nobody waits for a git any more."""
MAX_TOTAL: Final = 64 << 20
"""Bytes of all manifests of a commit."""

HEAD: Final = "refs/volant/head"
_LINK, _MODULE = "120000", "160000"
_BRANCH: Final = re.compile(r"(?!-)[^\x00-\x20\x7f:*?\[\\^~+]{1,250}")
_SCP: Final = re.compile(r"(?:[A-Za-z0-9_][A-Za-z0-9_.-]*@)?[A-Za-z0-9][A-Za-z0-9.-]*:(?!/?/)[^\x00-\x20].*")
_USER: Final = re.compile(r"(?<=https)://[^/@\s]+@")
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
        """Without what may be a token: of https, whoever is before the host."""
        return _USER.sub("://***@", self.url)

    def cleared(self, said: str) -> str:
        """What git says of it, the same way."""
        return _USER.sub("://***@", said.replace(self.url, self.shown))


class Entry(NamedTuple):
    """A file of a commit."""

    mode: str
    blob: str
    size: int
    name: str


def address(url: str) -> Address:
    """What may be fetched. Raises WrongSource."""
    scheme = urlsplit(url).scheme if "://" in url else ""
    if scheme in ("https", "ssh"):
        if urlsplit(url).password is not None:
            raise WrongSource("cannot use this URL: it has a password in it. Give git a credential helper instead")
        return Address(url, "https:ssh")
    if scheme == "file":
        return Address(url, "file")
    if scheme or "::" in url or url.startswith("-") or not url:
        raise WrongSource(f"cannot use {plain(url)!r}: a repository is reached by https, ssh, or as a path here")
    if _SCP.fullmatch(url) and not Path(url).exists():
        return Address(url, "https:ssh")
    return Address(str(Path(url).resolve()), "file")


def state(environ: Mapping[str, str], *what: str) -> Path:
    """Where a user's mirror is kept unless somebody says: another place for each repository, branch, path and set."""
    base = environ.get("XDG_STATE_HOME", "")
    # A relative one counts as none, as the specification of base directories has it.
    home = Path(base) if base.startswith("/") else Path(environ.get("HOME") or Path.home()) / ".local" / "state"
    return home / "volant" / "sync" / hashlib.sha256("\0".join(what).encode()).hexdigest()[:32]


class Mirror:
    """A branch, as it was when it was fetched last. A context: inside it, the directory is this process's."""

    def __init__(self, source: Address, branch: str | None, home: Path, environ: Mapping[str, str]) -> None:
        """Raises WrongSource for a name that no branch can have."""
        if branch is not None and not _BRANCH.fullmatch(branch):
            raise WrongSource(f"cannot follow {plain(branch)!r}: no branch can be called so")
        self._source = source
        self._ref = "HEAD" if branch is None else f"refs/heads/{branch}"
        self._home, self._git_dir = home, home / "mirror"
        self._environ = _told(environ, source.protocols)
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
                f"cannot use {plain(self._home)}: another sync does. Each needs a directory of its own"
            ) from None
        except OSError as error:
            self.__exit__()
            raise SyncFailed(f"cannot use {plain(self._home)}: {error.strerror}") from error
        return self

    def __exit__(self, *_: object) -> None:
        if self._lock is not None:
            self._lock.close()

    def fetched(self) -> str:
        """The commit that the branch is at now, wherever it was before."""
        if not (self._git_dir / "HEAD").exists():
            self._git("init", "--bare", "--quiet", "--template=", str(self._git_dir))
        options = ("--quiet", "--depth=1", "--no-tags", "--no-write-fetch-head", "--no-recurse-submodules", "--force")
        self._git("fetch", *options, "--", self._source.url, f"+{self._ref}:{HEAD}", bound_s=FETCH_S)
        return self._git("rev-parse", "--verify", "--quiet", f"{HEAD}^{{commit}}").decode().strip()

    def write(self, commit: str, inner: str, root: Path) -> None:
        """The manifests below `inner`, and the links among them, into an empty directory. Raises SyncFailed."""
        entries = [one for one in self._listed(commit, inner) if _counts(one)]
        files = [one for one in entries if one.mode == _LINK or Path(one.name).suffix in SUFFIXES]
        names = {one.name for one in files}
        # Git itself keeps no tree from being like that: what is below a link would be written wherever it leads.
        if any(str(above) in names for name in names for above in PurePosixPath(name).parents):
            raise SyncFailed(f"cannot use commit {commit[:12]}: a name in it is both a file and a directory")
        if len(files) > MAX_FILES or sum(one.size for one in files) > MAX_TOTAL:
            raise SyncFailed(f"cannot read commit {commit[:12]}: its manifests are more than a host can be told")
        try:
            for one, content in zip(files, self._contents(files), strict=True):
                _put(root / one.name, content, is_link=one.mode == _LINK)
        except (OSError, ValueError) as error:
            raise SyncFailed(f"cannot read commit {commit[:12]}: {plain(error)}") from error
        # Only now: one link may go through another.
        for one in files:
            if one.mode == _LINK and not Path(os.path.realpath(root / one.name)).is_relative_to(root.resolve()):
                raise SyncFailed(f"cannot use commit {commit[:12]}: the link {plain(one.name)} leads out of it")

    def _listed(self, commit: str, inner: str) -> Iterator[Entry]:
        tree = f"{commit}:{inner}"
        try:
            kind = self._git("cat-file", "-t", tree).strip()
        except SyncFailed:
            kind = b""
        if kind != b"tree":
            raise SyncFailed(f"cannot sync: commit {commit[:12]} has no directory {plain(inner)}")
        for line in self._git("ls-tree", "-r", "-l", "-z", "--full-tree", tree).split(b"\0"):
            if line:
                head, _, name = line.partition(b"\t")
                mode, _, blob, size = head.decode().split()
                yield Entry(mode, blob, int(size) if size.isdecimal() else 0, os.fsdecode(name))

    def _contents(self, files: Sequence[Entry]) -> Iterator[bytes]:
        found = self._git("cat-file", "--batch", given="".join(f"{one.blob}\n" for one in files).encode())
        at = 0
        for one in files:
            start = found.index(b"\n", at) + 1
            at = start + one.size + 1
            yield found[start : start + one.size]

    def _git(self, *words: str, given: bytes = b"", bound_s: float = LOOK_S) -> bytes:
        child = self._begun(["git", *_SAFE, f"--git-dir={self._git_dir}", *words])
        try:
            found, said = self._heard(child, given, words[0], bound_s)
        finally:
            # Whatever ends the wait, a signal too, ends git, and with it what it has begun: ssh, a credential helper.
            _ended(child)
        if child.returncode:
            reason = _reason(said.decode(errors="replace")) or f"status {child.returncode}"
            raise SyncFailed(f"cannot {words[0]} {plain(self._source.shown)}: {plain(self._source.cleared(reason))}")
        return found

    def _begun(self, command: list[str]) -> subprocess.Popen[bytes]:
        if self._is_ended:
            raise SyncFailed("cannot run git: it was told to end")
        pipe = subprocess.PIPE
        try:
            # A session of its own has no terminal on which git or ssh could ask.
            return subprocess.Popen(
                command, stdin=pipe, stdout=pipe, stderr=pipe, env=self._environ, start_new_session=True
            )
        except OSError as error:
            raise SyncFailed(f"cannot run git: {error.strerror}. Is it installed?") from error

    def _heard(self, child: subprocess.Popen[bytes], given: bytes, word: str, bound_s: float) -> tuple[bytes, bytes]:
        """What it says on both outputs, once it has ended."""
        said: bytes | None = given
        while True:
            try:
                return child.communicate(said, timeout=min(LOOK_UP_S, bound_s))
            except subprocess.TimeoutExpired:
                # Looked up here and not killed by who ends it: only the thread that waits for a child knows that its
                # number is still its own.
                said, bound_s = None, bound_s - LOOK_UP_S
            if self._is_ended:
                raise SyncFailed(f"cannot {word} {plain(self._source.shown)}: it was told to end")
            if bound_s <= 0:
                raise SyncFailed(f"cannot {word} {plain(self._source.shown)}: git takes too long")


def _ended(child: subprocess.Popen[bytes]) -> None:
    """It and all that it has begun are gone."""
    if child.poll() is None:
        with suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
        child.wait()
    for pipe in (child.stdin, child.stdout, child.stderr):
        if pipe is not None:
            with suppress(OSError):
                pipe.close()


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
