"""Artifacts over `http` and `https`.

    url ──▶ scheme, credentials ──▶ vet the addresses ──▶ connect to one of them ──▶ 200: the bytes
                   ▲                                                │
                   └──────────── redirect, a few times ◀────────────┘

The address that was vetted is the one connected to: there is no second look-up in between, while `Host` and TLS still
say the name. Every hop is treated like the first. An error repeats neither what the server sent nor where it pointed.

Deliberately absent: proxies and credentials of the environment, cookies, decompression (a digest is of bytes as
served), resuming.
"""

from __future__ import annotations

import re
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from functools import cache
from http.cookiejar import CookieJar, DefaultCookiePolicy
from types import MappingProxyType
from typing import Final, NamedTuple

import httpx2
from msgspec import Struct

from volant.errors import ArtifactError, ArtifactRefused, ArtifactUnavailable
from volant.images.addresses import Resolver, vet

Sink = Callable[[bytes], Awaitable[None]]
"""Takes the content piece by piece."""
Announce = Callable[[int], None]
"""Is told how many bytes there will be, where that is known before they come. It may be wrong."""

CHUNK_BYTES: Final = 1 << 20
PORTS: Final = {"http": 80, "https": 443}
REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
# What a resolver is given: a name, an IPv4 or an IPv6 address. No escapes, no scopes.
_HOST: Final = re.compile(r"[0-9A-Za-z._-]+|[0-9A-Fa-f:.]+")
RETRYABLE: Final = frozenset({408, 425, 429, 500, 502, 503, 504})


class Limits(Struct, frozen=True, kw_only=True):
    """What a server may ask of us. `allow` are hosts, addresses or networks that may be asked though not public."""

    allow: tuple[str, ...]
    max_bytes: int
    idle_s: float
    max_redirects: int


class Hop(NamedTuple):
    """One URL on the way, taken apart once: what is vetted and what is connected to come from the same reading."""

    url: httpx2.URL
    host: str
    port: int
    is_redirect: bool = False


def nobody_asks(_: int) -> None:
    """Nobody wants to know how many bytes there will be."""


async def fetch_http(
    url: str,
    sink: Sink,
    announce: Announce = nobody_asks,
    *,
    limits: Limits,
    resolver: Resolver,
    tls: ssl.SSLContext | None = None,
) -> None:
    """Give the content of `url` to `sink`. Raises ArtifactRefused or ArtifactUnavailable, possibly half-way."""
    async with open_http(url, limits=limits, resolver=resolver, tls=tls) as response:
        await pour(response, sink, announce, shown(url), limits.max_bytes)


@asynccontextmanager
async def open_http(
    url: str,
    *,
    limits: Limits,
    resolver: Resolver,
    tls: ssl.SSLContext | None = None,
    headers: Mapping[str, str] = MappingProxyType({}),
) -> AsyncIterator[httpx2.Response]:
    """The first answer that is no redirect, its body unread. `headers` go to the server of `url` and to no other.

    Raises ArtifactRefused or ArtifactUnavailable, also for what goes wrong while the body is read.
    """
    first = hop = parse_hop(url)
    try:
        async with httpx2.AsyncClient(
            trust_env=False,
            follow_redirects=False,
            timeout=limits.idle_s,
            verify=_public_tls() if tls is None else tls,
            headers={"accept-encoding": "identity", "user-agent": "volant"},
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=())),
        ) as client:
            for _ in range(limits.max_redirects + 1):
                said = headers if _origin(hop) == _origin(first) else {}
                response = await _ask(client, hop, limits, resolver, said)
                try:
                    if response.status_code not in REDIRECTS:
                        yield response
                        return
                    hop = _next_hop(hop, response)
                finally:
                    await response.aclose()
    except (httpx2.HTTPError, httpx2.StreamError, httpx2.InvalidURL, ssl.SSLError) as error:
        raise ArtifactUnavailable(f"cannot fetch {shown(url)}: {_said(error)}") from error
    raise ArtifactRefused(f"cannot fetch {shown(url)}: more than {limits.max_redirects} redirects")


def _origin(hop: Hop) -> tuple[str, str, int]:
    return hop.url.scheme, hop.host, hop.port


@cache
def _public_tls() -> ssl.SSLContext:
    """The authorities that everybody trusts. Read once, because reading them keeps the loop for 30 ms."""
    return httpx2.create_ssl_context(trust_env=False)


