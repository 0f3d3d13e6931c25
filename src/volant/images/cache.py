"""Artifacts on disk, named by the digest of their content.

    url ──fetch──▶ tmp-… (hashed as it is written, fsync) ──digest right?──▶ rename ──▶ sha256/<hex>
                                                      └──no──▶ removed

A file is in `sha256/` only when it is whole and its name is true, whatever happens in between. However many ask for the
same artifact, it is fetched once. Files may be removed at any time; they are fetched again when they are wanted.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import hashlib
import os
import tempfile
from collections.abc import AsyncIterator, Iterable
from pathlib import Path
from typing import BinaryIO, Protocol

from msgspec import Struct

from volant.clock import Clock
from volant.errors import ArtifactError, ArtifactRefused, ArtifactUnavailable
from volant.images.fetch import Fetcher, FetchPolicy

PREFIX = "tmp-"


class Artifact(Struct, frozen=True, kw_only=True):
    """A file of the cache: complete, read-only, and its digest (sha256, hex) is right."""

    path: Path
    digest: str
    size_bytes: int


class Source(Protocol):
    """Where bytes come from."""

    def chunks(self, url: str) -> AsyncIterator[bytes]:
        """The content, piece by piece."""


class ArtifactCache:
    """One directory of artifacts. Lives on one loop."""

    def __init__(
        self, root: Path, *, policy: FetchPolicy | None = None, clock: Clock, source: Source | None = None
    ) -> None:
        self._root = root
        self._files = root / "sha256"
        self._clock = clock
        self._source = source or Fetcher(policy or FetchPolicy())
        self._locks: dict[tuple[str, str | None], asyncio.Lock] = {}
        self._files.mkdir(mode=0o700, parents=True, exist_ok=True)

    def path(self, digest: str) -> Path:
        """Where the file of that digest is, or would be."""
        return self._files / digest

    def has(self, digest: str) -> bool:
        """Whether the file is there."""
        return self.path(digest).is_file()

    def digests(self) -> Iterable[str]:
        """Every complete file."""
        return sorted(entry.name for entry in self._files.iterdir())

    async def ensure(self, url: str, checksum: str | None) -> Artifact:
        """Have the artifact. `checksum` (hex) that is here already costs no fetch.

        Raises ArtifactRefused (wrong digest, too large, forbidden) or ArtifactUnavailable (worth another try).
        """
        key = (url, checksum)
        lock = self._locks.setdefault(key, asyncio.Lock())
        try:
            async with lock:
                if checksum is not None and self.has(checksum):
                    return self._known(checksum)
                return await self._fetch(url, checksum)
        finally:
            if not lock.locked():
                self._locks.pop(key, None)

    async def remove(self, digest: str) -> None:
        """Remove the file. Harmless when it is gone."""
        self.path(digest).unlink(missing_ok=True)

    async def sweep(self) -> int:
        """Remove what an interrupted fetch left; how many files. Only while nothing is being fetched: at start."""
        left = list(self._root.glob(PREFIX + "*"))
        for file in left:
            file.unlink(missing_ok=True)
        return len(left)

    def _known(self, digest: str) -> Artifact:
        return Artifact(path=self.path(digest), digest=digest, size_bytes=self.path(digest).stat().st_size)

    async def _fetch(self, url: str, checksum: str | None) -> Artifact:
        try:
            descriptor, name = tempfile.mkstemp(prefix=PREFIX, dir=self._root)
        except OSError as error:
            raise _no_room(url, error) from None
        scratch = Path(name)
        try:
            with os.fdopen(descriptor, "wb") as file:
                digest = await self._pour(url, file)
            if checksum is not None and digest != checksum:
                raise ArtifactRefused(
                    f"cannot use {url}: its sha256 is {digest}, the manifest says {checksum}",
                    details={"expected": checksum, "actual": digest},
                )
            await asyncio.to_thread(self._keep, scratch, digest)
            return self._known(digest)
        except OSError as error:
            raise _no_room(url, error) from None
        finally:
            await asyncio.to_thread(scratch.unlink, missing_ok=True)

    async def _pour(self, url: str, file: BinaryIO) -> str:
        """Write the content to `file`, on the disk when this returns; its digest."""
        digest = hashlib.sha256()

        def take(chunk: bytes) -> None:
            digest.update(chunk)
            file.write(chunk)

        chunks = self._source.chunks(url)
        try:
            async for chunk in chunks:
                # In a thread: hashing and writing a large file would hold up the loop for seconds.
                await asyncio.to_thread(take, chunk)
        finally:
            with contextlib.suppress(ArtifactError):
                await chunks.aclose()  # type: ignore[attr-defined]  # because an iterator left half-way holds its socket
        file.flush()
        await asyncio.to_thread(os.fsync, file.fileno())
        return digest.hexdigest()

    def _keep(self, scratch: Path, digest: str) -> None:
        scratch.chmod(0o444)
        scratch.replace(self.path(digest))
        directory = os.open(self._files, os.O_RDONLY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)


def _no_room(url: str, error: OSError) -> ArtifactUnavailable:
    why = "the disk is full" if error.errno in (errno.ENOSPC, errno.EDQUOT) else (error.strerror or "I/O error")
    return ArtifactUnavailable(f"cannot keep {url} in the cache: {why}")
