"""Event streams over a real socket: order, resuming, falling behind, and the end of the daemon."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from tests.builders.log import COMPACTING, QUICK, a_log_that_was_compacted, commits
from tests.builders.server import EventReader, Frame, serving

from volant.api.events import MAX_STREAMS
from volant.model.event import REFERENCE_VM_EVENTS
from volant.model.meta import Key


def ids(frames: list[Frame]) -> list[int | None]:
    return [frame.id for frame in frames]


async def test_a_vm_s_life_is_the_reference_s_events(tmp_path: Path) -> None:
    async with serving(tmp_path) as api, api.events("/events/vms") as stream, asyncio.TaskGroup() as tasks:
        await api.installed("nginx-alpine")
        await api.post("/vms", name="my-vm", plugin="nginx-alpine")
        await api.runs("my-vm")
        tasks.create_task(api.post("/vms/my-vm/stop"))
        await api.asked("my-vm", "stopped")
        await api.stops("my-vm")
        tasks.create_task(api.delete("/vms/my-vm"))
        await api.clears(await api.asked_to_go(Key("VM", "my-vm")))
        created, started, stopped, deleted = await stream.take(4)
        assert [f.event for f in (created, started, stopped, deleted)] == [
            *("vm.created", "vm.started", "vm.stopped", "vm.deleted"),
        ]
        assert created.data | {"name": "my-vm", "plugin": "nginx-alpine"} == created.data
        assert started.data["ip"] == "127.88.0.10"
        assert all(frame.data["timestamp"].endswith("Z") for frame in (created, started, stopped, deleted))
        assert all(frame.id == frame.data["revision"] for frame in (created, started, stopped, deleted))


async def test_a_stream_says_what_it_is(tmp_path: Path) -> None:
    """W5"""
    async with serving(tmp_path) as api:
        await commits(api, 3)
        async with api.events("/events/vms") as stream:
            assert stream.status == 200
            assert stream.headers["content-type"] == "text/event-stream"
            assert stream.headers["cache-control"] == "no-store"
            assert stream.headers["x-accel-buffering"] == "no"
            assert stream.blocks == ["retry: 1000\nid: 3"]


async def test_all_kinds_are_on_the_other_stream(tmp_path: Path) -> None:
    async with serving(tmp_path) as api, api.events("/events") as stream:
        await api.installed("hello")
        await api.post("/vms", name="a", plugin="hello")
        await api.post("/deployments", name="web", plugin="hello", replicas=1)
        await api.patch("/deployments/web", replicas=3)
        frames = await stream.take(4)
        assert [frame.event for frame in frames] == [
            *("plugin.installed", "vm.created", "deployment.created", "deployment.scaled"),
        ]
        assert ids(frames) == [1, 2, 3, 4]


async def test_the_reference_s_stream_has_the_reference_s_types_only(tmp_path: Path) -> None:
    async with serving(tmp_path) as api:
        await api.installed("hello")
        await api.post("/vms", name="a", plugin="hello")
        await api.runs("a")
        await api.post("/vms/a/restart")
        async with api.events("/events/vms?since=0") as stream:
            api.deps.stopping.set()
            shown = [frame.event for frame in await stream.rest()][:-1]
        assert shown == ["vm.created", "vm.started"]
        assert set(shown) <= REFERENCE_VM_EVENTS


@pytest.mark.parametrize("ring_events", [4, 64, 8192])
async def test_a_reader_resumes_without_gap_or_duplicate(tmp_path: Path, ring_events: int) -> None:
    """W1, W5: from the ring or from the log, while more is committed."""
    async with serving(tmp_path, ring_events=ring_events, settings=QUICK) as api:
        await commits(api, 300)
        more = 40
        async with (
            api.events("/events", Last_Event_ID="17") as stream,
            api.events("/events?since=17") as other,
            asyncio.TaskGroup() as tasks,
        ):

            async def keep_committing() -> None:
                for i in range(more):
                    await commits(api, 1, f"q{i}")

            tasks.create_task(keep_committing())
            for reader in (stream, other):
                assert ids(await reader.take(283 + more)) == list(range(18, 301 + more))


async def test_a_reader_resumes_after_the_daemon_was_started_anew(tmp_path: Path) -> None:
    """W1, W5"""
    async with serving(tmp_path) as api, api.events("/events") as stream:
        await commits(api, 5)
        last = (await stream.take(3))[-1].id
    async with serving(tmp_path) as api:
        await commits(api, 2, "later")
        async with api.events("/events", Last_Event_ID=str(last)) as stream:
            assert ids(await stream.take(4)) == [4, 5, 6, 7]


async def test_watching_from_where_a_list_was_read_shows_every_change_since(tmp_path: Path) -> None:
    """W1: the list and the events after it make what the store holds, at every step."""
    async with serving(tmp_path, settings=QUICK) as api:
        await api.installed("hello")
        for i in range(5):
            await api.post("/vms", name=f"old-{i}", plugin="hello")
        answer = await api.get("/vms")
        known = {vm["name"]: vm["revision"] for vm in answer.json()}
        async with asyncio.TaskGroup() as tasks:
            for i in range(20):
                tasks.create_task(api.post("/vms", name=f"new-{i}", plugin="hello"))
            for i in range(5):
                tasks.create_task(api.post(f"/vms/old-{i}/restart"))
        async with api.events(f"/events?kind=VM&since={answer.headers['volant-revision']}") as stream:
            frames = await stream.take(25)
        for frame in frames:
            assert frame.id is not None
            assert frame.id > known.get(frame.data["name"], 0)
            known[frame.data["name"]] = frame.id
        assert known == {vm.meta.name: vm.meta.revision for vm in api.store.vms()}


async def test_the_header_beats_the_parameter(tmp_path: Path) -> None:
    async with serving(tmp_path) as api:
        await commits(api, 5)
        async with api.events("/events?since=0", Last_Event_ID="3") as stream:
            assert ids(await stream.take(2)) == [4, 5]


async def test_a_reader_that_comes_too_late_is_told_so_and_goes_on_from_now(tmp_path: Path) -> None:
    """W2: with status 200, because any other ends an EventSource for good."""
    async with serving(tmp_path, ring_events=4, settings=COMPACTING) as api:
        await a_log_that_was_compacted(api)
        async with api.events("/events", Last_Event_ID="1") as stream:
            assert stream.status == 200
            reset = await stream.next()
            assert reset == Frame(300, "reset", {"reason": "expired", "oldest": api.store.oldest_event})
            await commits(api, 2, "later")
            assert ids(await stream.take(2)) == [301, 302]
        async with api.events("/events", Last_Event_ID=str(api.store.oldest_event)) as stream:
            first = await stream.next()
            assert first is not None
            assert first.id == api.store.oldest_event + 1


async def test_a_reader_of_lines_that_comes_too_late_gets_a_410(tmp_path: Path) -> None:
    """W2"""
    async with serving(tmp_path, ring_events=4, settings=COMPACTING) as api:
        await a_log_that_was_compacted(api)
        stream = await api.open("/events?since=1", Accept="application/x-ndjson")
        assert stream.status == 410
        body = json.loads(await stream.body())
        assert body["code"] == "event_gone"
        assert body["details"] == {"oldest": api.store.oldest_event}
        await stream.close()


async def test_events_are_to_be_had_as_lines_of_json(tmp_path: Path) -> None:
    async with serving(tmp_path) as api:
        await commits(api, 2)
        async with api.events("/events?since=0", Accept="application/x-ndjson") as stream:
            assert stream.headers["content-type"] == "application/x-ndjson"
            lines = [await stream.line() for _ in range(3)]
            assert [(line["id"], line["event"]) for line in lines] == [
                *((0, "beat"), (1, "plugin.installed"), (2, "plugin.installed")),
            ]
            api.deps.stopping.set()
            assert (await stream.line())["event"] == "bye"


@pytest.mark.parametrize("last", ["7", "999999999999999", "-1", "x", "1.5", "²", "9" * 40])
async def test_an_id_that_was_never_given_out_is_refused(tmp_path: Path, last: str) -> None:
    """W3"""
    async with serving(tmp_path) as api:
        await commits(api, 6)
        stream = await api.open("/events", Last_Event_ID=last)
        assert stream.status == 400
        assert json.loads(await stream.body())["code"] in {"future_revision", "invalid"}
        await stream.close()


async def test_head_answers_without_a_stream(tmp_path: Path) -> None:
    async with serving(tmp_path) as api:
        answer = await api.http.head("/events")
        assert (answer.status_code, answer.headers["content-type"]) == (200, "text/event-stream")


async def test_a_reader_that_does_not_read_is_cut_off_and_others_never_notice(tmp_path: Path) -> None:
    """W6: and what it was given has no gap; with the last id it could resume."""
    count = 8000  # Two megabytes and more, of which a quarter fits between us and a reader that does not read.
    async with serving(tmp_path, ring_events=1000, settings=QUICK) as api:
        async with api.events("/events") as slow, api.events("/events") as quick:
            received: list[int | None] = []
            for batch in range(count // 500):
                await commits(api, 500, f"b{batch}")
                received += ids(await quick.take(500))
            assert received == list(range(1, count + 1))
            frames = await slow.rest()
            assert frames[-1].event == "reset"
            assert frames[-1].data == {"reason": "too_slow", "last": len(frames) - 1}
            assert ids(frames[:-1]) == list(range(1, len(frames)))
        async with api.events("/events", Last_Event_ID=str(len(frames) - 1)) as again:
            assert ids(await again.take(count - len(frames) + 1)) == list(range(len(frames), count + 1))


async def test_a_reader_of_some_lines_that_does_not_read_is_told_where_it_was(tmp_path: Path) -> None:
    """W6: also when what it was last shown is long before; there it resumes, and nothing is missing."""
    path = "/events?kind=Plugin"
    async with serving(tmp_path, ring_events=500, settings=QUICK) as api:
        slow = await api.open(path, Accept="application/x-ndjson")
        for batch in range(16):
            await commits(api, 500, f"b{batch}")
        told = [line async for line in lines(slow)]
        await slow.close()
        *given, last = told
        assert (last["event"], last["id"], last["data"]["reason"]) == ("reset", None, "too_slow")
        assert [line["id"] for line in given] == list(range(last["data"]["last"] + 1))
        again = await api.open(f"{path}&since={last['data']['last']}", Accept="application/x-ndjson")
        rest = [(await again.line())["id"] for _ in range(8000 - last["data"]["last"] + 1)]
        assert rest == list(range(last["data"]["last"], 8001))
        await again.close()


async def lines(stream: EventReader) -> AsyncIterator[Any]:
    """Everything until the stream ends."""
    while (line := await stream.line()) is not None:
        yield line


async def test_every_stream_hears_of_the_end_and_the_server_ends(tmp_path: Path) -> None:
    """S1, W5: a hundred of them, and one that does not read."""
    async with serving(tmp_path, settings=QUICK) as api:
        await commits(api, 8000)
        stalled = await api.open("/events?since=0")
        streams = [await api.open("/events") for _ in range(100)]
        await commits(api, 3, "later")
        api.server.should_exit = True
        for stream in streams:
            assert [frame.event for frame in await stream.rest()] == ["plugin.installed"] * 3 + ["bye"]
        for stream in (*streams, stalled):
            await stream.close()


async def test_a_reader_that_hangs_up_is_noticed(tmp_path: Path) -> None:
    async with serving(tmp_path) as api:
        async with api.events("/events"), api.events("/events/vms"):
            assert api.streams.open == 2
        async with asyncio.timeout(20):
            while api.streams.open:
                await asyncio.sleep(0.002)


async def test_there_is_an_end_to_how_many_streams_are_open(tmp_path: Path) -> None:
    """G8"""
    async with serving(tmp_path) as api:
        api.streams.open = MAX_STREAMS
        answer = await api.get("/events")
        assert (answer.status_code, answer.json()["code"]) == (503, "too_many_streams")
        assert answer.headers["retry-after"]
        api.streams.open = 0


async def test_a_stopping_daemon_opens_no_streams(tmp_path: Path) -> None:
    """S1"""
    async with serving(tmp_path) as api:
        api.deps.stopping.set()
        answer = await api.get("/events")
        assert (answer.status_code, answer.json()["code"]) == (503, "stopping")
        assert answer.headers["retry-after"]


async def test_what_is_rolled_back_is_never_on_a_stream(tmp_path: Path) -> None:
    """E3: one event for each committed write, none for one that was not."""
    async with serving(tmp_path) as api, api.events("/events") as stream:
        await api.installed("hello")
        for name in ("a", "a", "b", "b"):
            await api.post("/vms", name=name, plugin="hello")
        assert [(frame.event, frame.data["name"]) for frame in await stream.take(3)] == [
            *(("plugin.installed", "hello"), ("vm.created", "a"), ("vm.created", "b")),
        ]
        await api.post("/vms", name="c", plugin="hello")
        last = await stream.next()
        assert last is not None
        assert (last.id, last.data["name"]) == (4, "c")
