"""`GET /vms/{name}/console`: WebSockets over a real socket, to a guest that the test plays."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
from httpx2.websockets import AsyncWebSocketSession, WebSocketUpgradeError
from tests.builders.consoles import FakeConsoles, FakeLine
from tests.builders.server import PATIENCE_S, Served, serving

from volant.api import console
from volant.client import ApiError, AsyncClient
from volant.client.consoles import Console

PATH = "/vms/web/console"


@asynccontextmanager
async def listening(directory: Path) -> AsyncIterator[tuple[Served, FakeLine, AsyncClient]]:
    """An API with one VM, `web`, whose guest listens, and a client of it."""
    consoles = FakeConsoles()
    consoles.line = FakeLine()
    async with serving(directory, consoles=consoles) as api:
        await api.installed("hello")
        await api.post("/vms", name="web", plugin="hello")
        async with AsyncClient(f"http://127.0.0.1:{api.port}") as client:
            yield api, consoles.line, client


@asynccontextmanager
async def socket(api: Served, path: str = PATH, **headers: str) -> AsyncIterator[AsyncWebSocketSession]:
    """A bare WebSocket."""
    async with api.http.websocket(path, headers={k.replace("_", "-"): v for k, v in headers.items()}) as session:
        yield session


async def refusal(api: Served, path: str = PATH, **headers: str) -> tuple[int, str]:
    """How a WebSocket is refused: status and code."""
    said: list[Any] = []

    async def keep(answer: httpx2.Response) -> None:
        await answer.aread()
        said.append(answer)

    async with httpx2.AsyncClient(
        base_url=api.http.base_url, trust_env=False, timeout=PATIENCE_S, event_hooks={"response": [keep]}
    ) as http:
        with pytest.raises(WebSocketUpgradeError):
            async with http.websocket(path, headers={k.replace("_", "-"): v for k, v in headers.items()}):
                pass
    assert said[0].headers["x-request-id"]
    return said[0].status_code, said[0].json()["code"]


async def until(check: Any) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not check():
            await asyncio.sleep(0.005)


async def heard(console: Console, text: bytes) -> bytes:
    """Everything up to where the guest has said `text`."""
    found = b""
    async with asyncio.timeout(PATIENCE_S):
        while text not in found:
            data = await console.read()
            assert data, (console.end, found)
            found += data
    return found


async def test_a_console_goes_both_ways(tmp_path: Path) -> None:
    async with listening(tmp_path) as (_, line, client):
        async with client.vms.console("web") as console:
            await console.write(b"ls\r")
            await until(lambda: line.typed == b"ls\r")
            line.says.put_nowait(b"\x1b[1mbin\xff\r\n")
            assert await heard(console, b"\n") == b"\x1b[1mbin\xff\r\n"
        await until(lambda: line.is_closed)


async def test_text_is_typed_as_well(tmp_path: Path) -> None:
    async with listening(tmp_path) as (api, line, _), socket(api) as session:
        await session.send_text("\N{EURO SIGN}")
        await until(lambda: line.typed == "\N{EURO SIGN}".encode())


async def test_much_is_typed_in_pieces(tmp_path: Path) -> None:
    async with listening(tmp_path) as (_, line, client), client.vms.console("web") as console:
        await console.write(b"x" * 300_000)
        await until(lambda: len(line.typed) == 300_000)


async def test_the_second_is_refused_and_may_take_over(tmp_path: Path) -> None:
    async with listening(tmp_path) as (api, line, client), client.vms.console("web") as first:
        assert await refusal(api) == (409, "console_in_use")
        with pytest.raises(ApiError, match="somebody else is") as refused:
            async with client.vms.console("web"):
                pass
        assert refused.value.code == "console_in_use"
        async with client.vms.console("web", force=True) as second:
            assert await first.read() == b""
            assert first.end == "taken_over"
            await first.write(b"too late")
            line.says.put_nowait(b"hello")
            assert await heard(second, b"hello") == b"hello"
        assert line.typed == b""
        async with client.vms.console("web"):  # Whoever leaves leaves it free.
            pass


async def test_two_that_force_their_way_in_do_not_share_it(tmp_path: Path) -> None:
    async with (
        listening(tmp_path) as (api, _, client),
        client.vms.console("web") as first,
        client.vms.console("web", force=True) as second,
        client.vms.console("web", force=True) as third,
    ):
        assert await first.read() == await second.read() == b""
        assert (first.end, second.end, third.end) == ("taken_over", "taken_over", None)
        assert len(api.server.server_state.connections) > 0


async def test_what_is_not_there_is_refused_before_it_is_a_websocket(tmp_path: Path) -> None:
    async with listening(tmp_path) as (api, _, client):
        assert await refusal(api, "/vms/nobody/console") == (404, "vm_not_found")
        assert await refusal(api, f"{PATH}?force=perhaps") == (400, "invalid")
        api.deps.consoles.line = None  # type: ignore[attr-defined]
        assert await refusal(api) == (409, "console_unavailable")
        with pytest.raises(ApiError, match="the VM is stopped"):
            async with client.vms.console("web"):
                pass
        api.deps.stopping.set()
        assert await refusal(api) == (503, "stopping")


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({"Origin": "http://evil.example"}, "origin_not_allowed"),
        ({"Origin": "null"}, "origin_not_allowed"),
        ({"Origin": "http://localhost:1"}, "origin_not_allowed"),
        ({"Origin": "file://"}, "origin_not_allowed"),
        ({"Host": "evil.example"}, "host_not_allowed"),
        ({"Host": "evil.example", "Origin": "http://evil.example"}, "host_not_allowed"),
    ],
)
async def test_a_page_of_another_site_reaches_no_console(tmp_path: Path, headers: dict[str, str], code: str) -> None:
    """G2: browsers let any page open a WebSocket to anywhere."""
    async with listening(tmp_path) as (api, line, _):
        assert await refusal(api, **headers) == (403, code)
        assert line.reads == 0


async def test_a_page_of_this_daemon_reaches_one(tmp_path: Path) -> None:
    async with listening(tmp_path) as (api, _, _), socket(api, Origin=f"http://127.0.0.1:{api.port}") as session:
        assert session.response is not None
        assert session.response.headers["x-request-id"]


async def test_without_an_upgrade_the_answer_says_what_to_ask_for(tmp_path: Path) -> None:
    async with listening(tmp_path) as (api, _, _):
        answer = await api.get(PATH)
        assert (answer.status_code, answer.json()["code"]) == (426, "upgrade_required")
        assert (answer.headers["upgrade"], answer.headers["connection"]) == ("websocket", "Upgrade")
        assert (await api.get("/vms/nobody/console")).status_code == 404
        old = await api.get(PATH, Connection="Upgrade", Upgrade="websocket", Sec_WebSocket_Version="8")
        assert old.status_code == 426
        assert (await api.post(PATH)).status_code == 405


async def test_no_other_path_is_a_websocket(tmp_path: Path) -> None:
    async with listening(tmp_path) as (api, _, _):
        asked = {
            "Connection": "Upgrade",
            "Upgrade": "websocket",
            "Sec-WebSocket-Version": "13",
            "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==",
        }
        for path in ("/vms", "/vms/web", "/events"):
            async with api.http.stream("GET", path, headers=asked) as answer:
                assert answer.status_code == 200


async def test_a_guest_that_ends_ends_the_console_after_its_last_words(tmp_path: Path) -> None:
    async with listening(tmp_path) as (_, line, client), client.vms.console("web") as console:
        line.says.put_nowait(b"x" * 100_000)
        line.says.put_nowait(b"bye")
        line.says.put_nowait(b"")
        assert await heard(console, b"bye") == b"x" * 100_000 + b"bye"
        assert await console.read() == b""
        assert console.end == "guest_ended"


async def test_a_daemon_that_stops_says_so(tmp_path: Path) -> None:
    async with listening(tmp_path) as (api, _, client), client.vms.console("web") as console:
        api.server.stop()
        assert await console.read() == b""
        assert console.end == "stopping"


async def test_a_caller_that_does_not_read_never_holds_the_guest_up(tmp_path: Path) -> None:
    """E8: and costs no more than what is kept for it."""
    async with listening(tmp_path) as (_, line, client), client.vms.console("web") as console:
        piece = b"x" * 65536
        for _ in range(400):
            line.says.put_nowait(piece)
        line.says.put_nowait(b"the end")
        await until(lambda: line.reads >= 401)
        found = await heard(console, b"the end")
        assert b"bytes are missing here]" in found
        assert len(found) < 400 * len(piece)


async def test_a_caller_that_never_reads_is_let_go_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(console, "STUCK_S", 0.2)
    async with listening(tmp_path) as (api, line, _):
        stream = await api.open(
            PATH,
            Connection="Upgrade",
            Upgrade="websocket",
            Sec_WebSocket_Version="13",
            Sec_WebSocket_Key="AAAAAAAAAAAAAAAAAAAAAA==",
        )
        assert stream.status == 101
        for _ in range(400):
            line.says.put_nowait(b"x" * 65536)
        await until(lambda: line.is_closed)
        await stream.close()


async def test_a_guest_that_does_not_take_what_is_typed_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(console, "TYPING_S", 0.2)
    async with listening(tmp_path) as (_, line, client), client.vms.console("web") as attached:
        line.takes.clear()
        await attached.write(b"hello?")
        assert await attached.read() == b""
        assert attached.end == "not_reading"


async def test_a_frame_that_is_too_large_ends_the_console(tmp_path: Path) -> None:
    async with listening(tmp_path) as (api, line, _):
        async with socket(api) as session:
            await session.send_bytes(b"x" * 100_000)
            await until(lambda: line.is_closed)
        assert line.typed == b""


async def raw(api: Served, *requests: str) -> bytes:
    """Everything that comes back to requests that are sent at once; the last one closes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", api.port)
    writer.write("".join(requests).replace("\n", "\r\n").encode())
    async with asyncio.timeout(PATIENCE_S):
        found = await reader.read()
    writer.close()
    return found


