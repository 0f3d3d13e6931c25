"""Who may ask at all: what is refused before a handler is called.

The daemon listens on loopback without authentication, so the requests to fear are those that a web page makes some
browser of this machine send. A page of another site cannot choose `Host` freely (DNS rebinding, 403), always sends its
`Origin` with a write (403), and cannot send JSON without asking first, which nobody here answers (415). A WebSocket is
a write: browsers let any page open one to anywhere, and say in `Origin` which page it was.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable, Mapping
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

from volant.api.call import MAX_BODY, too_large
from volant.errors import Forbidden, Invalid, Unavailable, UnsupportedMediaType

Headers = Mapping[bytes, bytes]

READS = frozenset({"GET", "HEAD", "OPTIONS"})
JSON = frozenset({b"application/json", b"application/merge-patch+json"})
ONCE = frozenset({b"host", b"origin", b"content-type", b"idempotency-key", b"if-match", b"last-event-id"})
"""Headers that are refused when they come twice: whoever stands in front may have looked at the other one."""

_REMEMBERED = 256
_SHOWN = 64
"""Characters of what a caller sent that are said back."""


class Guard:
    """Refuses by raising; says nothing otherwise."""

    def __init__(self, allowed_hosts: tuple[str, ...], stopping: asyncio.Event) -> None:
        self._names = frozenset({"localhost", *(name.lower() for name in allowed_hosts)})
        self._stopping = stopping
        self._known: set[bytes] = set()

    def check(self, scope: Mapping[str, Any], headers: Headers) -> None:
        """Raises Forbidden, Invalid, Unavailable, UnsupportedMediaType or TooLarge."""
        if len(headers) != len(scope["headers"]):
            _check_repeated(scope["headers"])
        host = headers.get(b"host", b"")
        if host not in self._known:
            self._check_host(host, scope)
        if scope.get("type") == "websocket":
            self._check_origin(headers, host)
        elif scope["method"] not in READS:
            self._check_write(headers, host)

    def _check_host(self, host: bytes, scope: Mapping[str, Any]) -> None:
        server = scope.get("server")
        if server is not None and server[1] is None:
            return  # A Unix socket: no browser reaches it, and its clients send any host they like.
        if host and not self._is_ours(host.decode("latin-1")):
            raise Forbidden(
                f"cannot serve host {host.decode('latin-1')[:_SHOWN]!r}: not a name of this daemon. "
                "Use its address, or start it with --allowed-host.",
                code="host_not_allowed",
            )
        if len(self._known) < _REMEMBERED:
            self._known.add(host)

    def _check_origin(self, headers: Headers, host: bytes) -> None:
        origin = headers.get(b"origin")
        if origin is not None and not self._is_same(origin.decode("latin-1"), host.decode("latin-1")):
            raise Forbidden("cannot take a write from another site's page", code="origin_not_allowed")

    def _check_write(self, headers: Headers, host: bytes) -> None:
        self._check_origin(headers, host)
        if self._stopping.is_set():
            raise Unavailable("cannot take a write: the daemon is stopping", code="stopping")
        length = headers.get(b"content-length", b"0")
        if length != b"0" or b"transfer-encoding" in headers:
            _check_body(headers.get(b"content-type", b""), length)

    def _is_ours(self, host: str) -> bool:
        name = _name_of(host)
        return name in self._names or _is_address(name)

    def _is_same(self, origin: str, host: str) -> bool:
        try:
            netloc = urlsplit(origin).netloc.lower()
        except ValueError:
            return False
        return netloc != "" and (netloc == host.lower() or _name_of(netloc) in self._names - {"localhost"})


def _check_repeated(headers: Iterable[tuple[bytes, bytes]]) -> None:
    for name, times in Counter(name for name, _ in headers).items():
        if times > 1 and name in ONCE:
            field = {"path": name.decode(), "message": "given twice"}
            raise Invalid(f"cannot accept the header {name.decode()}: given twice", fields=[field])


def _check_body(content_type: bytes, length: bytes) -> None:
    if content_type.partition(b";")[0].strip().lower() not in JSON:
        said = content_type.decode("latin-1")[:_SHOWN] or "nothing"
        raise UnsupportedMediaType(f"cannot read the body: its Content-Type is {said}, not application/json")
    if not length.isdigit() or int(length) > MAX_BODY:
        raise too_large()


def _name_of(host: str) -> str:
    """`LOCALHOST:8080` -> `localhost`, `[::1]:8080` -> `::1`."""
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0].lower()


def _is_address(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return False
    return True
