"""Debian packages as files of a tree: chosen and fetched by the host's own apt, never installed.

    names ──apt-get -s install, nothing installed──▶ name, version ──apt-cache show──▶ digest, size
          ──apt-get download──▶ <cache>/*.deb, digest checked ──debs──▶ Tree

apt sees a host on which nothing is installed, with the host's own sources, lists, keys, pins and proxies. No script of
a package runs: what those would have made (users, links, directories) a recipe says, so that what is in an image is
known from its inputs, and so that nobody needs to be root. A package that is in the cache with the right digest is not
fetched again.

Deliberately absent: recommended packages, maintainer scripts, triggers, a package database in the guest.
"""

from __future__ import annotations

import re
import subprocess
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from hashlib import file_digest
from pathlib import Path
from typing import Final

from volant.errors import ArtifactRefused, ArtifactUnavailable, StartupError
from volant.images.build.progress import Progress, silent
from volant.images.build.tools import DEBIAN, TIMEOUT_S, Tools, found, last_words, run

_NAME: Final = re.compile(r"[a-z0-9][a-z0-9.+-]*[a-z0-9+](=[0-9A-Za-z.+:~-]+)?")
_INST: Final = re.compile(r"^Inst (\S+) \((\S+) ", re.MULTILINE)
_POLL_S: Final = 0.2


@dataclass(frozen=True, slots=True)
class Package:
    """One package of an image. `sha256` and `size` (bytes) are of its file, as the archive's signed lists say."""

    name: str
    version: str
    architecture: str
    sha256: str
    size: int

    @property
    def file(self) -> str:
        """What apt-get calls its file."""
        return f"{self.name}_{self.version.replace(':', '%3a')}_{self.architecture}.deb"


class Apt:
    """The host's apt, with a cache of ours. `home` is where files are kept; it is made."""

    def __init__(self, home: Path, tools: Tools = DEBIAN) -> None:
        self._tools = tools
        self._home = home
        try:
            (home / "archives/partial").mkdir(parents=True, exist_ok=True)
            (home / "status").touch()
        except OSError as error:
            raise StartupError(f"cannot keep packages in {home}: {error.strerror}") from error

    def choose(self, names: Sequence[str], without: Sequence[str] = ()) -> tuple[list[Package], list[str]]:
        """The packages that `names` take, sorted; and the patterns of `without` that left nothing out.

        Raises ArtifactRefused for a name that apt does not know or whose needs contradict each other.
        """
        for name in names:
            if _NAME.fullmatch(name) is None:
                raise ArtifactRefused(f"cannot take {name!r} for the name of a Debian package")
        said = self._apt(self._tools.apt_get, "-s", "-qq", "install", *names)
        chosen = dict(_INST.findall(said))
        left_out = {name for name in chosen if any(fnmatchcase(name, pattern) for pattern in without)}
        idle = [pattern for pattern in without if not any(fnmatchcase(name, pattern) for name in chosen)]
        wanted = [f"{name}={version}" for name, version in chosen.items() if name not in left_out]
        return (self._described(wanted) if wanted else []), idle

    def fetch(self, packages: Sequence[Package], progress: Progress = silent) -> list[Path]:
        """Their files, in the order of `packages`. Blocks for as long as downloads take.

        Raises ArtifactUnavailable when a package cannot be had as the lists have it.
        """
        missing = [package for package in packages if not self._is_here(package)]
        if missing:
            self._download(missing, progress)
        for package in missing:
            if not self._is_here(package):
                raise ArtifactUnavailable(f"cannot fetch {package.name} {package.version}. Run: apt-get update")
        return [self._path(package) for package in packages]

    def _path(self, package: Package) -> Path:
        return self._home / "archives" / package.file

    def _is_here(self, package: Package) -> bool:
        try:
            with self._path(package).open("rb") as stream:
                return file_digest(stream, "sha256").hexdigest() == package.sha256
        except FileNotFoundError:
            return False

    def _download(self, packages: Sequence[Package], progress: Progress) -> None:
        total = sum(package.size for package in packages)
        paths = [self._path(package) for package in packages]
        for path in paths:
            path.unlink(missing_ok=True)
        wanted = [f"{package.name}={package.version}" for package in packages]
        command = [found(self._tools.apt_get), *self._options(), "-qq", "download", *wanted]
        with (
            tempfile.TemporaryFile("w+", errors="replace") as said,
            subprocess.Popen(command, cwd=self._home / "archives", stdout=subprocess.DEVNULL, stderr=said) as process,
        ):
            try:
                for _ in range(int(TIMEOUT_S / _POLL_S)):
                    progress("fetching packages", sum(path.stat().st_size for path in paths if path.exists()), total)
                    if _ends_within(process, _POLL_S):
                        break
            finally:
                process.kill()
            process.wait()
            if process.returncode != 0:
                said.seek(0)
                raise ArtifactUnavailable(f"cannot fetch packages: {last_words(said.read())}. Run: apt-get update")
        progress("fetching packages", total, total)

    def _described(self, wanted: Sequence[str]) -> list[Package]:
        said = self._apt(self._tools.apt_cache, "show", *wanted)
        # Two archives may have the same version: the first is the one that apt prefers.
        packages: dict[str, Package] = {}
        for fields in map(_fields, said.split("\n\n")):
            if "SHA256" in fields:
                package = _package(fields)
                packages.setdefault(package.name, package)
        return [packages[name] for name in sorted(packages)]

    def _apt(self, tool: str, *arguments: str) -> str:
        done = run([tool, *self._options(), *arguments])
        if done.returncode != 0:
            said = last_words(done.stderr).removeprefix("E: ")
            raise ArtifactRefused(f"cannot choose packages: {said}. If lists are missing or old, run: apt-get update")
        return done.stdout

    def _options(self) -> Iterator[str]:
        yield from (f"-oDir::State::status={self._home / 'status'}", f"-oDir::Cache={self._home}")
        yield from ("-oAPT::Install-Recommends=0", "-oAPT::Install-Suggests=0", "-oDebug::NoLocking=1")
        yield "-oAPT::Get::AllowUnauthenticated=0"


def _ends_within(process: subprocess.Popen[bytes], timeout_s: float) -> bool:
    try:
        process.wait(timeout_s)
    except subprocess.TimeoutExpired:
        return False
    return True


def _fields(stanza: str) -> dict[str, str]:
    lines = (line.partition(": ") for line in stanza.splitlines() if line and not line[0].isspace())
    return {key: value for key, _, value in lines}


def _package(fields: dict[str, str]) -> Package:
    return Package(fields["Package"], fields["Version"], fields["Architecture"], fields["SHA256"], int(fields["Size"]))


def listed(packages: Iterable[Package]) -> str:
    """What an image is made of: a line with name, version, architecture and digest for each package."""
    return "".join(f"{p.name} {p.version} {p.architecture} sha256:{p.sha256}\n" for p in packages)
