"""What hostile and broken clients do to a connection, on a real socket to a real daemon: G8 of the checklist."""

from __future__ import annotations

import resource
import socket
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import pytest
from tests.builders.daemon import daemon
from tests.builders.raw_http import exchange, replies, request
from tests.builders.target import BASE, VMS, Target, vm

STREAMS = 1_000
HALF_OPEN = 200


@pytest.fixture(scope="module")
def fired_at(tmp_path_factory: pytest.TempPathFactory, record_testsuite_property: Any) -> Iterator[Target]:
    """One daemon for all of them."""
    with daemon(tmp_path_factory.mktemp("fired-at") / "data", "--hypervisor", "simulated") as running:
        target = Target(running)
        yield target
        record_testsuite_property("slowest_answer", target.slowest)


@pytest.fixture
def target(fired_at: Target) -> Iterator[Target]:
    """The daemon, checked afterwards."""
    yield fired_at
    fired_at.check()


HEADS = {
    "one of 10 MB": (("X: " + "a" * 10_000_000,), 431),
    "one of 70 kB": (("X: " + "a" * 70_000,), 431),
    "129": (tuple(f"X-{n}: 1" for n in range(129)), 431),
    "100,000": (tuple(f"X-{n}: 1" for n in range(100_000)), 431),
    "as many as are taken": (tuple(f"X-{n}: 1" for n in range(100)), 200),
    "an If-None-Match of 60 kB": (('If-None-Match: "' + '","'.join(["1"] * 15_000) + '"',), 200),
    "an Accept of 60 kB": (("Accept: " + ",".join(["a/b;q=0.1"] * 6_000),), 200),
    "an X-Request-Id that is not harmless": (('X-Request-Id: a"b\tc',), 200),
    "a name with a space": (("X Y: 1",), 400),
    "an empty name": ((": 1",), 400),
    "a NUL": (("X: a\0b",), 400),
    "a Range": (("Range: bytes=0-1",), 200),
    "an upgrade": (("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAAQ"), 200),
    "a WebSocket": (("Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA=="), 200),
}


@pytest.mark.parametrize("case", HEADS)
def test_headers_are_bounded_in_size_and_number(target: Target, case: str) -> None:
    """G8"""
    headers, status = HEADS[case]
    assert target.ask(request("GET", VMS, *headers)).status == status


SMUGGLED = b"POST /api/v1/vms HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
SMUGGLED += b"Content-Length: %d\r\n\r\n" % len(vm()) + vm()
POST = f"POST {VMS}/nope/start HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"

SMUGGLING = {
    "CL and TE": POST + "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "TE and CL": POST + "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
    "two lengths": POST + "Content-Length: 0\r\nContent-Length: 200\r\n\r\n",
    "the same length twice": POST + "Content-Length: 0\r\nContent-Length: 0\r\n\r\n",
    "two lengths in one": POST + "Content-Length: 0, 200\r\n\r\n",
    "a length with a sign": POST + "Content-Length: +5\r\n\r\n12345",
    "a negative length": POST + "Content-Length: -1\r\n\r\n",
    "a length with a space in it": POST + "Content-Length: 1 0\r\n\r\n",
    "a length beyond every number": POST + "Content-Length: 99999999999999999999999\r\n\r\n",
    "an encoding nobody knows": POST + "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    "chunked, but not last": POST + "Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
    "two encodings": POST + "Transfer-Encoding: identity\r\nTransfer-Encoding: chunkedx\r\n\r\n0\r\n\r\n",
    "a space before the colon": POST + "Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
    "a folded header": POST + "X: a\r\n Transfer-Encoding: chunked\r\n\r\n",
    "a folded encoding": POST + "Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n",
    "a bare LF": POST.replace("\r\n", "\n") + "\n",
    "a bare LF after a header": POST + "X: a\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "a bare CR": POST + "X: a\rTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "a chunk size that is none": POST + "Transfer-Encoding: chunked\r\n\r\nz\r\n\r\n",
    "a chunk size beyond every number": POST + "Transfer-Encoding: chunked\r\n\r\n" + "f" * 32 + "\r\n",
    "a chunk longer than its size": POST + "Transfer-Encoding: chunked\r\n\r\n1\r\nabc\r\n0\r\n\r\n",
    "a chunk size and a bare LF": POST + "Transfer-Encoding: chunked\r\n\r\n1\na\r\n0\r\n\r\n",
    "a method nobody knows": f"BREW {VMS} HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "a method in lower case": f"get {VMS} HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "a version nobody knows": f"GET {VMS} HTTP/9.9\r\nHost: localhost\r\n\r\n",
    "a target with a space": f"GET {VMS} /x HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "a target that is not ASCII": f"GET {VMS}/\xff HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "a target without a slash": "GET vms HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "a tunnel": "CONNECT evil.example:443 HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "TLS": "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + "\x00" * 32,
    "HTTP/2": "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "noise": "\x00\x01\x02\xff" * 64,
}


