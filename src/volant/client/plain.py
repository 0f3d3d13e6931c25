"""One request and its answer over plain HTTP/1.1, with the standard library.

    Call ──▶ a connection of its own ──http.client──▶ Answer

It is what `Client` asks http:// addresses with: a command that asks one question spends more time on loading httpx2
than on the question. Each request has its own connection, so threads share nothing.

Deliberately absent: TLS, streams, proxies, redirects and compression; what needs those is asked through httpx2.
"""

from __future__ import annotations

import re
from contextlib import suppress
from http.client import HTTPConnection, HTTPException, HTTPResponse, IncompleteRead
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

from volant import __version__
from volant.client.call import Answer, Call
from volant.errors import Invalid

PIECE = 1 << 20
"""Bytes that are read at a time."""

_TEXT = re.compile(r"[\t -~]*")
_WORD = re.compile(r"[!-~]+")


class Garbled(Exception):
    """What came back is no answer, or not all of one."""


class Unreached(Exception):
    """There is no connection."""


class Plain:
    """A server at an http:// address."""

    def __init__(self, url: str) -> None:
        try:
            parts = urlsplit(url if url.isascii() else _in_ascii(url))
            self._port = 80 if parts.port is None else parts.port
        except ValueError as error:
            raise Invalid(f"cannot use {url!r} as the address of a daemon: {error}") from error
        self._netloc, self._base = parts.netloc, parts.path.rstrip("/")
        self._host = parts.hostname or ""

    def ask(self, call: Call[Any], timeout_s: float, read_s: float) -> Answer:
        """Send it. `timeout_s` bounds connecting and sending, `read_s` each wait for more of the answer.

        Raises Unreached when there is no connection, Garbled and OSError when there is no answer, Invalid for what
        cannot be sent.
        """
        target, headers = self._target(call), self._headers(call)
        connection = HTTPConnection(self._host, self._port, timeout=timeout_s)
        try:
            connection.connect()
        except (OSError, UnicodeError) as error:
            raise Unreached(str(error)) from error
        try:
            # Who refuses a long body may answer before it has read all of it.
            with suppress(BrokenPipeError, ConnectionResetError):
                connection.putrequest(call.method, target, skip_host=True, skip_accept_encoding=True)
                for name, value in headers.items():
                    connection.putheader(name, value)
                connection.endheaders(call.body)
            connection.sock.settimeout(read_s)
            return _read(connection.getresponse())
        except (HTTPException, ValueError) as error:
            raise Garbled(str(error) or "the server hung up without an answer") from error
        finally:
            connection.close()

    def _target(self, call: Call[Any]) -> str:
        query = urlencode(call.query)
        joint = "&" if "?" in call.path else "?"
        target = f"{self._base}{call.path}{joint if query else ''}{query}"
        if not _WORD.fullmatch(target):
            raise Invalid(f"cannot ask for {target!r}: expected printable ASCII")
        return target

    def _headers(self, call: Call[Any]) -> dict[str, str]:
        said = {
            "host": self._netloc,
            "user-agent": f"volant/{__version__}",
            "accept": "*/*",
            "accept-encoding": "identity",
            "connection": "close",
            **call.headers,
        }
        if call.body is not None or call.method not in ("GET", "HEAD"):
            said["content-length"] = str(len(call.body or b""))
        for name, value in said.items():
            if not _TEXT.fullmatch(value):
                raise Invalid(f"cannot send {value!r} as {name}: expected printable ASCII")
        return said


def _in_ascii(url: str) -> str:
    """The address with its name as it is looked up. Raises ValueError."""
    scheme, _, rest = url.partition("://")
    netloc, slash, path = rest.partition("/")
    return f"{scheme}://{netloc.encode('idna').decode()}{slash}{quote(path)}"


def _read(answer: HTTPResponse) -> Answer:
    headers: dict[str, str] = {}
    for name, value in answer.getheaders():
        key, text = name.lower(), value.strip()
        headers[key] = f"{headers[key]}, {text}" if key in headers else text
    # In pieces, because a length that is announced need not be one that comes.
    body = b"".join(iter(lambda: answer.read(PIECE), b""))
    if answer.length:
        raise IncompleteRead(body, answer.length)
    return Answer(answer.status, headers, body)
