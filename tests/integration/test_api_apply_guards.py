"""`POST /apply` where it is easily taken too far: what is not its to touch, and what must not go by mistake."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

from msgspec.structs import replace
from tests.builders.objects import a_vm, owner_of
from tests.builders.server import Served, serving

from volant.model.event import Happening

HELLO = {
    "kind": "Plugin",
    "metadata": {"name": "hello"},
    "spec": {"version": "1", "kernel": {"url": "file:///kernel"}, "initramfs": {"url": "file:///initramfs"}},
}
DISABLED = {**HELLO, "spec": {**HELLO["spec"], "enabled": False}}  # type: ignore[dict-item]


def vm(name: str, **spec: Any) -> dict[str, Any]:
    return {"kind": "VM", "metadata": {"name": name}, "spec": {"plugin": "hello", **spec}}


def deployment(name: str, **spec: Any) -> dict[str, Any]:
    return {"kind": "Deployment", "metadata": {"name": name}, "spec": {"plugin": "hello", **spec}}


async def applied(api: Served, *objects: Any, **asked: Any) -> Any:
    return await api.post("/apply", objects=list(objects), **{"set": "infra", **asked})


def rows(file: Path, table: str) -> list[Any]:
    with closing(sqlite3.connect(file)) as connection:
        return connection.execute(f"SELECT * FROM {table} ORDER BY 1, 2").fetchall()


async def test_the_vm_of_a_deployment_is_no_object_of_a_set(tmp_path: Path) -> None:
    """Also by force: a prune would take away what the deployment makes again."""
    async with serving(tmp_path) as api:
        await applied(api, HELLO, deployment("web"))
        child = a_vm("web-1")
        child = replace(child, meta=replace(child.meta, owner=owner_of(api.store.deployment("web"))))
        await api.store.create(child, Happening(type="vm.created", actor="test"))
        for force in (False, True):
            refused = await applied(api, vm("web-1"), set="mine", force=force)
            assert (refused.status_code, refused.json()["code"]) == (409, "object_owned")
            assert refused.json()["details"]["owner"] == "web"
        assert [one["name"] for one in (await api.get("/sets")).json()] == ["infra"]


async def test_a_set_that_is_another_one_by_now_has_to_be_meant(tmp_path: Path) -> None:
    """A7: what is made in place of the old does not count as what is kept of it."""
    async with serving(tmp_path) as api:
        await applied(api, HELLO, set="base")
        await applied(api, vm("a"), vm("b"))
        refused = await applied(api, vm("c"), vm("d"), vm("e"), prune=True)
        assert refused.json()["code"] == "prune_unconfirmed"
        assert refused.json()["details"] == {"set": "infra", "deletes": 2, "members": 2}
        assert {one.meta.name for one in api.store.vms()} == {"a", "b"}


async def test_what_is_on_its_way_out_already_does_not_count_as_kept(tmp_path: Path) -> None:
    """A7"""
    async with serving(tmp_path) as api:
        await applied(api, HELLO, set="base")
        await applied(api, vm("a"), vm("b"), vm("c"), vm("d"))
        assert (await applied(api, vm("a"), vm("b"), prune=True)).json()["summary"]["delete"] == 2
        refused = await applied(api, prune=True)
        assert refused.json()["details"] == {"set": "infra", "deletes": 2, "members": 2}


async def test_who_applied_a_plugin_may_disable_it_however_often_he_has_applied_it(tmp_path: Path) -> None:
    async with serving(tmp_path) as api:
        await applied(api, HELLO)
        held = rows(tmp_path / "volant.db", "fields")
        for _ in range(3):
            await applied(api, HELLO)
        assert rows(tmp_path / "volant.db", "fields") == held
        assert (await applied(api, DISABLED)).json()["summary"]["update"] == 1
        assert not api.store.plugin("hello").spec.enabled


async def test_what_comes_back_is_whose_it_was(tmp_path: Path) -> None:
    """A1: restoring is nobody's word, so the manager of the set goes on without a conflict."""
    async with serving(tmp_path) as api:
        await applied(api, HELLO, set="base")
        await applied(api, deployment("web", replicas=1), vm("a"), vm("b"), manager="sync")
        await api.patch("/deployments/web", replicas=3)
        await applied(api, vm("a"), vm("b"), manager="sync", prune=True)
        await api.clears(api.store.deployment("web"))
        await api.post("/sets/infra/restore")
        again = await applied(api, deployment("web"), vm("a"), vm("b"), manager="sync")
        assert again.json()["summary"]["unchanged"] == 3, "what was scaled by hand stays so"
        clash = await applied(api, deployment("web", replicas=2), vm("a"), vm("b"), manager="sync")
        assert clash.json()["details"]["conflicts"][0]["owners"] == ["api"]


async def test_nothing_is_restored_while_some_of_it_is_still_on_its_way_out(tmp_path: Path) -> None:
    """Left out, it would be missed in silence."""
    async with serving(tmp_path) as api:
        await applied(api, HELLO, vm("a"), vm("b"))
        await applied(api, HELLO, vm("a"), prune=True)
        early = await api.post("/sets/infra/restore")
        assert (early.status_code, early.json()["code"]) == (409, "vm_deleting")
        await api.clears(api.store.vm("b"))
        assert (await api.post("/sets/infra/restore")).json()["summary"]["create"] == 1


async def test_a_plan_is_of_one_set_and_one_manager(tmp_path: Path) -> None:
    """A4: also where no object is to be changed, for whose it is would be."""
    async with serving(tmp_path) as api:
        await applied(api, HELLO, set="base")
        await api.post("/vms", name="a", plugin="hello")
        body = {"objects": [vm("a")], "set": "infra", "manager": "sync"}
        plan = (await api.post("/apply?dry_run=true", **body)).json()["token"]
        for other in ({"set": "other"}, {"manager": "robot"}):
            refused = await api.post("/apply", **{**body, **other}, plan=plan)
            assert (refused.status_code, refused.json()["code"]) == (409, "plan_changed")
        assert (await api.post("/apply", **body, plan=plan)).status_code == 200