@pytest.mark.parametrize("case", SMUGGLING)
def test_what_two_parsers_may_read_differently_is_refused_and_the_connection_closed(target: Target, case: str) -> None:
    """G8: what follows on the connection is never taken for a request."""
    sent = SMUGGLING[case].encode("latin-1")
    answers = exchange(target.address, sent + SMUGGLED, ends=True)
    assert len(answers) == 1
    reply = target.seen(answers[0], sent)
    assert (reply.status, reply.code) == (400, "malformed_request")
    assert reply.headers["connection"] == "close"


@pytest.mark.parametrize(
    "last",
    [request("GET", VMS, "Connection: close"), f"GET {VMS} HTTP/1.0\r\n\r\n".encode(), f"GET {VMS}\r\n\r\n".encode()],
    ids=["said so", "HTTP/1.0", "HTTP/0.9"],
)
def test_what_follows_the_last_request_of_a_connection_is_not_done(target: Target, last: bytes) -> None:
    """G8"""
    answers = exchange(target.address, last + SMUGGLED, ends=True)
    assert [reply.status for reply in answers] == [200]


def test_a_request_is_answered_although_noise_follows_it(target: Target) -> None:
    """G8: and the answer to the noise is not taken for its own."""
    sent = request("POST", f"{VMS}/nope/start") + b"\x00noise\r\n\r\n"
    answers = exchange(target.address, sent, ends=True)
    assert [(reply.status, reply.code) for reply in answers] == [(404, "vm_not_found")]


def test_requests_sent_ahead_are_bounded(target: Target) -> None:
    """G8"""
    answers = exchange(target.address, request("GET", f"{VMS}/nope") * 5_000, ends=True)
    assert len(answers) < 5_000
    assert {reply.status for reply in answers} <= {404}


def test_a_thousand_idle_streams_leave_it_ready(target: Target) -> None:
    """G8: each costs a cursor; others are answered as ever."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    try:
        with ExitStack() as stack:
            streams = []
            for _ in range(STREAMS):
                streams.append(stack.enter_context(closing(socket.create_connection(target.address, 5))))
                streams[-1].sendall(request("GET", f"{BASE}/events"))
            heads = [stream.recv(12) for stream in streams]
            assert heads == [b"HTTP/1.1 200"] * STREAMS
            assert target.ask(request("GET", "/readyz")).status == 200
            assert target.ask(request("GET", VMS)).status == 200
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.parametrize(
    "begun",
    [
        b"",
        b"G",
        b"GET /readyz HTTP/1.1\r\nHost: local",
        request("POST", VMS, "Content-Length: 100", body=b"{"),
        request("POST", VMS, "Transfer-Encoding: chunked", "Content-Type: application/json") + b"ff\r\n{",
    ],
    ids=["nothing", "a letter", "half a head", "half a body", "half a chunk"],
)
def test_requests_that_are_half_sent_leave_it_ready(target: Target, begun: bytes) -> None:
    """G8"""
    with ExitStack() as stack:
        for _ in range(HALF_OPEN):
            sock = stack.enter_context(closing(socket.create_connection(target.address, 5)))
            sock.sendall(begun)
        assert target.ask(request("GET", "/readyz")).status == 200
        assert target.ask(request("GET", VMS)).status == 200


def test_a_client_that_does_not_read_is_not_waited_for(target: Target) -> None:
    """G8: its answers fill its own socket and nobody else's time."""
    with closing(socket.create_connection(target.address, 5)) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.sendall(request("GET", f"{BASE}/system/info") * 100)
        assert target.ask(request("GET", "/readyz")).status == 200


def test_the_answers_of_one_connection_come_in_order(target: Target) -> None:
    """The parser of these tests is not what makes them pass."""
    sent = request("GET", f"{VMS}/nope") + request("GET", VMS) + request("GET", "/readyz", "Connection: close")
    assert [reply.status for reply in exchange(target.address, sent, ends=True)] == [404, 200, 200]
    assert replies(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nab") == []


def test_a_daemon_with_half_sent_requests_ends_when_it_is_told_to(tmp_path: Path) -> None:
    """G8, S1"""
    with daemon(tmp_path / "data", "--hypervisor", "simulated") as running:
        target = Target(running)
        with closing(socket.create_connection(target.address, 5)) as sock:
            sock.sendall(request("POST", VMS, "Content-Length: 100", body=b"{"))
            target.check()
            assert running.stop() == 0
