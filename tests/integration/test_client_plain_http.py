"""The blocking client against servers that hang up, stutter, say nothing, or say something that is not HTTP."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from volant.client import ApiError, Client, NoAnswer
from volant.client.call import Answer, Call
from volant.client.plain import Plain
from volant.errors import Invalid, VolantError

ASK: Call[Answer] = Call(method="GET", path="/api/v1/vms", read=lambda answer: answer)


@contextmanager
def server(*answers: bytes, keeps: bool = False) -> Iterator[tuple[str, list[bytes]]]:
    """Its address, and what it was asked; connections get these answers in turn, the last for ever.

    `keeps`: it says nothing more and does not hang up.
    """
    asked: list[bytes] = []
    held: list[socket.socket] = []
    listening = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                connection, _ = listening.accept()
            except OSError:
                return
            asked.append(_request(connection))
            connection.sendall(answers[min(len(asked), len(answers)) - 1])
            if keeps:
                held.append(connection)
            else:
                connection.close()

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}", asked
    finally:
        listening.shutdown(socket.SHUT_RDWR)
        listening.close()
        thread.join()
        for connection in held:
            connection.close()


def _request(connection: socket.socket) -> bytes:
    found = b""
    while b"\r\n\r\n" not in found:
        found += connection.recv(65536)
    head, _, body = found.partition(b"\r\n\r\n")
    lines = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:])
    while len(body) < int(lines.get(b"content-length", 0)):
        body += connection.recv(65536)
    return head + b"\r\n\r\n" + body


def said(head: str, body: bytes = b"") -> bytes:
    return head.replace("\n", "\r\n").encode() + b"\r\n\r\n" + body


def answered(raw: bytes) -> Answer:
    with server(raw) as (url, _):
        return Plain(url).ask(ASK, 5.0, 5.0)


@pytest.mark.parametrize(
    ("raw", "body"),
    [
        (said("HTTP/1.1 200 OK\nContent-Length: 2", b"{}"), b"{}"),
        (said("HTTP/1.1 200\ncontent-length: 2", b"{}ignored"), b"{}"),
        (said("HTTP/1.0 200 OK", b"until the end"), b"until the end"),
        (
            said("HTTP/1.1 200 OK\nTransfer-Encoding: chunked", b"3\r\nabc\r\nA;x=y\r\n0123456789\r\n0\r\n\r\n"),
            b"abc0123456789",
        ),
        (said("HTTP/1.1 200 OK\ntransfer-encoding: Chunked", b"1\r\na\r\n0\r\nx-trailer: 1\r\n\r\n"), b"a"),
        (said("HTTP/1.1 204 No Content"), b""),
        (said("HTTP/1.1 100 Continue") + said("HTTP/1.1 200 OK\ncontent-length: 1", b"x"), b"x"),
    ],
    ids=["length", "more than its length", "until the end", "chunks", "trailers", "nothing", "continue first"],
)
def test_an_answer_is_read_as_it_is_framed(raw: bytes, body: bytes) -> None:
    assert answered(raw).body == body


def test_headers_are_in_lower_case_and_repeated_ones_are_joined() -> None:
    answer = answered(said("HTTP/1.1 404 Not Found\nX-A: 1\nx-a:2  \nContent-Length: 0"))
    assert (answer.status, answer.headers["x-a"]) == (404, "1, 2")


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"hello\r\n\r\n",
        b"HTTP/2 200 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n",
        said("HTTP/1.1 200 OK\ncontent-length: 3", b"ab"),
        said("HTTP/1.1 200 OK\ncontent-length: 999999999999999", b"ab"),
        said("HTTP/1.1 200 OK\ntransfer-encoding: chunked", b"3\r\nab"),
        said("HTTP/1.1 200 OK\ntransfer-encoding: chunked", b"3\r\nabcd\r\n"),
        said("HTTP/1.1 200 OK\ntransfer-encoding: chunked", b"-3\r\n"),
        b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * 1_000 + b"\r\n",
        b"HTTP/1.1 200 OK\r\na: " + b"b" * 100_000 + b"\r\n\r\n",
    ],
    ids=lambda raw: str(raw[:70]),
)
def test_what_is_no_whole_answer_is_no_answer(raw: bytes) -> None:
    with (
        server(raw) as (url, _),
        Client(url, repeats=0) as client,
        pytest.raises(NoAnswer, match="cannot get an answer"),
    ):
        client.info()


@pytest.mark.parametrize(
    "raw",
    [
        b"HTTP/1.1 999 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
        said("HTTP/1.1 200 OK\ncontent-length: -1"),
        said("HTTP/1.1 200 OK\ncontent-length: 1, 1", b"a"),
        said("HTTP/1.1 200 OK\ntransfer-encoding: gzip, chunked"),
        said("HTTP/1.1 200 OK\ntransfer-encoding: chunked", b"0\r\n"),
    ],
    ids=lambda raw: str(raw[:70]),
)
def test_what_no_daemon_says_is_a_failure_with_a_sentence(raw: bytes) -> None:
    with server(raw) as (url, _), Client(url, repeats=0) as client, pytest.raises(VolantError, match=r"^cannot "):
        client.info()


def test_a_server_that_stops_in_the_middle_is_not_waited_for_for_ever() -> None:
    with (
        server(said("HTTP/1.1 200 OK\ncontent-length: 9", b"{"), keeps=True) as (url, _),
        Client(url, timeout_s=0.1, repeats=0) as client,
        pytest.raises(NoAnswer, match="timed out"),
    ):
        client.info()


def test_nobody_there_is_told_from_nobody_who_answers() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
    with (
        Client(f"http://127.0.0.1:{port}", repeats=0) as client,
        pytest.raises(NoAnswer, match="cannot reach the daemon"),
    ):
        client.info()


def test_what_is_sent_says_how_long_it_is_and_nothing_of_where_we_are() -> None:
    with server(said("HTTP/1.1 204 No Content")) as (url, asked):
        Plain(url + "/behind/a/proxy").ask(
            Call(method="POST", path="/api/v1/apply", query={"a": "b c&d"}, body=b"{}", read=lambda _: None), 5.0, 5.0
        )
    head, _, body = asked[0].partition(b"\r\n\r\n")
    assert head.startswith(b"POST /behind/a/proxy/api/v1/apply?a=b+c%26d HTTP/1.1\r\n")
    assert b"\r\ncontent-length: 2" in head
    assert b"\r\nhost: " + url.removeprefix("http://").encode() + b"\r\n" in head
    assert body == b"{}"


@pytest.mark.parametrize("key", ["a\r\nx-evil: 1", "a\nb", "ü"], ids=repr)
def test_a_header_cannot_become_two(key: str) -> None:
    with (
        server(said("HTTP/1.1 204 No Content")) as (url, asked),
        Client(url) as client,
        pytest.raises(Invalid, match="idempotency-key"),
    ):
        client.vms.create({"name": "a", "plugin": "p"}, idempotency_key=key)
    assert asked == []


@pytest.mark.parametrize("url", ["http://127.0.0.1:99999", "http://[::1", "http://127.0.0.1:x"])
def test_an_address_that_is_none_is_refused_at_once(url: str) -> None:
    with pytest.raises(Invalid, match="as the address of a daemon"):
        Client(url)


def test_names_of_the_world_are_looked_up_in_ascii() -> None:
    assert Plain("http://b\u00fccher.example:81/\u00fc")._host == "xn--bcher-kva.example"
    assert Plain("http://[::1]:81")._host == "::1"


def test_a_refusal_that_comes_before_all_was_sent_is_heard() -> None:
    busy = said("HTTP/1.1 413 Too Large\ncontent-length: 0")
    with server(busy) as (url, _), Client(url) as client, pytest.raises(ApiError) as caught:
        client.vms.create({"name": "a", "plugin": "p" * 100})
    assert caught.value.status == 413


def _each(url: str, times: int, found: list[int]) -> Callable[[], None]:
    client = Client(url)

    def ask() -> None:
        for _ in range(times):
            found.append(client.send(ASK).status)

    return ask


def test_threads_share_a_client() -> None:
    found: list[int] = []
    with server(said("HTTP/1.1 200 OK\ncontent-length: 0")) as (url, _):
        ask = _each(url, 5, found)
        threads = [threading.Thread(target=ask) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert found == [200] * 20
