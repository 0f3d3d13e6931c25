"""Images from a registry, by its HTTP API, into an OCI layout on the disk.

    reference ──▶ manifest (a list? that of linux/amd64) ──▶ config, layers ──▶ blobs/sha256/…, index.json
                       └── 401: a token from where the registry says, for reading this image ──┘

The host that the reference names is asked whatever its address is, because the person who builds has named it. Where it
sends us (redirects, the address of the token) is vetted like every address of an artifact, and the token goes to the
registry alone. Every blob has the digest and the size that its manifest says, or the pull ends and nothing is used.

Deliberately absent: credentials, pushing, lists of tags, and keeping anything for the next pull.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import re
import ssl
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final
from urllib.parse import urlencode

import msgspec

from volant.errors import ArtifactRefused, ArtifactUnavailable
from volant.images.addresses import Resolver, resolve
from volant.images.http import Limits, nobody_asks, open_http, parse_hop, pour
from volant.images.oci.layout import INDEX, MARK, blob_name
from volant.images.oci.manifest import (
    ACCEPTED,
    MAX_LISTS,
    MAX_MANIFEST_BYTES,
    OCI_MANIFEST,
    Descriptor,
    Manifest,
    check,
    choose,
    parse_manifest,
    parse_object,
)
from volant.images.oci.reference import Reference

Progress = Callable[[str, int, int | None], None]
"""What is being done, bytes done, bytes in all where that is known."""

TOTAL_S: Final = 1700.0
IDLE_S: Final = 30.0
_MAX_TOKEN_BYTES: Final = 64 << 10
_PARAMETER: Final = re.compile(r'([a-z]+)="([^"\\]*)"')
_TOKEN: Final = re.compile(r"[A-Za-z0-9._~+/=-]+")


class Registry:
    """One image of one registry. `allow` are hosts and networks that may be asked beside it though not public."""

    def __init__(
        self,
        reference: Reference,
        *,
        allow: Sequence[str] = (),
        resolver: Resolver = resolve,
        tls: ssl.SSLContext | None = None,
        progress: Progress,
    ) -> None:
        self._reference = reference
        self._allow = (reference.host.strip("[]"), *allow)
        self._resolver = resolver
        self._tls = tls
        self._progress = progress
        self._token: str | None = None

    async def pull(self, into: Path) -> None:
        """Have the image as a layout in the empty directory `into`. Raises ArtifactRefused or ArtifactUnavailable."""
        try:
            async with asyncio.timeout(TOTAL_S):
                data, manifest = await self._manifest()
                (into / "blobs" / "sha256").mkdir(parents=True)
                for blob in dict.fromkeys((manifest.config, *manifest.layers)):
                    await self._keep(blob, into / blob_name(blob.digest))
        except TimeoutError:
            raise ArtifactUnavailable(f"cannot pull {self._reference}: not done in {TOTAL_S:g} s") from None
        (into / blob_name(_digest(data))).write_bytes(data)
        entry = {"mediaType": OCI_MANIFEST, "digest": _digest(data), "size": len(data)}
        (into / INDEX).write_bytes(msgspec.json.encode({"schemaVersion": 2, "manifests": [entry]}))
        (into / MARK).write_bytes(b'{"imageLayoutVersion":"1.0.0"}')

    async def _manifest(self) -> tuple[bytes, Manifest]:
        wanted: Descriptor | None = None
        data = await self._read(f"manifests/{self._reference.wanted}", MAX_MANIFEST_BYTES)
        if self._reference.digest is not None:
            check(data, Descriptor("", self._reference.digest, len(data)), "manifest")
        for _ in range(MAX_LISTS + 1):
            found = parse_manifest(data)
            if isinstance(found, Manifest):
                return data, found
            wanted = choose(found)
            data = check(await self._read(f"manifests/{wanted.digest}", MAX_MANIFEST_BYTES), wanted, "manifest")
        raise ArtifactRefused(f"cannot pull {self._reference}: its lists of images are deeper than {MAX_LISTS}")

    async def _keep(self, blob: Descriptor, path: Path) -> None:
        digest = hashlib.sha256()
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as file:

            def take(chunk: bytes) -> None:
                digest.update(chunk)
                file.write(chunk)
                self._progress(f"layer {blob.hex[:12]}", file.tell(), blob.size)

            await self._get(f"blobs/{blob.digest}", take, blob.size)
            size = file.tell()
        if (f"sha256:{digest.hexdigest()}", size) != (blob.digest, blob.size):
            raise ArtifactRefused(f"cannot pull {self._reference}: a part of it is not what its digest and size say")

    async def _read(self, path: str, max_bytes: int) -> bytes:
        pieces: list[bytes] = []
        await self._get(path, pieces.append, max_bytes)
        return b"".join(pieces)

    async def _get(self, path: str, take: Callable[[bytes], object], max_bytes: int) -> None:
        """The content of a path of the image, with a token when the registry asks for one."""
        url = f"{self._reference.registry}/v2/{self._reference.name}/{path}"
        # Once more with a new token, because one may have run out since the last layer; never twice.
        for attempt in range(2):
            said = {"accept": ", ".join(ACCEPTED)} if path.startswith("manifests/") else {}
            if self._token is not None:
                said["authorization"] = f"Bearer {self._token}"
            challenge = await self._pour(url, take, max_bytes, said)
            if challenge is None:
                return
            if attempt == 0:
                self._token = await self._ask_token(challenge)
        raise ArtifactRefused(f"cannot pull {self._reference}: the registry does not let us read it")

    async def _pour(
        self, url: str, take: Callable[[bytes], object], max_bytes: int, said: Mapping[str, str]
    ) -> str | None:
        """Give the content to `take`; the challenge instead where the server asks who we are."""
        size = 0

        async def sink(chunk: bytes) -> None:
            nonlocal size
            size += len(chunk)
            if size > max_bytes:
                raise ArtifactRefused(f"cannot pull {self._reference}: a part of it is larger than it should be")
            await asyncio.to_thread(take, chunk)

        limits = Limits(allow=self._allow, max_bytes=max_bytes, idle_s=IDLE_S, max_redirects=5)
        async with open_http(url, limits=limits, resolver=self._resolver, tls=self._tls, headers=said) as answer:
            if answer.status_code == 401 and "www-authenticate" in answer.headers:
                return str(answer.headers["www-authenticate"])
            await pour(answer, sink, nobody_asks, str(self._reference), max_bytes)
        return None

    async def _ask_token(self, challenge: str) -> str:
        scheme, _, rest = challenge.partition(" ")
        said = dict(_PARAMETER.findall(rest))
        if scheme.lower() != "bearer" or "realm" not in said:
            raise ArtifactRefused(f"cannot pull {self._reference}: the registry wants a password, and none is sent")
        realm = parse_hop(said["realm"])
        if realm.url.scheme != "https" and self._reference.registry.startswith("https:"):
            raise ArtifactRefused(f"cannot pull {self._reference}: its token is to be fetched without encryption")
        # The scope is ours and not what the challenge says: a token for reading this image is all that is asked for.
        wanted = {"service": said.get("service", ""), "scope": f"repository:{self._reference.name}:pull"}
        query = urlencode({name: value for name, value in wanted.items() if value})
        pieces: list[bytes] = []
        url = str(realm.url.copy_with(query=query.encode(), fragment=None))
        if await self._pour(url, pieces.append, _MAX_TOKEN_BYTES, {}) is not None:
            raise ArtifactRefused(f"cannot pull {self._reference}: the registry gives no token without a password")
        document = parse_object(b"".join(pieces), "a registry's token")
        token = document.get("token") or document.get("access_token")
        if not isinstance(token, str) or _TOKEN.fullmatch(token) is None:
            raise ArtifactRefused(f"cannot pull {self._reference}: the registry's token is none")
        return token


def _digest(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()
