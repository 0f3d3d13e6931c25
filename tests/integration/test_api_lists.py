"""Lists over a real socket: which objects, in which order, which of their fields."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from tests.builders.objects import a_deployment, a_plugin, a_vm, running_status, stopped_status
from tests.builders.server import Served, serving

from volant.model.event import Happening
from volant.model.meta import Key
from volant.model.vm import VM
from volant.store import StoreSettings, Transaction

NO_DISK = StoreSettings(synchronous="off")


def told(kind: str) -> Happening:
    """A write of the test's own."""
    return Happening(type=kind, actor="test")  # type: ignore[arg-type]


@asynccontextmanager
async def fleet(directory: Path) -> AsyncIterator[Served]:
    """Two deployments with VMs of their own, and two VMs without an owner."""
    async with serving(directory, settings=NO_DISK) as api:
        web = a_deployment("web", meta={"labels": {"app": "web"}}, replicas=3)
        old = a_deployment("old", meta={"labels": {"app": "old"}}, uid="d" * 32)
        for deployment in (web, old):
            await api.store.create(deployment, told("deployment.created"))
        for vm in (
            a_vm("web-2", owner=web, status=running_status(restarts=2), meta={"labels": {"app": "web", "n": "2"}}),
            a_vm("solo", status=stopped_status(), power="stopped", plugin="other", meta={"labels": {"n": "10"}}),
            a_vm("web-1", owner=web, meta={"labels": {"app": "web", "gpu": ""}}),
            a_vm("old-1", owner=old, status=running_status(restarts=1), meta={"labels": {"app": "old"}}),
            a_vm("a"),
        ):
            await api.store.create(vm, told("vm.created"))
        yield api


async def names(api: Served, query: str, path: str = "/vms") -> list[str]:
    """The names on one page."""
    answer = await api.get(f"{path}?{query}")
    assert answer.status_code == 200, answer.text
    assert answer.headers["x-total-count"].isdigit()
    return [vm["name"] for vm in answer.json()]


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("", ["web-2", "solo", "web-1", "old-1", "a"]),
        ("order=desc", ["a", "old-1", "web-1", "solo", "web-2"]),
        ("sort=created_at&order=asc", ["web-2", "solo", "web-1", "old-1", "a"]),
        ("sort=name", ["a", "old-1", "solo", "web-1", "web-2"]),
        ("sort=name&order=desc&limit=2", ["web-2", "web-1"]),
        ("sort=status", ["web-2", "old-1", "web-1", "a", "solo"]),
        ("sort=status&order=desc&offset=1&limit=3", ["a", "web-1", "old-1"]),
        ("sort=restarts&order=desc&limit=2", ["web-2", "old-1"]),
        ("sort=plugin&order=desc&limit=1", ["solo"]),
        ("sort=started_at&order=desc&q=old", ["old-1"]),
        ("q=web", ["web-2", "web-1"]),
        ("q=o", ["solo", "old-1"]),
        ("q=%25", []),
        ("q=", ["web-2", "solo", "web-1", "old-1", "a"]),
        ("deployment=web", ["web-2", "web-1"]),
        ("deployment=nope", []),
        (f"owner={'d' * 32}", ["old-1"]),
        ("owner=web&sort=name", ["web-1", "web-2"]),
        ("owner=", ["solo", "a"]),
        ("deployment=web&owner=old", []),
        ("status=running", ["web-2", "old-1"]),
        ("status=starting", ["web-1", "a"]),
        ("status=stopped&plugin=other&q=s", ["solo"]),
        ("status=running&sort=name&limit=1&offset=1", ["web-2"]),
        ("label_selector=app", ["web-2", "web-1", "old-1"]),
        ("label_selector=!app", ["solo", "a"]),
        ("label_selector=app in (web,db),!gpu", ["web-2"]),
        ("label_selector=app!=web&sort=name", ["a", "old-1", "solo"]),
        ("label_selector=n>5", ["solo"]),
        ("label_selector=", ["web-2", "solo", "web-1", "old-1", "a"]),
        ("label_selector=app=web&status=running&plugin=hello&deployment=web&q=2", ["web-2"]),
    ],
)
async def test_vms_are_chosen_and_sorted(tmp_path: Path, query: str, found: list[str]) -> None:
    async with fleet(tmp_path) as api:
        query = quote(query, safe="=&%")
        first = await names(api, query)
        assert first == found
        # And once more, of what is kept now.
        assert await names(api, query) == found


