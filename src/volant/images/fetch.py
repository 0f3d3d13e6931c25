"""The bytes behind a URL, as far as the operator's policy lets them.

    url ──▶ http, https ──▶ images.http  ──┐
       └──▶ file ─────────▶ images.local ──┴──▶ sink, never more than max_bytes, never longer than total_s

A fetch ends: what it may take in all, between two pieces, and in bytes is bounded here for every scheme. Nothing else
is fetched; `data:`, `ftp:` and the like are refused.
"""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path
from typing import Literal

from msgspec import Struct

from volant.clock import Clock
from volant.errors import ArtifactRefused, ArtifactUnavailable
from volant.images.addresses import Resolver, resolve
from volant.images.http import Announce, Limits, Sink, fetch_http, nobody_asks, shown
from volant.images.local import fetch_file


class FetchPolicy(Struct, frozen=True, kw_only=True):
    """What may be fetched. `allow`: hosts, addresses or networks that are not public; `roots`: for `file:`.

    `checksums`: whether whoever names what comes over a network has to say its digest too. `total_s` bounds the whole
    fetch, `idle_s` the wait for the next bytes, `max_bytes` the size. `spare_bytes` of the disk are not for artifacts:
    others write to it too, the database among them.
    """

    allow: tuple[str, ...] = ()
    roots: tuple[Path, ...] = ()
    max_bytes: int = 16 << 30
    spare_bytes: int = 256 << 20
    total_s: float = 1700.0
    idle_s: float = 30.0
    max_redirects: int = 5
    checksums: Literal["required", "optional"] = "optional"

    def check(self, url: str, checksum: str | None) -> None:
        """Raises ArtifactRefused for what may not be fetched without a checksum, and has none."""
        is_local = url.lower().startswith("file:")
        if checksum is None and not is_local and self.checksums == "required":
            raise ArtifactRefused(
                f"cannot fetch {shown(url)} without a checksum: nothing would tell whether it is what was meant. "
                "Add its sha256 to the manifest. The operator may do without (--artifact-checksums optional)."
            )


class Fetcher:
    """Opens URLs as the policy allows. Holds nothing between calls."""

    def __init__(
        self, policy: FetchPolicy, *, clock: Clock, resolver: Resolver = resolve, tls: ssl.SSLContext | None = None
    ) -> None:
        self._policy = policy
        self._clock = clock
        self._resolver = resolver
        self._tls = tls

    async def fetch(self, url: str, sink: Sink, announce: Announce = nobody_asks) -> None:
        """Give the whole content to `sink`, or raise ArtifactRefused or ArtifactUnavailable, possibly half-way."""
        size = 0

        async def bounded(chunk: bytes) -> None:
            nonlocal size
            size += len(chunk)
            if size > self._policy.max_bytes:
                raise ArtifactRefused(f"cannot fetch {shown(url)}: it is larger than {self._policy.max_bytes} bytes")
            await sink(chunk)

        try:
            async with asyncio.timeout_at(self._clock.monotonic() + self._policy.total_s):
                await self._open(url, bounded, announce)
        except TimeoutError:
            raise ArtifactUnavailable(f"cannot fetch {shown(url)}: not done in {self._policy.total_s:g} s") from None

    async def _open(self, url: str, sink: Sink, announce: Announce) -> None:
        if url.lower().startswith("file:"):
            await fetch_file(url, sink, announce, roots=self._policy.roots)
            return
        policy = self._policy
        limits = Limits(
            allow=policy.allow, max_bytes=policy.max_bytes, idle_s=policy.idle_s, max_redirects=policy.max_redirects
        )
        await fetch_http(url, sink, announce, limits=limits, resolver=self._resolver, tls=self._tls)
