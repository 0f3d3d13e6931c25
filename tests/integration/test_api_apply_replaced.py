"""`POST /apply` that replaces a plugin: the old one goes by itself, once the last of its replicas is replaced."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.builders.objects import a_vm, owner_of
from tests.builders.server import Served, serving

from volant.model.event import Happening
from volant.model.meta import Key


def plugin(name: str) -> dict[str, Any]:
    spec = {"version": "1", "kernel": {"url": "file:///kernel"}, "initramfs": {"url": "file:///initramfs"}}
    return {"kind": "Plugin", "metadata": {"name": name}, "spec": spec}


def vm(name: str, **spec: Any) -> dict[str, Any]:
    return {"kind": "VM", "metadata": {"name": name}, "spec": {"plugin": "p1", **spec}}


def web(of: str, **spec: Any) -> dict[str, Any]:
    return {"kind": "Deployment", "metadata": {"name": "web"}, "spec": {"plugin": of, **spec}}


async def applied(api: Served, *objects: Any, **asked: Any) -> Any:
    return await api.post("/apply", **{"set": "infra", "objects": list(objects), **asked})


async def replica(api: Served, name: str) -> None:
    """A VM of the deployment, as its controller makes it."""
    child = a_vm(name, plugin="p1", owner=owner_of(api.store.deployment("web")))
    await api.store.create(child, Happening(type="vm.created", actor="test"))


OLD = (plugin("p1"), web("p1"))
NEW = (plugin("p2"), web("p2"))


@pytest.mark.parametrize("is_atomic", [False, True])
async def test_a_plugin_waits_for_its_replicas_and_goes_with_the_same_apply_later(
    tmp_path: Path, is_atomic: bool
) -> None:
    """A5: meanwhile nothing is written. In a set with a history, too."""
    async with serving(tmp_path) as api:
        await applied(api, *OLD, atomic=is_atomic)
        await replica(api, "web-1")
        plan = (await api.post("/apply?dry_run=true", set="infra", objects=list(NEW), prune=True)).json()
        done = await applied(api, *NEW, prune=True, plan=plan["token"])
        assert done.json()["summary"] == {"create": 1, "update": 1, "delete": 0, "unchanged": 1}
        (waits,) = (one for one in done.json()["objects"] if one["name"] == "p1")
        assert (waits["action"], waits["waits"]) == ("unchanged", "still used by 1 VM that is being replaced")
        revision = api.store.revision
        again = await applied(api, *NEW, prune=True)
        assert again.json()["summary"]["unchanged"] == 3
        assert api.store.revision == revision
        assert "p1" in [one["name"] for one in (await api.get("/sets/infra")).json()["objects"]]

        await api.delete("/vms/web-1?wait=none")
        assert (await applied(api, *NEW, prune=True)).json()["summary"]["delete"] == 1
        gone = api.store.find(Key("Plugin", "p1"))
        assert gone is None or gone.meta.is_deleting


async def test_a_plugin_that_somebody_else_uses_is_refused_all_the_same(tmp_path: Path) -> None:
    async with serving(tmp_path) as api:
        await applied(api, *OLD)
        await replica(api, "web-1")
        await api.post("/vms", name="mine", plugin="p1")
        refused = await applied(api, *NEW, prune=True)
        assert (refused.status_code, refused.json()["code"]) == (409, "plugin_in_use")
        assert api.store.deployment("web").spec.plugin == "p1"


@pytest.mark.parametrize("way", ["apply", "put"])
async def test_a_deployment_whose_plugin_is_gone_is_mended_by_naming_another(tmp_path: Path, way: str) -> None:
    async with serving(tmp_path) as api:
        await applied(api, plugin("p2"), *OLD)
        lost = api.store.find(Key("Plugin", "p1"))
        assert lost is not None
        await api.store.write(lambda tx: tx.mark_deleting(lost, Happening(type="plugin.deleting", actor="test")))
        await api.clears(lost)
        same = await applied(api, web("p1", replicas=2))
        assert (same.status_code, "there is no plugin p1" in same.text) == (400, True)
        if way == "apply":
            done = await applied(api, *NEW)
        else:
            done = await api.http.put("/deployments/web?force=true&wait=none", json=web("p2"))
        assert done.status_code == 200, done.text
        assert api.store.deployment("web").spec.plugin == "p2"


async def test_a_plan_is_of_what_joins_and_of_whose_the_fields_are(tmp_path: Path) -> None:
    """A8: where no object is to be changed, either."""
    async with serving(tmp_path) as api:
        await applied(api, plugin("p1"), set="base")
        for name in ("a", "b"):
            await api.post("/vms", name=name, plugin="p1")
        plan = (await api.post("/apply?dry_run=true", set="infra", objects=[vm("a")])).json()
        assert plan["objects"][0]["joins"]
        for others in ([vm("a"), vm("b")], [vm("a", restart_policy="always")], [vm("c")]):
            refused = await applied(api, *others, plan=plan["token"])
            assert refused.json()["code"] == "plan_changed"
        assert (await applied(api, vm("a"), plan=plan["token"])).status_code == 200
        settled = (await api.post("/apply?dry_run=true", set="infra", objects=[vm("a")])).json()["objects"][0]
        assert "joins" not in settled
        assert "owners" not in settled
        more = await api.post("/apply?dry_run=true", set="infra", objects=[vm("c")])
        other = await applied(api, vm("c", restart_policy="always"), plan=more.json()["token"])
        assert other.json()["code"] == "plan_changed"


@pytest.mark.parametrize("way", ["atomic", "force", "partial", "prune"])
async def test_a_plan_is_of_the_way_in_which_it_is_asked_for(tmp_path: Path, way: str) -> None:
    """A8"""
    async with serving(tmp_path) as api:
        objects = [plugin("p1"), vm("a")]
        token = (await api.post("/apply?dry_run=true", set="infra", objects=objects)).json()["token"]
        refused = await applied(api, *objects, plan=token, **{way: True})
        assert refused.json()["code"] == "plan_changed"
        assert (await applied(api, *objects, plan=token)).status_code == 200