@pytest.mark.parametrize(
    ("query", "total"),
    [("limit=1", 5), ("limit=0", 5), ("offset=9", 5), ("q=web&limit=1", 2), ("status=starting&limit=1", 2)],
)
async def test_the_total_is_that_of_all_pages(tmp_path: Path, query: str, total: int) -> None:
    async with fleet(tmp_path) as api:
        assert (await api.get(f"/vms?{query}")).headers["x-total-count"] == str(total)
        assert (await api.get(f"/vms?{query}&sort=status")).headers["x-total-count"] == str(total)


async def test_deployments_are_chosen_and_sorted(tmp_path: Path) -> None:
    async with fleet(tmp_path) as api:
        assert await names(api, "sort=name", "/deployments") == ["old", "web"]
        assert await names(api, "sort=replicas&order=desc", "/deployments") == ["web", "old"]
        assert await names(api, "label_selector=app%3Dold", "/deployments") == ["old"]
        assert await names(api, "q=e", "/deployments") == ["web"]
        answer = await api.get("/deployments?fields=name,status.phase,vms&limit=1")
        assert answer.json() == [{"name": "web", "vms": ["web-1", "web-2"], "status": {"phase": "pending"}}]


async def test_plugins_are_names_unless_fields_are_asked_for(tmp_path: Path) -> None:
    async with serving(tmp_path, settings=NO_DISK) as api:
        for plugin in (a_plugin("hello", meta={"labels": {"tier": "1"}}), a_plugin("b", enabled=False), a_plugin("a")):
            await api.store.create(plugin, told("plugin.installed"))
        assert (await api.get("/plugins")).json() == {"plugins": ["hello", "b", "a"]}
        assert (await api.get("/plugins?sort=name&order=desc&limit=2")).json() == {"plugins": ["hello", "b"]}
        assert (await api.get("/plugins?sort=enabled&limit=1")).json() == {"plugins": ["b"]}
        assert (await api.get("/plugins?label_selector=tier")).json() == {"plugins": ["hello"]}
        assert (await api.get("/plugins?fields=name,enabled&q=b")).json() == {
            "plugins": [{"name": "b", "enabled": False}]
        }


async def test_fields_are_cut_out_of_lists_and_objects(tmp_path: Path) -> None:
    async with fleet(tmp_path) as api:
        answer = await api.get("/vms?fields=name,labels.app&deployment=web")
        assert answer.json() == [{"name": name, "labels": {"app": "web"}} for name in ("web-2", "web-1")]
        whole, part = await api.get("/vms/web-2"), await api.get("/vms/web-2?fields=pid,resources.vcpu")
        assert part.json() == {"pid": 4242, "resources": {"vcpu": 1}}
        assert part.headers["etag"] == whole.headers["etag"]
        known = await api.get("/vms/web-2?fields=pid", if_none_match=whole.headers["etag"])
        assert known.status_code == 304
        assert (await api.get("/deployments/web?fields=replicas")).json() == {"replicas": 3}
        await api.installed("hello")
        assert (await api.get("/plugins/hello?fields=workload.port")).json() == {"workload": {"port": 8080}}


