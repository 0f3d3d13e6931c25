"""Pages of a list, followed by their `Link` while objects come, change and go."""

from __future__ import annotations

import asyncio
import random
import re
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx2
import pytest
from tests.builders.objects import a_deployment, a_vm, running_status, stopped_status
from tests.builders.server import Served, serving

from volant.api.orders import KEPT
from volant.model.event import Happening
from volant.model.meta import Key
from volant.store import StoreSettings

NO_DISK = StoreSettings(synchronous="off")

Meanwhile = Callable[[], Awaitable[None]]


def told(kind: str) -> Happening:
    """A write of the test's own."""
    return Happening(type=kind, actor="test")  # type: ignore[arg-type]


def next_of(answer: httpx2.Response) -> str | None:
    """Where the next page is, below /api/v1."""
    link = answer.headers.get("link")
    if link is None:
        return None
    match = re.fullmatch(r'</api/v1(/[!-~]+)>; rel="next"', link)
    assert match is not None, link
    return match[1]


async def pages(api: Served, path: str, meanwhile: Meanwhile | None = None) -> list[httpx2.Response]:
    """All pages from `path` on; something happens between any two."""
    found = [await api.get(path)]
    while (path_of_next := next_of(found[-1])) is not None:
        if meanwhile is not None:
            await meanwhile()
        found.append(await api.get(path_of_next))
        assert len(found) < 1000
    assert {answer.status_code for answer in found} == {200}, found[-1].text
    return found


def names_of(answers: list[httpx2.Response]) -> list[list[str]]:
    """The names on each page."""
    return [[vm["name"] for vm in answer.json()] for answer in answers]


class World:
    """VMs that come, change and go at random; remembers which were there all the time."""

    def __init__(self, api: Served, seed: int) -> None:
        self.api = api
        self.chance = random.Random(seed)
        self.there: dict[str, str] = {}
        self.throughout: set[str] = set()
        self._made = 0

    async def create(self) -> None:
        """One more, with a name that is anywhere among the others."""
        self._made += 1
        name = f"{self.chance.choice('abcdefgh')}-{self._made}"
        vm = await self.api.store.create(
            a_vm(name, uid=f"{self._made:032x}", meta={"labels": {"half": str(self._made % 2)}}), told("vm.created")
        )
        self.there[name] = vm.meta.uid

    async def remove(self) -> None:
        """One of them goes. The last one made as often as any other: its place in the table is used again."""
        name = self.chance.choice([list(self.there)[-1], *self.there])
        await self.take_away(name)
        self.throughout.discard(self.there.pop(name))

    async def take_away(self, name: str) -> None:
        """That one goes."""
        store = self.api.store
        await store.write(lambda tx: tx.mark_deleting(tx.get(Key("VM", name)), told("vm.deleting")))
        await self.api.clears(store.vm(name))

    async def change(self) -> None:
        """One of them has another status."""
        vm = self.api.store.vm(self.chance.choice(list(self.there)))
        status = self.chance.choice([running_status(restarts=self.chance.randrange(5)), stopped_status()])
        await self.api.store.update_status(vm, status, told("vm.updated"))

    async def churn(self) -> None:
        """A few of each."""
        for _ in range(self.chance.randrange(4)):
            if not self.there:
                await self.create()
            await self.chance.choice([self.create, self.change, self.remove])()


@pytest.mark.parametrize("sort", ["created_at", "name", "status", "restarts"])
@pytest.mark.parametrize("order", ["asc", "desc"])
@pytest.mark.parametrize("selector", ["", "&label_selector=half%3D1"])
async def test_pages_show_what_is_there_throughout_and_nothing_twice(
    tmp_path: Path, sort: str, order: str, selector: str
) -> None:
    """W8, and W1: watching from the revision that every page names leads to what there is."""
    async with serving(tmp_path, settings=NO_DISK) as api:
        for seed in range(4):
            world = World(api, seed)
            for _ in range(world.chance.randrange(1, 30)):
                await world.create()
            before = set(world.there.values())
            world.throughout = set(before)
            limit = world.chance.randrange(1, 9)
            found = await pages(api, f"/vms?sort={sort}&order={order}&limit={limit}{selector}", world.churn)
            shown = [vm for answer in found for vm in answer.json()]
            uids = [vm["uid"] for vm in shown]
            wanted = {vm["uid"] for vm in shown if vm["labels"]["half"] == "1"}
            assert len(uids) == len(set(uids))
            if selector:
                assert wanted == set(uids)
                assert {uid for uid in world.throughout if int(uid, 16) % 2} <= wanted
            else:
                assert world.throughout <= set(uids)
            if sort == "name":
                assert [vm["name"] for vm in shown] == sorted((vm["name"] for vm in shown), reverse=order == "desc")
            if sort in ("status", "restarts"):
                assert set(uids) <= before
            assert len({answer.headers["volant-revision"] for answer in found}) == 1
            await _watching_leads_to_what_there_is(api, found, bool(selector))
            for name in list(world.there):
                await world.take_away(name)


