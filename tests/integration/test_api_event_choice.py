"""What event streams show: filters, the objects first, what an event says, and how far back there are any."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.builders.log import COMPACTING, a_log_that_was_compacted, commits
from tests.builders.objects import a_vm
from tests.builders.server import Frame, serving

from volant.model.event import Happening


@pytest.mark.parametrize(
    ("query", "events"),
    [
        ("/events?kind=VM", ["vm.created", "vm.started", "vm.created"]),
        ("/events?types=vm.started,plugin.installed", ["plugin.installed", "plugin.installed", "vm.started"]),
        ("/events?name=b", ["vm.created"]),
        ("/events?plugin=other", ["plugin.installed", "vm.created"]),
        ("/events?kinds=VM,Plugin&name=other", ["plugin.installed"]),
        ("/events?names=a,b&types=vm.created", ["vm.created", "vm.created"]),
        ("/events/plugins", ["plugin.installed", "plugin.installed"]),
        ("/events/plugins?names=other", ["plugin.installed"]),
        ("/events/deployments", []),
        ("/events/vms?label_selector=app%3Dweb", ["vm.created", "vm.started"]),
        ("/events?label_selector=!app&kind=VM", ["vm.created"]),
        ("/events/vms?plugin=hello", ["vm.created", "vm.started"]),
        ("/events/vms?types=vm.created", ["vm.created", "vm.created"]),
        ("/events/vms?types=plugin.installed", []),
    ],
)
async def test_a_stream_shows_what_was_asked_for(tmp_path: Path, query: str, events: list[str]) -> None:
    async with serving(tmp_path) as api:
        await api.installed("hello")
        await api.installed("other")
        await api.post("/vms", name="a", plugin="hello", labels={"app": "web"})
        await api.runs("a")
        await api.post("/vms", name="b", plugin="other")
        async with api.events(f"{query}{'&' if '?' in query else '?'}since=0") as stream:
            api.deps.stopping.set()
            assert [frame.event for frame in await stream.rest()] == [*events, "bye"]


@pytest.mark.parametrize(
    "query",
    [
        "since=x",
        "since=-1",
        "since=99",
        "types=vm.flown",
        "kind=Pod",
        "nmae=a",
        "types=",
        "kinds=vm",
        "names=,",
        "label_selector=a in",
        "initial=maybe",
    ],
)
async def test_a_bad_parameter_is_refused(tmp_path: Path, query: str) -> None:
    async with serving(tmp_path) as api:
        answer = await api.get(f"/events?{query}")
        assert answer.status_code == 400


async def test_a_deployment_and_its_vms_are_on_one_stream(tmp_path: Path) -> None:
    async with serving(tmp_path) as api:
        await api.installed("hello")
        await api.post("/deployments", name="web", plugin="hello", replicas=1)
        web = api.store.deployment("web")
        await api.store.create(a_vm("web-1", owner=web), Happening(type="vm.created", actor="deployment"))
        await api.store.create(a_vm("other"), Happening(type="vm.created"))
        for path, names in (("/events", ["web", "web-1"]), ("/events/vms", ["web-1"])):
            async with api.events(f"{path}?deployment=web&since=0") as stream:
                assert [frame.data["name"] for frame in await stream.take(len(names))] == names


async def test_a_stream_can_begin_with_the_objects_as_get_shows_them(tmp_path: Path) -> None:
    """W1: list and watch in one, over the wire; a reconnect goes on from the bookmark."""
    async with serving(tmp_path) as api:
        await api.installed("hello")
        await api.post("/vms", name="a", plugin="hello")
        await api.post("/deployments", name="web", plugin="hello", replicas=2)
        async with api.events("/events?initial=true") as stream:
            plugin, deployment, vm, bookmark = await stream.take(4)
            await api.runs("a")
            started = await stream.next()
        assert plugin == Frame(None, "plugin.state", (await api.get("/plugins/hello")).json())
        assert deployment == Frame(None, "deployment.state", (await api.get("/deployments/web")).json())
        assert (vm.id, vm.event, vm.data["status"]) == (None, "vm.state", "starting")
        assert bookmark == Frame(3, "bookmark", {"revision": 3, "objects": 3})
        assert started is not None
        assert (started.id, started.data["new"]["status"]) == (4, "running")
        async with api.events("/events?initial=true", Last_Event_ID="3") as stream:
            assert await stream.next() == started
        async with api.events("/events/vms?initial=true") as stream:
            assert (await stream.take(1))[0].data == (await api.get("/vms/a")).json()


async def test_an_event_says_who_did_what_on_whose_request(tmp_path: Path) -> None:
    """E4"""
    async with serving(tmp_path) as api, api.events("/events") as stream:
        await api.installed("hello")
        answer = await api.post("/deployments", name="web", plugin="hello", replicas=1)
        await api.patch("/deployments/web", replicas=3)
        scaled = (await stream.take(3))[-1].data
        assert (scaled["actor"], scaled["generation"], scaled["message"]) == ("api", 2, "1 → 3")
        assert (scaled["previous"], scaled["new"]) == ({"replicas": 1}, {"replicas": 3})
        assert scaled["request_id"]
        assert scaled["request_id"] != answer.headers["x-request-id"]


async def test_how_far_back_events_are_kept_is_on_every_list_and_stream(tmp_path: Path) -> None:
    """W9"""
    async with serving(tmp_path, ring_events=4, settings=COMPACTING) as api:
        await a_log_that_was_compacted(api)
        since = str(api.store.oldest_event)
        for path in ("/vms", "/deployments", "/plugins"):
            assert (await api.get(path)).headers["volant-events-since"] == since
        async with api.events("/events") as stream:
            assert stream.headers["volant-events-since"] == since


async def test_an_idle_reader_of_something_else_resumes_after_a_compaction(tmp_path: Path) -> None:
    """W4: its heartbeats carry it past what it never asked for; without them its place would be long gone."""
    async with serving(tmp_path, ring_events=64, settings=COMPACTING, heartbeat_s=0.02) as api:
        places = list[int]()
        async with (
            api.events("/events/vms") as frames,
            api.events("/events/vms", Accept="application/x-ndjson") as lines,
        ):
            await commits(api, 10, "b0")
            # A place from before the compaction: what comes may all be one turn of the loop.
            first = await frames.block()
            assert first is not None
            places.append(int(first.partition("id: ")[2]))
            for batch in range(1, 30):
                await commits(api, 10, f"b{batch}")
            while not places or places[-1] < api.store.revision:
                block = await frames.block()
                assert block is not None
                places.append(int(block.partition("id: ")[2]))
            while (line := await lines.line())["id"] < api.store.revision:
                assert line["event"] == "beat"
        assert places[0] < api.store.oldest_event
        await api.post("/vms", name="a", plugin="b1-1")
        async with api.events("/events/vms", Last_Event_ID=str(places[-1])) as stream:
            assert (await stream.take(1))[0].event == "vm.created"