@pytest.mark.parametrize(
    ("path", "where", "said"),
    [
        ("/vms?fields=nam", "?fields", "Did you mean 'name'?"),
        ("/vms/web-1?fields=resources.cpu", "?fields", "Did you mean 'resources.vcpu'?"),
        ("/deployments?fields=replica", "?fields", "Did you mean 'replicas'?"),
        ("/deployments/web?fields=zzz", "?fields", "unknown field 'zzz'"),
        ("/plugins?fields=nme", "?fields", "Did you mean 'name'?"),
        ("/plugins/hello?fields=nme", "?fields", "Did you mean 'name'?"),
        ("/vms?sort=nam", "?sort", "Did you mean 'name'?"),
        ("/deployments?sort=replica", "?sort", "Did you mean 'replicas'?"),
        ("/plugins?sort=zzz", "?sort", "expected one of: created_at, name, enabled"),
        ("/vms?order=up", "?order", "expected one of: asc, desc"),
        ("/vms?label_selector=a%20b", "?label_selector", "found 'b'"),
        ("/deployments?label_selector=a,", "?label_selector", "found the end of the selector"),
        ("/vms?lable_selector=a", "?lable_selector", "Did you mean 'label_selector'?"),
        ("/vms?continue=x", "?continue", "is not a token of this list"),
        ("/vms?continue=%C3%BC", "?continue", "is not a token of this list"),
        ("/vms?continue=", "?continue", "is not a token of this list"),
        ("/vms?limit=-1", "?limit", ">= 0"),
    ],
)
async def test_what_cannot_be_asked_for_is_refused(tmp_path: Path, path: str, where: str, said: str) -> None:
    async with fleet(tmp_path) as api:
        await api.installed("hello")
        answer = await api.get(path)
        assert (answer.status_code, answer.json()["code"]) == (400, "invalid"), answer.text
        field = answer.json()["details"]["fields"][0]
        assert field["path"] == where
        assert said in field["message"]


async def test_a_list_shows_every_change_at_once(tmp_path: Path) -> None:
    """V11: nothing that is kept outlives the write that changed it."""
    async with fleet(tmp_path) as api:
        words: dict[str, Any] = {vm["name"]: vm["status"] for vm in (await api.get("/vms")).json()}
        assert words["web-1"] == "starting"
        await api.runs("web-1")
        changed = {vm["name"]: vm["status"] for vm in (await api.get("/vms")).json()}
        assert changed == words | {"web-1": "running"}
        assert await names(api, "status=running") == ["web-2", "web-1", "old-1"]
        await api.store.write(lambda tx: tx.mark_deleting(tx.get(Key("VM", "old-1")), told("vm.deleting")))
        assert await names(api, "status=stopping") == ["old-1"]
        await api.clears(api.store.vm("old-1"))
        assert await names(api, "") == ["web-2", "solo", "web-1", "a"]


async def test_a_list_of_everything_is_what_the_objects_are(tmp_path: Path) -> None:
    async with fleet(tmp_path) as api:
        for path, kinds in (("/vms", ["solo", "a", "web-1"]), ("/deployments", ["web", "old"])):
            by_name = {obj["name"]: obj for obj in (await api.get(path)).json()}
            assert [by_name[name] for name in kinds] == [(await api.get(f"{path}/{name}")).json() for name in kinds]


def _insert(vms: list[VM], tx: Transaction) -> None:
    for vm in vms:
        tx.insert(vm, told("vm.created"))


async def test_others_are_answered_while_a_long_list_is_read(tmp_path: Path) -> None:
    """A list of two thousand VMs that nobody asked for before takes many turns of the loop."""
    async with serving(tmp_path, settings=NO_DISK) as api:
        for begin in range(0, 2000, 200):
            await api.store.write(partial(_insert, [a_vm(f"vm-{number}") for number in range(begin, begin + 200)]))
        order: list[str] = []

        async def asked(path: str, name: str) -> int:
            answer = await api.get(path)
            order.append(name)
            return len(answer.json())

        async with asyncio.TaskGroup() as tasks:
            whole = tasks.create_task(asked("/vms", "list"))
            await asyncio.sleep(0)
            tasks.create_task(asked("/vms/vm-7?fields=name", "one"))
        assert whole.result() == 2000
        assert order == ["one", "list"]