def asks(port: int, *headers: str) -> str:
    """A request for the console, as clients send it."""
    lines = [f"GET /api/v1{PATH} HTTP/1.1", f"Host: 127.0.0.1:{port}", "Upgrade: websocket", *headers]
    return "\n".join([*lines, "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==", "", ""])


async def test_an_upgrade_behind_another_request_waits_for_its_answer_and_gets_one(tmp_path: Path) -> None:
    """G8: the answers would be written over each other."""
    async with listening(tmp_path) as (api, line, _):
        first = f"GET /api/v1/vms/web HTTP/1.1\nHost: 127.0.0.1:{api.port}\n\n"
        found = await raw(api, first, asks(api.port, "Connection: Upgrade, close"))
        assert found.count(b"HTTP/1.1 ") == 2
        assert found.index(b"HTTP/1.1 200") < found.index(b"HTTP/1.1 426")
        assert line.reads == 0


async def test_an_upgrade_with_a_body_is_none(tmp_path: Path) -> None:
    async with listening(tmp_path) as (api, line, _):
        found = await raw(api, asks(api.port, "Connection: Upgrade, close", "Content-Length: 2"), "{}")
        assert found.startswith(b"HTTP/1.1 426")
        assert line.reads == 0


@pytest.mark.parametrize(
    ("asked", "status"),
    [
        (asks(1).replace("Host: 127.0.0.1:1\n", ""), b"426"),
        (asks(1, "Host: 127.0.0.1:1"), b"400"),
        (asks(1, "Origin: http://127.0.0.1:1", "Origin: http://evil.example"), b"400"),
        (asks(1, "Upgrade: h2c"), b"426"),
        (asks(1).replace("HTTP/1.1", "HTTP/1.0"), b"426"),
    ],
    ids=["no host", "two hosts", "two origins", "two protocols", "an old version"],
)
async def test_an_upgrade_that_can_be_read_in_two_ways_is_none(tmp_path: Path, asked: str, status: bytes) -> None:
    """G8: each is answered with the usual error body."""
    async with listening(tmp_path) as (api, line, _):
        asked = asked.replace("Upgrade: websocket\n", "Upgrade: websocket\nConnection: Upgrade, close\n")
        found = await raw(api, asked)
        assert found.split()[1] == status
        assert b'"request_id"' in found
        assert line.reads == 0


async def test_frames_that_are_none_end_the_connection_and_free_the_console(tmp_path: Path) -> None:
    async with listening(tmp_path) as (api, line, client):
        reader, writer = await asyncio.open_connection("127.0.0.1", api.port)
        writer.write(asks(api.port, "Connection: Upgrade").replace("\n", "\r\n").encode())
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 101")
        writer.write(b"\xff" * 64)
        async with asyncio.timeout(PATIENCE_S):
            await reader.read()
        writer.close()
        await until(lambda: line.is_closed)
        async with client.vms.console("web"):
            pass


async def test_a_caller_that_does_not_read_cannot_keep_its_place(tmp_path: Path) -> None:
    async with listening(tmp_path) as (api, line, client):
        reader, writer = await asyncio.open_connection("127.0.0.1", api.port, limit=1)
        writer.write(asks(api.port, "Connection: Upgrade").replace("\n", "\r\n").encode())
        for _ in range(400):
            line.says.put_nowait(b"x" * 65536)
        await until(line.says.empty)
        async with asyncio.timeout(PATIENCE_S), client.vms.console("web", force=True) as second:
            line.says.put_nowait(b"hello")
            assert await heard(second, b"hello") == b"hello"
        writer.close()
        del reader
