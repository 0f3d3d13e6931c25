"""`GET /vms/{name}/logs` over a real socket; the test plays the guest."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from tests.builders.consoles import FakeConsoles, FakeTranscript
from tests.builders.server import EventReader, Served, serving

from volant.api import seats
from volant.client import ApiError, AsyncClient, NoAnswer


@asynccontextmanager
async def speaking(directory: Path, *pieces: bytes) -> AsyncIterator[tuple[Served, FakeConsoles]]:
    """An API with one VM, `web`, whose guest has said that."""
    consoles = FakeConsoles()
    consoles.transcript = FakeTranscript([*pieces])
    async with serving(directory, consoles=consoles) as api:
        await api.installed("hello")
        await api.post("/vms", name="web", plugin="hello")
        yield api, consoles


async def said(stream: EventReader, text: bytes) -> bytes:
    """Everything up to where the answer has `text`."""
    found = b""
    while text not in found:
        chunk = await stream._chunk()
        assert chunk, found
        found += chunk
    return found


async def test_what_a_guest_said_is_plain_text(tmp_path: Path) -> None:
    async with speaking(tmp_path, b"one\r\n", b"\x1b[2Jtw\xffo\n") as (api, consoles):
        answer = await api.get("/vms/web/logs")
        assert answer.status_code == 200
        assert answer.headers["content-type"] == "text/plain; charset=utf-8"
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.text == "one\r\n\x1b[2Jtw\N{REPLACEMENT CHARACTER}o\n"
        assert consoles.asked == [{"name": "web", "tail": None, "follows": False, "previous": False}]
        assert consoles.transcript is not None
        assert consoles.transcript.is_closed


async def test_a_character_in_two_pieces_is_one(tmp_path: Path) -> None:
    async with speaking(tmp_path, b"\xe2\x82", b"\xac", b"\xe2") as (api, _):
        assert (await api.get("/vms/web/logs")).text == "\N{EURO SIGN}\N{REPLACEMENT CHARACTER}"


async def test_what_is_asked_for_is_passed_on(tmp_path: Path) -> None:
    async with speaking(tmp_path, b"x") as (api, consoles):
        await api.get("/vms/web/logs?tail=3&previous=true")
        assert consoles.asked == [{"name": "web", "tail": 3, "follows": False, "previous": True}]


@pytest.mark.parametrize("query", ["tail=-1", "tail=x", "follow=maybe", "since=1h"])
async def test_what_cannot_be_asked_for_is_refused(tmp_path: Path, query: str) -> None:
    """There are no times on a console, so nothing can be had since one."""
    async with speaking(tmp_path) as (api, _):
        answer = await api.get(f"/vms/web/logs?{query}")
        assert (answer.status_code, answer.json()["code"]) == (400, "invalid")


async def test_no_vm_is_a_404_and_no_console_a_409(tmp_path: Path) -> None:
    async with speaking(tmp_path) as (api, consoles):
        assert (await api.get("/vms/nobody/logs")).json()["code"] == "vm_not_found"
        consoles.transcript = None
        answer = await api.get("/vms/web/logs")
        assert (answer.status_code, answer.json()["code"]) == (409, "log_unavailable")
        assert "nothing that its guest said is kept" in answer.json()["error"]
        answer = await api.get("/vms/web/logs?follow=true&previous=true")
        assert (answer.status_code, answer.json()["code"]) == (409, "log_unavailable")


async def test_head_is_the_head_only(tmp_path: Path) -> None:
    async with speaking(tmp_path, b"x") as (api, consoles):
        answer = await api.http.head("/vms/web/logs?follow=true")
        assert (answer.status_code, answer.content) == (200, b"")
        assert answer.headers["content-type"] == "text/plain; charset=utf-8"
        assert consoles.transcript is not None
        assert consoles.transcript.is_closed
        assert (await api.http.head("/vms/nobody/logs")).status_code == 404


async def test_a_follower_gets_what_is_said_from_now_on_until_the_vm_is_gone(tmp_path: Path) -> None:
    async with speaking(tmp_path, b"one\n") as (api, consoles):
        stream = await api.open("/vms/web/logs?follow=true")
        assert stream.status == 200
        assert await said(stream, b"one\n") == b"one\n"
        assert consoles.transcript is not None
        consoles.transcript.pieces.append(b"two\n")
        assert await said(stream, b"two\n") == b"two\n"
        await api.delete("/vms/web?wait=none")
        consoles.transcript.pieces.append(b"last words\n")
        await api.clears(api.store.vm("web"))
        assert await said(stream, b"last words\n") == b"last words\n"
        assert await stream._chunk() == b""
        assert consoles.transcript.is_closed
        assert api.server.server_state.connections  # It was an end, and the connection is good for more.
        await stream.close()


async def test_a_follower_waits_for_a_guest_that_has_not_said_anything(tmp_path: Path) -> None:
    async with speaking(tmp_path) as (api, consoles):
        later, consoles.transcript = consoles.transcript, None
        stream = await api.open("/vms/web/logs?follow=true")
        assert stream.status == 200
        assert later is not None
        later.pieces.append(b"here I am\n")
        consoles.transcript = later
        await said(stream, b"here I am\n")
        await stream.close()


async def test_who_hangs_up_is_not_read_for_any_more(tmp_path: Path) -> None:
    async with speaking(tmp_path, b"one\n") as (api, consoles):
        stream = await api.open("/vms/web/logs?follow=true")
        await said(stream, b"one\n")
        await stream.close()
        assert consoles.transcript is not None
        async with asyncio.timeout(20):
            while not consoles.transcript.is_closed:
                await asyncio.sleep(0.01)


async def test_a_reader_that_does_not_read_is_not_read_ahead_for(tmp_path: Path) -> None:
    """E8: what a guest says costs the daemon a piece at a time, however much it is."""
    async with speaking(tmp_path, *[b"x" * 65536] * 256) as (api, consoles):
        stream = await api.open("/vms/web/logs?follow=true")
        assert consoles.transcript is not None
        async with asyncio.timeout(20):
            before = -1
            while consoles.transcript.reads != before:
                before = consoles.transcript.reads
                await asyncio.sleep(0.3)
        assert consoles.transcript.reads < 64
        await stream.close()


async def test_a_daemon_that_stops_ends_followers_also_those_that_do_not_read(tmp_path: Path) -> None:
    async with speaking(tmp_path, *[b"x" * 65536] * 256) as (api, consoles):
        stuck = await api.open("/vms/web/logs?follow=true")
        assert consoles.transcript is not None
        api.server.stop()
        async with asyncio.timeout(20):
            while not consoles.transcript.is_closed:
                await asyncio.sleep(0.01)
        await stuck.close()


async def test_a_console_that_cannot_be_read_any_more_says_so_in_the_text(tmp_path: Path) -> None:
    async with speaking(tmp_path, b"one\n") as (api, consoles):
        stream = await api.open("/vms/web/logs?follow=true")
        await said(stream, b"one\n")
        assert consoles.transcript is not None
        consoles.transcript.fault = "cannot read the console of VM web: no disk"
        assert b"[volant: cannot read the console of VM web: no disk]" in await said(stream, b"]\n")
        assert await stream._chunk() == b""
        await stream.close()


async def test_so_many_consoles_are_read_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(seats, "MAX_READERS", 1)
    async with speaking(tmp_path, b"one\n") as (api, _):
        stream = await api.open("/vms/web/logs?follow=true")
        await said(stream, b"one\n")
        answer = await api.get("/vms/web/logs")
        assert (answer.status_code, answer.json()["code"]) == (503, "too_many_logs")
        await stream.close()
        async with asyncio.timeout(20):
            while (await api.get("/vms/web/logs")).status_code != 200:
                await asyncio.sleep(0.01)


async def test_a_program_reads_and_follows(tmp_path: Path) -> None:
    async with (
        speaking(tmp_path, b"one\n", b"two\n") as (api, consoles),
        AsyncClient(f"http://127.0.0.1:{api.port}") as client,
    ):
        assert await client.vms.logs("web") == "one\ntwo\n"
        with pytest.raises(ApiError, match="VM not found"):
            await anext(client.vms.follow_logs("nobody"))
        assert consoles.transcript is not None
        consoles.transcript.pieces.append(b"three\n")
        follower = client.vms.follow_logs("web", tail=5)
        assert await anext(follower) == "three\n"
        await api.delete("/vms/web?wait=none")
        await api.clears(api.store.vm("web"))
        assert [piece async for piece in follower] == []
    async with AsyncClient("http://127.0.0.1:1") as nobody:
        with pytest.raises(NoAnswer):
            await anext(nobody.vms.follow_logs("web"))
