"""Who may ask at all (security checklist G2)."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from volant.api.call import MAX_BODY
from volant.api.guard import ONCE, Guard
from volant.errors import Forbidden, Invalid, RequestError, TooLarge, Unavailable, UnsupportedMediaType

TCP = ("127.0.0.1", 8080)


def check(
    method: str = "GET", *, server: Any = TCP, stopping: bool = False, allowed: tuple[str, ...] = (), **headers: str
) -> None:
    event = asyncio.Event()
    if stopping:
        event.set()
    raw = {name.replace("_", "-").encode(): value.encode() for name, value in headers.items()}
    Guard(allowed, event).check({"method": method, "server": server, "headers": list(raw.items())}, raw)


@pytest.mark.parametrize(
    "host", ["localhost", "LOCALHOST:8080", "127.0.0.1:8080", "127.88.0.10", "[::1]:8080", "[::1]", "10.0.0.7:80"]
)
def test_a_host_that_is_localhost_or_an_address_is_served(host: str) -> None:
    """G2"""
    check(host=host)


@pytest.mark.parametrize(
    "host", ["evil.com", "evil.com:8080", "localhost.evil.com", "127.0.0.1.evil.com", "[evil]", "a b", "127.0.0.1@evil"]
)
def test_any_other_host_is_refused(host: str) -> None:
    """G2: a page whose name was made to point at this machine."""
    with pytest.raises(Forbidden) as caught:
        check(host=host)
    assert caught.value.code == "host_not_allowed"


def test_a_name_that_was_configured_is_served() -> None:
    check(host="Volant.Example.com", allowed=("volant.example.com",))


def test_a_request_without_a_host_is_served() -> None:
    check()


def test_on_a_unix_socket_the_host_does_not_matter() -> None:
    check(host="volant", server=("/run/volant.sock", None))


def test_a_host_is_refused_the_second_time_as_well() -> None:
    guard = Guard((), asyncio.Event())
    for _ in range(2):
        with pytest.raises(Forbidden):
            guard.check({"method": "GET", "server": TCP, "headers": [(b"host", b"evil.com")]}, {b"host": b"evil.com"})


@pytest.mark.parametrize("name", sorted(ONCE))
def test_a_header_that_decides_something_may_not_come_twice(name: bytes) -> None:
    """G8"""
    twice = [(name, b"localhost"), (b"accept", b"a"), (b"accept", b"b"), (name, b"localhost")]
    with pytest.raises(Invalid) as caught:
        Guard((), asyncio.Event()).check({"method": "GET", "server": TCP, "headers": twice}, dict(twice))
    assert caught.value.details["fields"] == [{"path": name.decode(), "message": "given twice"}]


@pytest.mark.parametrize(
    "origin", ["http://evil.com", "null", "http://localhost:3000", "http://127.0.0.1", "http://[", ""]
)
def test_a_write_from_another_site_s_page_is_refused(origin: str) -> None:
    """G2"""
    with pytest.raises(Forbidden) as caught:
        check("POST", host="127.0.0.1:8080", origin=origin)
    assert caught.value.code == "origin_not_allowed"


def test_a_write_from_our_own_page_is_taken() -> None:
    check("POST", host="127.0.0.1:8080", origin="http://127.0.0.1:8080")
    check("DELETE", host="10.0.0.1", origin="https://volant.example.com", allowed=("volant.example.com",))


def test_reading_from_another_site_s_page_is_left_to_the_browser_to_refuse() -> None:
    check("GET", host="127.0.0.1:8080", origin="http://evil.com")


@pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""])
def test_a_body_that_says_it_is_not_json_is_refused(content_type: str) -> None:
    """G2: the types that a page may send anywhere without asking."""
    with pytest.raises(UnsupportedMediaType):
        check("POST", content_length="2", content_type=content_type)
    with pytest.raises(UnsupportedMediaType):
        check("POST", transfer_encoding="chunked", content_type=content_type)


@pytest.mark.parametrize(
    "content_type", ["application/json", "Application/JSON; charset=utf-8", "application/merge-patch+json"]
)
def test_json_is_taken(content_type: str) -> None:
    check("PATCH", content_length="2", content_type=content_type)


def test_a_write_without_a_body_needs_no_type() -> None:
    check("POST")
    check("POST", content_length="0", content_type="application/x-www-form-urlencoded")


def test_a_body_over_the_limit_is_refused_before_it_is_read() -> None:
    """G7"""
    check("POST", content_length=str(MAX_BODY), content_type="application/json")
    with pytest.raises(TooLarge) as caught:
        check("POST", content_length=str(MAX_BODY + 1), content_type="application/json")
    assert caught.value.details == {"limit_bytes": MAX_BODY}


def test_a_stopping_daemon_takes_no_writes_and_still_answers_reads() -> None:
    """S1"""
    check("GET", stopping=True)
    with pytest.raises(Unavailable):
        check("POST", stopping=True)


def test_every_refusal_has_a_status_of_its_own() -> None:
    kinds: list[type[RequestError]] = [Forbidden, UnsupportedMediaType, TooLarge]
    assert [kind.status for kind in kinds] == [403, 415, 413]