def parse_hop(url: str) -> Hop:
    """What to connect to. Raises ArtifactRefused for what is not a plain `http` or `https` URL."""
    try:
        parsed = httpx2.URL(url)
        host = parsed.raw_host.decode("ascii")
    except (httpx2.InvalidURL, ValueError):
        raise ArtifactRefused("cannot fetch from something that is not a URL") from None
    if parsed.userinfo:
        raise ArtifactRefused("cannot fetch a URL with a user name or password in it")
    if parsed.scheme not in PORTS:
        raise ArtifactRefused(f"cannot fetch {shown(url)}: only http, https and file are fetched")
    port = PORTS[parsed.scheme] if parsed.port is None else parsed.port
    if _HOST.fullmatch(host) is None or not 0 < port < 65536:
        raise ArtifactRefused(f"cannot fetch {shown(url)}: it names no host and port")
    return Hop(parsed, host, port)


def shown(url: str) -> str:
    """The URL without what may be secret in it: credentials and query."""
    scheme, separator, rest = url.partition("://")
    authority, slash, path = rest.partition("/")
    path = path.partition("?")[0].partition("#")[0]
    return f"{scheme}{separator}{authority.rpartition('@')[2].partition('?')[0]}{slash}{path}"


async def _ask(
    client: httpx2.AsyncClient, hop: Hop, limits: Limits, resolver: Resolver, headers: Mapping[str, str]
) -> httpx2.Response:
    """The response, its body unread, from the first vetted address that takes the connection."""
    *others, last = await _vetted(hop, limits, resolver)
    for address in others:
        try:
            return await client.send(_request(client, hop, address, headers), stream=True)
        except (httpx2.ConnectError, httpx2.ConnectTimeout):
            continue
    return await client.send(_request(client, hop, last, headers), stream=True)


async def _vetted(hop: Hop, limits: Limits, resolver: Resolver) -> list[str]:
    try:
        return await vet(hop.host, hop.port, limits.allow, resolver)
    except ArtifactError as error:
        if not hop.is_redirect:
            raise
        # Whoever may name the first URL is not told the names that a server has for its neighbours.
        raise type(error)("cannot follow a redirect: it leads to no address that may be asked") from None


def _request(client: httpx2.AsyncClient, hop: Hop, address: str, said: Mapping[str, str]) -> httpx2.Request:
    pinned = hop.url.copy_with(host=address, port=hop.port, fragment=None)
    headers = {**said, "host": hop.url.netloc.decode("ascii")}
    return client.build_request("GET", pinned, headers=headers, extensions={"sni_hostname": hop.host})


def _next_hop(hop: Hop, response: httpx2.Response) -> Hop:
    # Joined to the URL with its name: the response only knows the address.
    try:
        following = parse_hop(str(hop.url.join(response.headers.get("location", ""))))
    except (httpx2.InvalidURL, ValueError, ArtifactRefused):
        raise ArtifactRefused("cannot follow a redirect to something that is no http or https URL") from None
    if hop.url.scheme == "https" and following.url.scheme != "https":
        raise ArtifactRefused("cannot follow a redirect from https to http")
    return following._replace(is_redirect=True)


async def pour(response: httpx2.Response, sink: Sink, announce: Announce, label: str, max_bytes: int) -> None:
    """Give the body to `sink`. Raises ArtifactRefused or ArtifactUnavailable for every status but 200."""
    if response.status_code != 200:
        kind = ArtifactUnavailable if response.status_code in RETRYABLE else ArtifactRefused
        raise kind(f"cannot fetch {label}: the server answered {response.status_code}")
    announced = response.headers.get("content-length", "")
    if announced.isdecimal() and int(announced) > max_bytes:
        raise ArtifactRefused(f"cannot fetch {label}: it is larger than {max_bytes} bytes")
    if announced.isdecimal():
        announce(int(announced))
    async for chunk in response.aiter_raw(CHUNK_BYTES):
        await sink(chunk)


def _said(error: Exception) -> str:
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLError):
            return "TLS failed; is the server's certificate in order?"
        cause = cause.__cause__ or cause.__context__
    if isinstance(error, httpx2.ConnectError | httpx2.ConnectTimeout):
        return "cannot connect to the server"
    if isinstance(error, httpx2.TimeoutException):
        return "the server was silent for too long"
    return "the connection broke off"
