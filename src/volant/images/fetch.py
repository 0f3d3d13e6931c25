"""The bytes behind a URL: `http`, `https`, and `file` below the roots that the operator gave.

    url ──▶ scheme, credentials ──▶ vet the address ──▶ connect to that address ──▶ chunks
                   ▲                                            │
                   └──────────── each redirect, at most five ───┘

The address that was vetted is the one connected to: there is no second look-up in between. Proxies of the environment
are not used, nothing is decompressed, and an error never repeats what the server said.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import unquote, urlsplit

import httpx2
from msgspec import Struct

from volant.errors import ArtifactRefused, ArtifactUnavailable
from volant.images.addresses import Resolver, resolve, vet

CHUNK = 1 << 18
REDIRECTS = frozenset({301, 302, 303, 307, 308})
RETRYABLE = frozenset({408, 425, 429, 500, 502, 503, 504})


class FetchPolicy(Struct, frozen=True, kw_only=True):
    """What may be fetched. `allow`: hosts, addresses or networks that are not public; `roots`: for `file:`.

    `total_s` bounds the whole fetch, `idle_s` the wait for the next bytes, `max_bytes` the size.
    """

    allow: tuple[str, ...] = ()
    roots: tuple[Path, ...] = ()
    max_bytes: int = 16 << 30
    total_s: float = 1700.0
    idle_s: float = 30.0
    max_redirects: int = 5


class Fetcher:
    """Opens URLs as the policy allows. Holds nothing between calls."""

    def __init__(self, policy: FetchPolicy, *, resolver: Resolver = resolve, tls: ssl.SSLContext | None = None) -> None:
        self._policy = policy
        self._resolver = resolver
        self._tls = tls

    async def chunks(self, url: str) -> AsyncIterator[bytes]:
        """The content, piece by piece. Raises ArtifactRefused or ArtifactUnavailable, possibly half-way through."""
        try:
            async with asyncio.timeout(self._policy.total_s):
                async for chunk in self._bounded(url):
                    yield chunk
        except TimeoutError:
            raise ArtifactUnavailable(f"cannot fetch {url}: not done within {self._policy.total_s:g} s") from None

    async def _bounded(self, url: str) -> AsyncIterator[bytes]:
        size = 0
        source = self._file(url) if urlsplit(url).scheme == "file" else self._http(url)
        async for chunk in source:
            size += len(chunk)
            if size > self._policy.max_bytes:
                raise ArtifactRefused(f"cannot fetch {url}: it is larger than {self._policy.max_bytes} bytes")
            yield chunk

    async def _file(self, url: str) -> AsyncIterator[bytes]:
        path = self._path_below_roots(url)
        try:
            with path.open("rb") as file:
                while chunk := await asyncio.to_thread(file.read, CHUNK):
                    yield chunk
        except OSError as error:
            raise ArtifactUnavailable(f"cannot read {url}: {error.strerror}") from None

    def _path_below_roots(self, url: str) -> Path:
        parts = urlsplit(url)
        if parts.netloc not in ("", "localhost") or "\0" in unquote(parts.path):
            raise ArtifactRefused(f"cannot read {url}: expected file:///absolute/path")
        # Resolved before it is compared, so that neither `..` nor a link leads out of the roots.
        try:
            path = Path(unquote(parts.path)).resolve()
        except (OSError, RuntimeError):
            raise ArtifactRefused(f"cannot read {url}: its path cannot be resolved") from None
        if not any(path.is_relative_to(root.resolve()) for root in self._policy.roots):
            raise ArtifactRefused(f"cannot read {url}: it is not below an artifact root (--artifact-root)")
        if not path.is_file():
            raise ArtifactUnavailable(f"cannot read {url}: there is no such file")
        return path

    async def _http(self, url: str) -> AsyncIterator[bytes]:
        timeout = httpx2.Timeout(self._policy.idle_s)
        verify = self._tls if self._tls is not None else True
        async with httpx2.AsyncClient(
            trust_env=False, timeout=timeout, follow_redirects=False, verify=verify
        ) as client:
            try:
                async with self._final(client, url) as response:
                    async for chunk in response.aiter_raw(CHUNK):
                        yield chunk
            except (httpx2.HTTPError, httpx2.StreamError, ssl.SSLError) as error:
                raise ArtifactUnavailable(f"cannot fetch {url}: {_said(error)}") from None

    @asynccontextmanager
    async def _final(self, client: httpx2.AsyncClient, url: str) -> AsyncIterator[httpx2.Response]:
        """The response behind all redirects, each of them vetted like the first."""
        at = url
        for _ in range(self._policy.max_redirects + 1):
            request = await self._request(client, at)
            response = await client.send(request, stream=True)
            try:
                if response.status_code not in REDIRECTS:
                    _check_status(response, url)
                    yield response
                    return
                at = _next_hop(at, response)
            finally:
                await response.aclose()
        raise ArtifactRefused(f"cannot fetch {url}: more than {self._policy.max_redirects} redirects")

    async def _request(self, client: httpx2.AsyncClient, url: str) -> httpx2.Request:
        """A request to the vetted address that still says the host's name, in `Host` and to TLS."""
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https"):
            raise ArtifactRefused(f"cannot fetch {url}: only http, https and file are fetched")
        if parts.username or parts.password:
            raise ArtifactRefused("cannot fetch a URL with a user name or password in it")
        try:
            host, port = parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
        except ValueError:
            raise ArtifactRefused(f"cannot fetch {url}: its port is no port") from None
        address = await vet(host, port, self._policy.allow, self._resolver)
        pinned = httpx2.URL(url).copy_with(host=address, port=port)
        headers = {"host": parts.netloc, "accept-encoding": "identity"}
        return client.build_request("GET", pinned, headers=headers, extensions={"sni_hostname": host})


def _next_hop(at: str, response: httpx2.Response) -> str:
    # Joined to the URL with its name: the response only knows the address.
    hop = str(httpx2.URL(at).join(response.headers.get("location", "")))
    if at.startswith("https:") and not hop.startswith("https:"):
        raise ArtifactRefused("cannot follow a redirect from https to something less")
    return hop


def _check_status(response: httpx2.Response, url: str) -> None:
    if response.status_code == 200:
        return
    kind = ArtifactUnavailable if response.status_code in RETRYABLE else ArtifactRefused
    raise kind(f"cannot fetch {url}: the server answered {response.status_code}")


def _said(error: Exception) -> str:
    if isinstance(error, httpx2.TimeoutException):
        return "the server was silent for too long"
    if isinstance(error, httpx2.ConnectError):
        return "cannot connect to the server"
    return "the connection broke off"
