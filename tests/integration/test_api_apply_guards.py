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


async def applied_dry(api: Served, *objects: Any, **asked: Any) -> Any:
    return await api.post("/apply?dry_run=true", objects=list(objects), **{"set": "infra", **asked})


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
    """A4, A8: also where no object is to be changed, for whose it is would be."""
    async with serving(tmp_path) as api:
        await applied(api, HELLO, set="base")
        await api.post("/vms", name="a", plugin="hello")
        body = {"objects": [vm("a")], "set": "infra", "manager": "sync"}
        plan = (await api.post("/apply?dry_run=true", **body)).json()["token"]
        for other in ({"set": "other"}, {"manager": "robot"}):
            refused = await api.post("/apply", **{**body, **other}, plan=plan)
            assert (refused.status_code, refused.json()["code"]) == (409, "plan_changed")
        assert (await api.post("/apply", **body, plan=plan)).status_code == 200


async def test_what_somebody_has_taken_away_does_not_come_back_in_silence(tmp_path: Path) -> None:
    """A1, A2: a PATCH that removes a variable is a word about it, as one that changes it is."""
    async with serving(tmp_path) as api:
        said = vm("a", config={"env": {"DEBUG": "yes", "LEVEL": "1"}})
        await applied(api, HELLO, said)
        assert (await api.patch("/vms/a/config", env={"DEBUG": None})).status_code == 200
        refused = await applied(api, HELLO, said)
        assert (refused.status_code, refused.json()["code"]) == (409, "field_conflict")
        (conflict,) = refused.json()["details"]["conflicts"]
        assert (conflict["path"], conflict["owners"], conflict["live"]) == ("config.env.DEBUG", ["api"], None)
        left_out = await applied(api, HELLO, vm("a", config={"env": {"LEVEL": "1"}}))
        assert left_out.json()["summary"]["unchanged"] == 2, "what a manifest leaves out is no conflict"
        assert (await applied(api, HELLO, said)).json()["code"] == "field_conflict"
        assert (await applied(api, HELLO, said, force=True)).json()["summary"]["update"] == 1
        assert api.store.vm("a").spec.config.env == {"DEBUG": "yes", "LEVEL": "1"}


async def test_what_somebody_takes_back_of_his_own_is_nobodys(tmp_path: Path) -> None:
    """A2: so that what comes and goes leaves nothing behind."""
    async with serving(tmp_path) as api:
        await applied(api, HELLO, vm("a"))
        held = rows(tmp_path / "volant.db", "fields")
        await api.patch("/vms/a/config", env={"TRACE": "1"})
        await api.patch("/vms/a/config", env={"TRACE": None})
        assert rows(tmp_path / "volant.db", "fields") == held
        assert (await applied(api, HELLO, vm("a", config={"env": {"TRACE": "2"}}))).json()["summary"]["update"] == 1


async def test_a_set_is_applied_once_with_one_key(tmp_path: Path) -> None:
    """A5: a repetition is answered as the first was, and nothing is done, whatever has become of the set since."""
    async with serving(tmp_path) as api:

        async def keyed(key: str, *objects: Any, query: str = "", **asked: Any) -> Any:
            body = {"objects": list(objects), "set": "infra", **asked}
            return await api.http.post(f"/apply{query}", json=body, headers={"idempotency-key": key})

        tried = await keyed("k", HELLO, vm("a"), query="?dry_run=true")
        first = await keyed("k", HELLO, vm("a"))
        assert (first.status_code, first.json()["summary"]["create"]) == (200, 2), "a dry run keeps no key"
        assert tried.json()["token"] == first.json()["token"]
        await applied(api, HELLO, vm("a", grace_s=5), manager="apply")
        before = api.store.revision
        again = await keyed("k", HELLO, vm("a"))
        assert (again.content, again.headers["idempotent-replayed"]) == (first.content, "true")
        assert "idempotent-replayed" not in first.headers
        assert api.store.revision == before
        other = await keyed("k", HELLO, vm("b"))
        assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")
        for _ in range(2):
            refused = await keyed("r", vm("a"), set="mine")
            assert refused.json()["code"] == "set_conflict", "what was refused is a first try again"
        assert (await keyed("r", vm("a"), set="mine", force=True)).status_code == 200


async def test_what_has_a_name_is_merged_by_it_and_a_list_is_one_value(tmp_path: Path) -> None:
    """A3: variables and disks of two managers are there together, lists of both are a conflict."""
    async with serving(tmp_path) as api:
        await applied(api, HELLO)
        mine = {
            "env": {"A": "1"},
            "disks": {"data": {"size_mb": 10}},
            "network": {"publish": [{"guest_port": 80, "host_port": 18_080}]},
        }
        theirs = {"env": {"B": "1"}, "disks": {"logs": {"size_mb": 10}}}
        first = await applied(api, vm("a", config=mine), partial=True)
        assert first.status_code == 200, first.text
        assert (await applied(api, vm("a", config=theirs), manager="other", partial=True)).status_code == 200
        config = api.store.vm("a").spec.config
        assert (set(config.env), set(config.disks)) == ({"A", "B"}, {"data", "logs"})
        theirs["network"] = {"publish": [{"guest_port": 81, "host_port": 18_081}]}
        clash = await applied(api, vm("a", config=theirs), manager="other", partial=True)
        assert [one["path"] for one in clash.json()["details"]["conflicts"]] == ["config.network.publish"]


async def test_a_plan_to_delete_is_of_the_very_objects_that_it_names(tmp_path: Path) -> None:
    """A8, A6: what is there instead of one of them has to be looked at anew."""
    async with serving(tmp_path) as api:
        await applied(api, HELLO, vm("a"), vm("b"), vm("c"))
        plan = (await applied_dry(api, HELLO, vm("a"), vm("b"), prune=True)).json()
        (goes,) = (one for one in plan["objects"] if one["action"] == "delete")
        assert (goes["kind"], goes["name"], goes["uid"]) == ("VM", "c", api.store.vm("c").meta.uid)
        await api.delete("/vms/c?wait=none")
        await api.clears(api.store.vm("c"))
        await applied(api, vm("c"), partial=True)
        refused = await applied(api, HELLO, vm("a"), vm("b"), prune=True, plan=plan["token"])
        assert refused.json()["code"] == "plan_changed"
        assert not api.store.vm("c").meta.is_deleting
