"""The artifact cache of a simulated host: its files outlive daemons, and nothing is fetched from anywhere."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from volant.errors import VolantError


class File(NamedTuple):
    """What the cache says of a file."""

    path: Path
    digest: str
    size_bytes: int


class WorldCache:
    """The artifact cache of a host: its files outlive daemons, and it has whatever it is asked for but what fails."""

    def __init__(self) -> None:
        self.files: set[str] = set()
        self.failing: dict[str, VolantError] = {}

    async def ensure(self, url: str, checksum: str | None) -> File:
        """As the port says; `failing` by URL."""
        await asyncio.sleep(0)
        if url in self.failing:
            raise self.failing[url]
        digest = hashlib.sha256(url.encode()).hexdigest()
        self.files.add(digest)
        return File(self.path(digest), digest, len(url))

    def has(self, digest: str) -> bool:
        """As the port says."""
        return digest in self.files

    def path(self, digest: str) -> Path:
        """As the port says."""
        return Path("/cache") / digest

    def digests(self) -> Iterable[str]:
        """As the port says."""
        return sorted(self.files)

    async def remove(self, digest: str) -> None:
        """As the port says."""
        self.files.discard(digest)