@pytest.mark.parametrize("query", ["", "sort=name&order=desc", "sort=restarts", "label_selector=half", "limit=500"])
async def test_a_long_list_that_changes_while_it_is_read_misses_nothing(tmp_path: Path, query: str) -> None:
    """W1: it takes several turns of the loop, and others write in between."""
    async with serving(tmp_path, settings=NO_DISK) as api:
        world = World(api, 7)
        for _ in range(400):
            await world.create()
        world.throughout = set(world.there.values())
        is_over = asyncio.Event()

        async def churn() -> None:
            while not is_over.is_set():
                await world.churn()
                await asyncio.sleep(0)

        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(churn())
            answer = await api.get(f"/vms?{query}")
            is_over.set()
        uids = [vm["uid"] for vm in answer.json()]
        assert len(uids) == len(set(uids))
        assert world.throughout <= set(uids)
        await _watching_leads_to_what_there_is(api, [answer], is_part=False)


async def _watching_leads_to_what_there_is(api: Served, found: list[httpx2.Response], is_part: bool) -> None:
    state = {vm["uid"]: vm["revision"] for answer in found for vm in answer.json()}
    revision = int(found[0].headers["volant-revision"])
    missed = api.store.events_after(revision, 10_000)
    async with api.events(f"/events?since={revision}") as stream:
        heard = await stream.take(len(missed))
    for event, frame in zip(missed, heard, strict=True):
        assert frame.id == event.revision
        if event.type == "vm.deleted":
            state.pop(event.uid, None)
        elif event.uid in state or not is_part or int(event.uid, 16) % 2:
            state[event.uid] = event.revision
    there = {vm.meta.uid: vm.meta.revision for vm in api.store.vms() if not is_part or vm.meta.labels["half"] == "1"}
    assert state == there


async def _fleet(api: Served, count: int) -> None:
    owner = a_deployment("web")
    await api.store.create(owner, told("deployment.created"))
    for number in range(count):
        await api.store.create(a_vm(f"vm-{number}", owner=owner), told("vm.created"))


async def test_a_link_leads_to_the_next_page_with_everything_else_as_it_was(tmp_path: Path) -> None:
    async with serving(tmp_path, settings=NO_DISK) as api:
        await _fleet(api, 5)
        found = await pages(api, "/vms?limit=2&offset=1&deployment=web&fields=name&q=vm-&label_selector=!a")
        assert [answer.json() for answer in found] == [
            [{"name": "vm-1"}, {"name": "vm-2"}],
            [{"name": "vm-3"}, {"name": "vm-4"}],
        ]
        assert {answer.headers["x-total-count"] for answer in found} == {"5"}


@pytest.mark.parametrize(
    "query", ["", "limit=5", "limit=9", "offset=3", "limit=0", "limit=2&offset=3", "limit=1&offset=9"]
)
@pytest.mark.parametrize("sort", ["created_at", "name", "status"])
async def test_the_last_page_has_no_link(tmp_path: Path, query: str, sort: str) -> None:
    async with serving(tmp_path, settings=NO_DISK) as api:
        await _fleet(api, 5)
        assert "link" not in (await api.get(f"/vms?sort={sort}&{query}")).headers


async def test_deployments_and_plugins_have_pages_too(tmp_path: Path) -> None:
    async with serving(tmp_path, settings=NO_DISK) as api:
        for name in ("c", "a", "b"):
            await api.store.create(a_deployment(name), told("deployment.created"))
            await api.installed(name)
        assert names_of(await pages(api, "/deployments?limit=1")) == [["c"], ["a"], ["b"]]
        assert names_of(await pages(api, "/deployments?limit=2&sort=status&order=desc")) == [["b", "a"], ["c"]]
        found = await pages(api, "/plugins?limit=2&sort=name")
        assert [answer.json() for answer in found] == [{"plugins": ["a", "b"]}, {"plugins": ["c"]}]


