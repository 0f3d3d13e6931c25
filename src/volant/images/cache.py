"""Artifacts on disk, named by the digest of their content.

    url ──fetch──▶ tmp-… (hashed as it is written, fsync) ──digest right?──▶ rename ──▶ sha256/<hex>
                                                      └──no──▶ removed

A file is in `sha256/` only when it is whole and its name is true, whatever happens in between: a crash leaves a `tmp-`
file at most, and `sweep` removes it. However many ask for the same artifact, it is fetched once, and all are told the
same. Files may be removed at any time; they are fetched again when they are wanted.

Deliberately absent: knowing who needs a file. The garbage controller does.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import hashlib
import os
import re
import stat
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import BinaryIO, Final, NoReturn, Protocol

from msgspec import Struct

from volant.clock import Clock
from volant.errors import ArtifactError, ArtifactRefused, ArtifactUnavailable, StartupError
from volant.images.fetch import Fetcher, FetchPolicy
from volant.images.http import Announce, Sink, shown

PREFIX: Final = "tmp-"
_DIGEST: Final = re.compile(r"[0-9a-f]{64}")


class Artifact(Struct, frozen=True, kw_only=True):
    """A file of the cache: complete, read-only, and its digest (sha256, hex) is right."""

    path: Path
    digest: str
    size_bytes: int


class Source(Protocol):
    """Where bytes come from."""

    async def fetch(self, url: str, sink: Sink, announce: Announce) -> None:
        """Give the whole content to `sink`, or raise ArtifactRefused or ArtifactUnavailable."""


class _Flight:
    """One fetch that several wait for. Neither outcome is set when the one who fetched was cancelled."""

    def __init__(self) -> None:
        self.is_over = asyncio.Event()
        self.artifact: Artifact | None = None
        self.error: ArtifactError | None = None
        self.received_bytes = 0
        self.total_bytes: int | None = None

    def announced(self, total_bytes: int) -> None:
        """So many bytes there will be, it is said."""
        self.total_bytes = total_bytes


class ArtifactCache:
    """One directory of artifacts. Lives on one loop. Raises StartupError when the directory cannot be made."""

    def __init__(
        self, root: Path, *, policy: FetchPolicy | None = None, clock: Clock, source: Source | None = None
    ) -> None:
        self._root = root
        self._files = root / "sha256"
        self._policy = policy or FetchPolicy()
        self._source = source or Fetcher(self._policy, clock=clock)
        self._flights: dict[tuple[str, str | None], _Flight] = {}
        self._scratch: set[Path] = set()
        try:
            self._files.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise StartupError(f"cannot keep artifacts in {self._files}: {error.strerror}") from error

    def path(self, digest: str) -> Path:
        """Where the file of that digest is, or would be. Raises ArtifactRefused for what is no sha256 in hex."""
        if _DIGEST.fullmatch(digest) is None:
            raise ArtifactRefused("cannot look up an artifact: its digest is not 64 lower-case hexadecimal digits")
        return self._files / digest

    def has(self, digest: str) -> bool:
        """Whether the file is there."""
        return self._find(digest) is not None

    def digests(self) -> Iterable[str]:
        """Every complete file, in order."""
        return sorted(entry.name for entry in self._files.iterdir() if _DIGEST.fullmatch(entry.name))

    def progress(self, url: str, checksum: str | None) -> tuple[int, int | None] | None:
        """Of the fetch that `ensure` waits for: bytes received, and all of them if announced. None: there is none."""
        flight = self._flights.get((url, checksum))
        return None if flight is None else (flight.received_bytes, flight.total_bytes)

    async def ensure(self, url: str, checksum: str | None) -> Artifact:
        """Have the artifact. A `checksum` (sha256, hex) that is here already costs no fetch, whatever the URL.

        Raises ArtifactRefused (wrong digest, too large, forbidden) or ArtifactUnavailable (worth another try).
        """
        known = self._find(checksum) if checksum is not None else None
        if known is not None:
            return known
        self._policy.check(url, checksum)
        key = (url, checksum)
        while (flight := self._flights.get(key)) is not None:
            await flight.is_over.wait()
            if flight.artifact is not None:
                return flight.artifact
            if flight.error is not None:
                raise type(flight.error)(flight.error.message, details=flight.error.details)
        flight = self._flights[key] = _Flight()
        try:
            flight.artifact = await self._fetch(url, checksum, flight)
        except ArtifactError as error:
            flight.error = error
            raise
        finally:
            del self._flights[key]
            flight.is_over.set()
        return flight.artifact

    async def remove(self, digest: str) -> None:
        """Remove the file. Harmless when it is gone; a guest that has it open keeps it."""
        try:
            self.path(digest).unlink(missing_ok=True)
        except OSError as error:
            raise ArtifactUnavailable(f"cannot remove the artifact {digest}: {error.strerror}") from error

    async def sweep(self) -> int:
        """Remove what a fetch left that a crash interrupted; how many files. Fetches under way are not touched."""
        left = [file for file in self._root.glob(PREFIX + "*") if file not in self._scratch]
        for file in left:
            try:
                file.unlink(missing_ok=True)
            except OSError as error:
                raise ArtifactUnavailable(f"cannot remove {file}: {error.strerror}") from error
        return len(left)

    def _find(self, digest: str) -> Artifact | None:
        path = self.path(digest)
        try:
            found = path.stat()
        except OSError:
            return None
        return Artifact(path=path, digest=digest, size_bytes=found.st_size) if stat.S_ISREG(found.st_mode) else None

    async def _fetch(self, url: str, checksum: str | None, flight: _Flight) -> Artifact:
        try:
            descriptor, name = tempfile.mkstemp(prefix=PREFIX, dir=self._root)
        except OSError as error:
            _no_room(url, error)
        scratch = Path(name)
        self._scratch.add(scratch)
        try:
            with os.fdopen(descriptor, "wb") as file:
                digest, size = await self._pour(url, file, flight)
            if checksum is not None and digest != checksum:
                raise ArtifactRefused(
                    f"cannot use {shown(url)}: its sha256 is {digest}, the manifest says {checksum}",
                    details={"expected": checksum, "actual": digest},
                )
            await asyncio.to_thread(self._keep, scratch, self.path(digest))
            return Artifact(path=self.path(digest), digest=digest, size_bytes=size)
        except OSError as error:
            _no_room(url, error)
        finally:
            await asyncio.to_thread(self._drop, scratch)

    async def _pour(self, url: str, file: BinaryIO, flight: _Flight) -> tuple[str, int]:
        """Write the content to `file`; its digest and size. It is on the disk when this returns."""
        digest = hashlib.sha256()

        def take(chunk: bytes) -> None:
            self._check_room(url, file, len(chunk))
            digest.update(chunk)
            file.write(chunk)

        async def sink(chunk: bytes) -> None:
            # In a thread: hashing and writing a large file would hold up the loop for seconds.
            await asyncio.to_thread(take, chunk)
            flight.received_bytes += len(chunk)

        await self._source.fetch(url, sink, flight.announced)
        file.flush()
        await asyncio.to_thread(os.fsync, file.fileno())
        return digest.hexdigest(), file.tell()

    def _check_room(self, url: str, file: BinaryIO, size: int) -> None:
        disk, spare = os.fstatvfs(file.fileno()), self._policy.spare_bytes
        if disk.f_bavail * disk.f_frsize < spare + size:
            raise ArtifactUnavailable(
                f"cannot keep {shown(url)} in the cache: less than {spare >> 20} MiB would be left on its disk"
            )

    def _drop(self, scratch: Path) -> None:
        with contextlib.suppress(OSError):  # because the next sweep removes what stays
            scratch.unlink(missing_ok=True)
        self._scratch.discard(scratch)

    def _keep(self, scratch: Path, path: Path) -> None:
        scratch.chmod(0o444)
        scratch.replace(path)
        # The name is as durable as the content only when its directory is on the disk too.
        directory = os.open(self._files, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)


def _no_room(url: str, error: OSError) -> NoReturn:
    is_full = error.errno in (errno.ENOSPC, errno.EDQUOT)
    why = "the disk is full" if is_full else (error.strerror or "I/O error")
    raise ArtifactUnavailable(f"cannot keep {shown(url)} in the cache: {why}") from error
