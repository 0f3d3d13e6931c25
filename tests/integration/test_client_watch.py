"""A watch over broken connections, restarts and a log that was cut: nothing missed, nothing twice."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest
from tests.builders.daemon import daemon
from tests.builders.log import COMPACTING, a_log_that_was_compacted
from tests.builders.server import PATIENCE_S, Served, serving

from volant.client import ApiError, AsyncClient, Change, Client
from volant.model.meta import Key


def url(api: Served) -> str:
    return f"http://127.0.0.1:{api.port}"


async def until(stream: AsyncIterator[Change], kind: str) -> list[Change]:
    """Changes up to and with the first of that type."""
    seen = []
    async with asyncio.timeout(PATIENCE_S):
        async for change in stream:
            seen.append(change)
            if change.type == kind:
                return seen
    raise AssertionError("a watch never ends")


async def test_a_watch_shows_what_there_is_and_then_what_happens(tmp_path: Path) -> None:
    async with serving(tmp_path) as api, AsyncClient(url(api)) as client:
        await api.installed(ready=True)
        await client.vms.create({"name": "a", "plugin": "hello"})
        async with aclosing(client.watch(kinds=("VM",))) as stream:
            shown = await until(stream, "bookmark")
            assert [change.object.name for change in shown if change.object] == ["a"]
            assert shown[-1].keys == {Key("VM", "a")}
            await client.vms.create({"name": "b", "plugin": "hello"})
            (made,) = await until(stream, "vm.created")
            assert made.event is not None
            assert (made.event.name, made.id) == ("b", made.event.revision)


async def test_a_watch_resumes_when_its_connections_break(tmp_path: Path) -> None:
    """W1: every event once, over as many connections as it takes."""
    async with serving(tmp_path) as api, AsyncClient(url(api)) as client:
        await api.installed(ready=True)
        async with aclosing(client.watch(kinds=("VM",), types=("vm.created",))) as stream:
            await until(stream, "bookmark")
            names = []
            for n in range(4):
                await client.vms.create({"name": f"a{n}", "plugin": "hello"})
                found = await until(stream, "vm.created")
                names += [change.event.name for change in found if change.event]
                for connection in list(api.server.server_state.connections):
                    connection.transport.abort()
                await client.vms.create({"name": f"b{n}", "plugin": "hello"})
                found = await until(stream, "vm.created")
                names += [change.event.name for change in found if change.event]
        assert names == [f"{letter}{n}" for n in range(4) for letter in "ab"]


async def test_a_watch_goes_on_with_the_next_daemon(tmp_path: Path) -> None:
    """W1: a daemon is killed, and another one on the same directory and port goes on; so does who watches."""
    (tmp_path / "files").mkdir()
    (tmp_path / "files" / "a").write_bytes(b"artifact")
    source = {"url": f"file://{tmp_path}/files/a"}
    more: Any = {"artifact_root": tmp_path / "files"}
    with daemon(tmp_path / "data", "--hypervisor", "simulated", **more) as first:
        first.post("/plugins", {"name": "hello", "version": "1", "kernel": source, "initramfs": source})
        place = first.url.removeprefix("http://")
        async with (
            AsyncClient(first.url) as client,
            aclosing(client.watch(kinds=("VM",), types=("vm.created",))) as stream,
        ):
            await until(stream, "bookmark")
            first.post("/vms", {"name": "a", "plugin": "hello"})
            (made,) = await until(stream, "vm.created")
            first.post("/vms", {"name": "b", "plugin": "hello"})
            first.kill()
            with daemon(tmp_path / "data", "--hypervisor", "simulated", "--listen", place, **more) as second:
                second.post("/vms", {"name": "c", "plugin": "hello"})
                found = [made, *await until(stream, "vm.created"), *await until(stream, "vm.created")]
    assert [change.event.name for change in found if change.event] == ["a", "b", "c"]


async def test_a_log_that_no_longer_reaches_so_far_means_the_objects_again(tmp_path: Path) -> None:
    """W2: what is not among them is gone, though nobody was told of its end."""
    async with serving(tmp_path, ring_events=4, settings=COMPACTING) as api, AsyncClient(url(api)) as client:
        await a_log_that_was_compacted(api)
        async with aclosing(client.watch(kinds=("Plugin",), since=2)) as stream:
            found = await until(stream, "bookmark")
    assert found[-1].keys == {Key("Plugin", f"p-{n}") for n in range(300)}
    assert {change.type for change in found} == {"plugin.state", "bookmark"}


async def test_a_place_that_has_not_been_yet_is_forgotten(tmp_path: Path) -> None:
    """It belongs to another data directory: what there is, from the beginning."""
    async with serving(tmp_path) as api, AsyncClient(url(api)) as client:
        await api.installed(ready=True)
        await client.vms.create({"name": "a", "plugin": "hello"})
        async with aclosing(client.watch(kinds=("VM",), since=10_000)) as stream:
            found = await until(stream, "bookmark")
        assert found[-1].keys == {Key("VM", "a")}


async def test_a_filter_that_is_wrong_is_told(tmp_path: Path) -> None:
    async with serving(tmp_path) as api, AsyncClient(url(api)) as client:
        with pytest.raises(ApiError) as caught:
            await anext(client.watch(label_selector="!!"))
        assert caught.value.fields[0]["path"] == "?label_selector"


async def test_the_blocking_client_watches_too(tmp_path: Path) -> None:
    async with serving(tmp_path) as api:
        await api.installed(ready=True)

        def look() -> list[str]:
            with Client(url(api)) as client:
                stream = client.watch(kinds=("VM",))
                seen = [next(stream).type]
                client.vms.create({"name": "a", "plugin": "hello"})
                seen.append(next(stream).type)
                stream.close()
            return seen

        assert await asyncio.to_thread(look) == ["bookmark", "vm.created"]