async def test_another_limit_and_other_fields_may_be_asked_for_on_the_way(tmp_path: Path) -> None:
    async with serving(tmp_path, settings=NO_DISK) as api:
        await _fleet(api, 5)
        path = next_of(await api.get("/vms?sort=name&limit=1"))
        assert path is not None
        answer = await api.get(path.replace("limit=1", "limit=2") + "&fields=name")
        assert answer.json() == [{"name": "vm-1"}, {"name": "vm-2"}]
        assert names_of([await api.get(path.replace("limit=1&", ""))]) == [["vm-1", "vm-2", "vm-3", "vm-4"]]


@pytest.mark.parametrize(
    "change",
    [
        lambda path: path.replace("/vms?", "/deployments?").replace("&deployment=web", ""),
        lambda path: path.replace("&deployment=web", ""),
        lambda path: path.replace("sort=name", "sort=created_at"),
        lambda path: path.replace("sort=name", "sort=status"),
        lambda path: path.replace("order=asc", "order=desc"),
        lambda path: path + "&q=x",
        lambda path: path[:-3],
        lambda path: path + "A",
        lambda path: re.sub(r"continue=.", "continue=-", path),
    ],
)
async def test_a_token_is_good_for_its_own_list_only(tmp_path: Path, change: Callable[[str], str]) -> None:
    async with serving(tmp_path, settings=NO_DISK) as api:
        await _fleet(api, 3)
        path = next_of(await api.get("/vms?sort=name&order=asc&limit=1&deployment=web"))
        assert path is not None
        answer = await api.get(change(path))
        assert answer.status_code == 400
        assert answer.json()["details"]["fields"][0]["path"] == "?continue"


async def test_a_token_says_where_to_begin_so_an_offset_cannot(tmp_path: Path) -> None:
    async with serving(tmp_path, settings=NO_DISK) as api:
        await _fleet(api, 3)
        path = next_of(await api.get("/vms?limit=1"))
        answer = await api.get(f"{path}&offset=1")
        assert answer.status_code == 400
        assert answer.json()["details"]["fields"][0]["path"] == "?offset"


async def test_a_page_whose_revision_the_event_log_has_lost_is_refused(tmp_path: Path) -> None:
    """W2, W10: whoever goes on from there could not watch from there."""
    async with serving(tmp_path, settings=StoreSettings(synchronous="off", event_keep=5, compact_events=1)) as api:
        await _fleet(api, 3)
        path = next_of(await api.get("/vms?limit=1"))
        assert path is not None
        assert (await api.get(path)).status_code == 200
        for number in range(12):
            await api.store.create(a_vm(f"later-{number}"), told("vm.created"))
        answer = await api.get(path)
        body: dict[str, Any] = answer.json()
        assert (answer.status_code, body["code"]) == (410, "page_expired")
        assert "Begin again" in body["error"]
        assert body["details"]["asked"] == 4 < body["details"]["oldest"] <= api.store.oldest_event


async def test_an_order_that_is_no_longer_kept_is_refused(tmp_path: Path) -> None:
    """Never half a list: pages by what may change need the order of their first page."""
    async with serving(tmp_path, settings=NO_DISK) as api:
        await _fleet(api, 3)
        first = next_of(await api.get("/vms?sort=status&limit=1"))
        assert first is not None
        for _ in range(KEPT - 1):
            await api.get("/vms?sort=status&limit=1")
        assert (await api.get(first)).status_code == 200
        for _ in range(KEPT):
            await api.get("/vms?sort=status&limit=1")
        answer = await api.get(first)
        assert (answer.status_code, answer.json()["code"]) == (410, "page_expired")


async def test_tokens_outlive_the_daemon_where_nothing_is_kept_for_them(tmp_path: Path) -> None:
    async with serving(tmp_path, settings=NO_DISK) as api:
        await _fleet(api, 3)
        by_name = next_of(await api.get("/vms?sort=name&limit=2"))
        by_status = next_of(await api.get("/vms?sort=status&limit=2"))
    async with serving(tmp_path, settings=NO_DISK) as api:
        assert names_of([await api.get(str(by_name))]) == [["vm-2"]]
        assert (await api.get(str(by_status))).status_code == 410


async def test_a_token_of_a_revision_that_has_not_been_is_not_ours(tmp_path: Path) -> None:
    """A data directory that was put back to an earlier state."""
    (tmp_path / "then").mkdir()
    (tmp_path / "now").mkdir()
    async with serving(tmp_path / "then", settings=NO_DISK) as api:
        await _fleet(api, 9)
        path = next_of(await api.get("/vms?limit=1"))
    async with serving(tmp_path / "now", settings=NO_DISK) as api:
        await _fleet(api, 2)
        assert (await api.get(str(path))).status_code == 400
