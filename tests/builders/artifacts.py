"""A web of artifacts and a cache that fetches from it, as the plugin and garbage controllers see them."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from volant.errors import ArtifactError, ArtifactRefused


class Cached(NamedTuple):
    """What the cache says of a file."""

    path: Path
    digest: str
    size_bytes: int


def digest_of(content: bytes) -> str:
    """Its sha256, in hex."""
    return hashlib.sha256(content).hexdigest()


class FakeCache:
    """`served` is what each URL gives: bytes, or the error that it raises. One in `held` answers when it is set."""

    def __init__(self) -> None:
        self.served: dict[str, bytes | ArtifactError] = {}
        self.held: dict[str, asyncio.Event] = {}
        self.files: dict[str, bytes] = {}
        self.asked: list[str] = []
        self.given_up: list[str] = []

    async def ensure(self, url: str, checksum: str | None) -> Cached:
        """As the port says."""
        self.asked.append(url)
        if url in self.held:
            try:
                await self.held[url].wait()
            except asyncio.CancelledError:
                self.given_up.append(url)
                raise
        content = self.served.get(url, url.encode())
        if isinstance(content, ArtifactError):
            raise content
        digest = digest_of(content)
        if checksum not in {None, digest}:
            raise ArtifactRefused(f"cannot use {url}: its digest is another")
        self.files[digest] = content
        return Cached(Path(digest), digest, len(content))

    def has(self, digest: str) -> bool:
        """As the port says."""
        return digest in self.files

    def path(self, digest: str) -> Path:
        """As the port says."""
        return Path(digest)

    def digests(self) -> Iterable[str]:
        """As the port says."""
        return list(self.files)

    async def remove(self, digest: str) -> None:
        """As the port says."""
        self.files.pop(digest, None)
