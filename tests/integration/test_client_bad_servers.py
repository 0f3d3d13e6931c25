"""The client against servers that hang up, redirect, say nothing, or say something else."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from tests.builders.commands import run

from volant.cli.ending import ERROR
from volant.client import ApiError, AsyncClient, NoAnswer
from volant.client.following import Watch
from volant.client.tailing import BACK, BROKE
from volant.model.requests import NewVM

VM = (
    b'{"name":"web","status":"starting","plugin":"p","created_at":"2025-01-15T10:00:00Z","resources":{},"uid":"u",'
    b'"generation":1,"revision":1,"restart_policy":"always","restart_required":false,"restarts":0}'
)

Answers = Callable[[int], bytes | None]
"""What the nth request is answered with: None hangs up, nothing keeps it waiting."""


def said(status: str, body: bytes = b"", *more: bytes) -> bytes:
    lines = [b"HTTP/1.1 %b" % status.encode(), b"content-length: %d" % len(body), b"connection: close", *more]
    return b"\r\n".join([*lines, b"", body])


@asynccontextmanager
async def server(answers: Answers) -> AsyncIterator[tuple[str, list[bytes]]]:
    """Its address, and the heads of the requests that it got."""
    heads: list[bytes] = []
    held: list[asyncio.StreamWriter] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append((await reader.readuntil(b"\r\n\r\n")).lower())
        answer = answers(len(heads))
        held.append(writer)
        if answer is None:
            writer.transport.abort()
        elif answer:
            writer.write(answer)
            writer.close()

    listening = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}", heads
    finally:
        for writer in held:
            writer.transport.abort()
        listening.close()
        await listening.wait_closed()


def keys(heads: list[bytes]) -> list[bytes]:
    return [line for head in heads for line in head.split(b"\r\n") if line.startswith(b"idempotency-key")]


async def test_a_create_whose_answer_is_lost_is_sent_again_with_its_key() -> None:
    async with (
        server(lambda n: None if n < 3 else said("201 Created", VM)) as (url, heads),
        AsyncClient(url) as client,
    ):
        assert (await client.vms.create(NewVM(name="web", plugin="p"))).name == "web"
    assert len(heads) == len(keys(heads)) == 3
    assert len(set(keys(heads))) == 1


async def test_two_creates_have_two_keys() -> None:
    async with server(lambda _: said("201 Created", VM)) as (url, heads), AsyncClient(url) as client:
        for _ in range(2):
            await client.vms.create(NewVM(name="web", plugin="p"))
    assert len(set(keys(heads))) == 2


async def test_a_stop_is_sent_once() -> None:
    async with server(lambda _: None) as (url, heads), AsyncClient(url) as client:
        with pytest.raises(NoAnswer):
            await client.vms.stop("web")
    assert len(heads) == 1


async def test_a_redirect_leads_nowhere() -> None:
    async with (
        server(lambda _: said("200 OK", VM)) as (elsewhere, others),
        server(lambda _: said("302 Found", b"", b"location: " + elsewhere.encode())) as (url, _),
        AsyncClient(url) as client,
    ):
        with pytest.raises(ApiError) as caught:
            await client.vms.get("web")
    assert (caught.value.status, others) == (302, [])


async def test_a_list_that_leads_elsewhere_is_not_followed() -> None:
    async with (
        server(lambda _: said("200 OK", b"[]")) as (elsewhere, others),
        server(lambda _: said("200 OK", b"[]", b"link: <%b/api/v1/vms>; rel=%b" % (elsewhere.encode(), b'"next"'))) as (
            url,
            _,
        ),
        AsyncClient(url) as client,
    ):
        with pytest.raises(NoAnswer, match="next page"):
            await client.vms.list()
    assert others == []


async def test_a_server_that_says_nothing_is_not_waited_for_for_ever() -> None:
    async with server(lambda _: b"") as (url, _), AsyncClient(url, timeout_s=0.1, repeats=0) as client:
        with pytest.raises(NoAnswer, match="cannot get an answer"):
            await client.info()


async def test_a_page_of_somebody_else_is_no_volant() -> None:
    async with server(lambda _: said("200 OK", b"<html>hello</html>")) as (url, _), AsyncClient(url) as client:
        with pytest.raises(NoAnswer, match="cannot understand"):
            await client.info()
        with pytest.raises(NoAnswer):
            async for _change in client._sender.stream(_a_watch()):
                raise AssertionError("that is no stream")


async def test_a_store_that_is_unavailable_for_a_moment_is_asked_again() -> None:
    busy = said("503 Service Unavailable", b'{"error":"cannot write","code":"unavailable","details":{}}')
    async with (
        server(lambda n: busy if n == 1 else said("201 Created", VM)) as (url, heads),
        AsyncClient(url) as client,
    ):
        await client.vms.create(NewVM(name="web", plugin="p"))
    assert len(heads) == 2


def _a_watch() -> Watch:
    return Watch(random.Random(1))


NOBODY = said("404 Not Found", b'{"error":"VM not found","code":"vm_not_found","details":{}}')
BROKEN_OFF = b"HTTP/1.1 200 OK\r\ncontent-length: 99\r\nconnection: close\r\n\r\none\n"
SCRIPT = [said("200 OK", VM), BROKEN_OFF, None, said("200 OK", VM), said("200 OK", b"two\n"), NOBODY]
"""A VM whose log breaks off, a daemon that is away, and the VM again until it is gone."""


async def test_a_log_is_followed_over_a_broken_connection_until_the_vm_is_gone() -> None:
    heard: list[str] = []
    async with server(lambda n: SCRIPT[n - 1]) as (url, heads), AsyncClient(url, repeats=0) as client:
        found = [piece async for piece in client.vms.follow_logs("web", tail=7, on_gap=heard.append)]
    assert (found, heard) == (["one\n", "two\n"], [BROKE, BACK])
    asked = [head.split(b" ")[1].rpartition(b"/")[2] for head in heads]
    assert asked == [b"web", b"logs?tail=7&follow=true", b"web", b"web", b"logs?tail=0&follow=true", b"web"]


async def test_the_command_follows_over_a_broken_connection_as_well() -> None:
    # It asks once more where nobody answered, so nobody answers three times.
    script = [*SCRIPT[:2], None, None, None, *SCRIPT[3:]]
    async with server(lambda n: script[n - 1]) as (url, _):
        result = await asyncio.to_thread(run, url, "logs", "-f", "web")
    assert (result.exit_code, result.stdout) == (0, "one\ntwo\n")
    assert result.stderr == f"volant: {BROKE}\nvolant: {BACK}\n"


@pytest.mark.parametrize("words", [("why", "web"), ("wait", "vm", "web", "--for", "deleted"), ("vms", "get", "web")])
async def test_a_page_that_is_not_found_elsewhere_is_no_object_that_is_gone(words: tuple[str, ...]) -> None:
    async with server(lambda _: said("404 Not Found", b"<html>nothing here</html>")) as (url, _):
        result = await asyncio.to_thread(run, url, *words)
    assert result.exit_code == ERROR, result.output
    assert "cannot understand an answer of status 404: it is not one of Volant" in result.output
    assert ".." not in result.output


async def test_nothing_is_taken_for_deleted_because_of_such_a_page(tmp_path: Path) -> None:
    (tmp_path / "vm.yaml").write_text("kind: VM\nmetadata: {name: web}\nspec: {plugin: p}\n")
    async with server(lambda _: said("404 Not Found", b"<html>nothing here</html>")) as (url, _):
        result = await asyncio.to_thread(run, url, "delete", "-f", str(tmp_path))
    assert (result.exit_code, "is not there" in result.output) == (ERROR, False), result.output
