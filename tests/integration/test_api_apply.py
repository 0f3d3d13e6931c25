"""`POST /apply` over HTTP: sets of objects, all or nothing, and whose a field is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.builders.daemon import RunningDaemon, daemon, until
from tests.builders.server import Served, serving

from volant.model.deployment import Deployment
from volant.model.vm import VM

HELLO = {
    "kind": "Plugin",
    "metadata": {"name": "hello"},
    "spec": {
        "version": "1.0.0",
        "kernel": {"url": "file:///kernel"},
        "initramfs": {"url": "file:///initramfs"},
        "env": {"LEVEL": "info"},
    },
}


def vm(name: str, **spec: Any) -> dict[str, Any]:
    return {"kind": "VM", "metadata": {"name": name}, "spec": {"plugin": "hello", **spec}}


def deployment(name: str, **spec: Any) -> dict[str, Any]:
    return {"kind": "Deployment", "metadata": {"name": name}, "spec": {"plugin": "hello", **spec}}


async def applied(api: Served, *objects: Any, dry_run: bool = False, **asked: Any) -> Any:
    path = "/apply?dry_run=true" if dry_run else "/apply"
    return await api.post(path, objects=list(objects), **{"set": "infra", **asked})


def actions(answer: Any) -> dict[str, str]:
    assert answer.status_code == 200, answer.text
    return {f"{one['kind']}/{one['name']}": one["action"] for one in answer.json()["objects"]}


async def test_a_set_is_made_whatever_the_order_of_its_objects(tmp_path: Path) -> None:
    async with serving(tmp_path) as api:
        answer = await applied(api, deployment("web", replicas=2), vm("db"), HELLO)
        assert actions(answer) == {"Deployment/web": "create", "VM/db": "create", "Plugin/hello": "create"}
        assert answer.json()["summary"] == {"create": 3, "update": 0, "delete": 0, "unchanged": 0}
        assert api.store.deployment("web").spec.replicas == 2
        (shown,) = (await api.get("/sets")).json()
        assert {one["name"] for one in shown["objects"]} == {"hello", "db", "web"}


async def test_applying_twice_writes_nothing_and_tells_nobody(tmp_path: Path) -> None:
    """A5: no revision, no event, an empty plan."""
    async with serving(tmp_path) as api:
        objects = (HELLO, vm("db", config={"env": {"A": "1"}, "resources": {"vcpu": 2}}), deployment("web", replicas=2))
        await applied(api, *objects)
        revision = api.store.revision
        again = await applied(api, *objects, prune=True)
        assert again.json()["summary"] == {"create": 0, "update": 0, "delete": 0, "unchanged": 3}
        assert set(actions(again).values()) == {"unchanged"}
        assert all("changes" not in one for one in again.json()["objects"])
        assert api.store.revision == revision


async def test_a_dry_run_says_what_an_apply_does_and_does_nothing(tmp_path: Path) -> None:
    """A4, A8: the same plan, the same token; the token allows that plan and no other."""
    async with serving(tmp_path) as api:
        await applied(api, HELLO, vm("db"), vm("old"))
        revision = api.store.revision
        objects = (HELLO, vm("db", grace_s=5), vm("new"))
        dry = await applied(api, *objects, prune=True, dry_run=True)
        assert dry.json()["dry_run"] is True
        assert actions(dry) == {"Plugin/hello": "unchanged", "VM/db": "update", "VM/new": "create", "VM/old": "delete"}
        (db,) = (one for one in dry.json()["objects"] if one["name"] == "db")
        assert db["changes"] == {"grace_s": {"old": 30.0, "new": 5.0}}
        assert api.store.revision == revision
        token = dry.json()["token"]
        await api.patch("/vms/db/config", resources={"vcpu": 4})
        changed = await applied(api, *objects, prune=True, plan=token)
        assert (changed.status_code, changed.json()["code"]) == (409, "plan_changed")
        again = (await applied(api, *objects, prune=True, dry_run=True)).json()["token"]
        real = await applied(api, *objects, prune=True, plan=again)
        assert actions(real) == actions(dry)
        assert real.json()["token"] == again


async def test_one_bad_object_keeps_all_of_them_out_and_all_mistakes_are_told(tmp_path: Path) -> None:
    """A9, A10."""
    async with serving(tmp_path) as api:
        answer = await applied(
            api,
            HELLO,
            vm("db", config={"resources": {"vcpus": 2}}),
            {"kind": "Vm", "metadata": {"name": "x"}, "spec": {}},
            deployment("Web", replicas=-1),
        )
        assert answer.status_code == 400
        fields = {field["path"]: field["message"] for field in answer.json()["details"]["fields"]}
        assert set(fields) == {
            "/objects/1/spec/config/resources/vcpus",
            "/objects/2/kind",
            "/objects/3/metadata/name",
            "/objects/3/spec/replicas",
        }
        assert "Did you mean 'vcpu'?" in fields["/objects/1/spec/config/resources/vcpus"]
        assert (await api.get("/plugins/hello")).status_code == 404


async def test_what_the_world_refuses_is_told_of_every_object(tmp_path: Path) -> None:
    """A9: together, and none of them is made."""
    async with serving(tmp_path) as api:
        answer = await applied(api, vm("a"), HELLO, deployment("web", config={"network": {"egress": "all"}}))
        assert answer.status_code == 400
        assert [f["path"] for f in answer.json()["details"]["fields"]] == ["/objects/2/spec/config/network/egress"]
        missing = await applied(api, vm("a"), vm("b"))
        assert missing.status_code == 400
        paths = [field["path"] for field in missing.json()["details"]["fields"]]
        assert paths == ["/objects/0/spec/plugin", "/objects/1/spec/plugin"]
        await applied(api, HELLO)
        await api.post("/plugins/hello/enabled", enabled=False)
        disabled = await applied(api, vm("a"), vm("b"), partial=True)
        assert (disabled.status_code, disabled.json()["code"]) == (409, "plugin_disabled")
        assert [one["path"] for one in disabled.json()["details"]["objects"]] == ["/objects/0", "/objects/1"]
        await api.post("/plugins/hello/enabled", enabled=True)
        twice = await applied(api, HELLO, vm("a"), vm("a"))
        assert twice.status_code == 400
        assert api.store.count("VM") == 0


async def test_a_manifest_without_replicas_leaves_a_scaled_value_alone(tmp_path: Path) -> None:
    """A1, A2."""
    async with serving(tmp_path) as api:
        await applied(api, HELLO, deployment("web"))
        await api.patch("/deployments/web", replicas=5)
        assert set(actions(await applied(api, HELLO, deployment("web"))).values()) == {"unchanged"}
        assert api.store.deployment("web").spec.replicas == 5
        refused = await applied(api, HELLO, deployment("web", replicas=2))
        assert (refused.status_code, refused.json()["code"]) == (409, "field_conflict")
        (conflict,) = refused.json()["details"]["conflicts"]
        assert conflict == {"path": "replicas", "owners": ["api"], "live": 5, "wanted": 2}
        assert actions(await applied(api, HELLO, deployment("web", replicas=5)))["Deployment/web"] == "unchanged"
        forced = await applied(api, HELLO, deployment("web", replicas=2), force=True)
        assert actions(forced)["Deployment/web"] == "update"
        assert api.store.deployment("web").spec.replicas == 2
        assert actions(await applied(api, HELLO, deployment("web")))["Deployment/web"] == "update"
        assert api.store.deployment("web").spec.replicas == 1, "it was taken over: nobody else says it by now"


async def test_a_field_that_is_no_longer_said_goes_back_to_its_default(tmp_path: Path) -> None:
    """A2: unless another manager says it too."""
    async with serving(tmp_path) as api:
        full = vm("db", grace_s=5, config={"resources": {"vcpu": 4}, "env": {"A": "1", "LEVEL": "debug"}})
        await applied(api, HELLO, full)
        await applied(api, vm("db", grace_s=5), manager="oncall", set="infra", partial=True)
        await applied(api, HELLO, vm("db", config={"env": {"A": "1"}}))
        spec = api.store.vm("db").spec
        assert spec.grace_s == 5, "oncall still says so"
        assert spec.config.resources.vcpu == 1
        assert spec.config.env == {"A": "1", "LEVEL": "info"}, "the plugin's own is in force again"


async def test_two_managers_share_what_is_equal_and_clash_where_it_is_not(tmp_path: Path) -> None:
    """A1: nothing is lost in silence."""
    async with serving(tmp_path) as api:
        await applied(api, HELLO, vm("db", config={"env": {"A": "secret", "B": "1"}}))
        other: dict[str, Any] = {"manager": "other", "partial": True}
        same = await applied(api, vm("db", config={"env": {"A": "secret", "C": "1"}}), **other)
        assert actions(same) == {"VM/db": "update"}
        clash = await applied(api, vm("db", config={"env": {"A": "else", "C": "1"}}), **other)
        (conflict,) = clash.json()["details"]["conflicts"]
        assert (conflict["path"], conflict["owners"]) == ("config.env.A", ["apply"])
        assert "secret" not in clash.text, "values of variables are told as digests"
        assert api.store.vm("db").spec.config.env == {"A": "secret", "B": "1", "C": "1", "LEVEL": "info"}


async def test_prune_goes_by_what_was_applied_and_by_nothing_else(tmp_path: Path) -> None:
    """A6, A7: another set and a stranger are not touched, and a name is not an object: two kinds may have the same."""
    async with serving(tmp_path) as api:
        await applied(api, HELLO, vm("a"), vm("b"), vm("c"), deployment("a"))
        await applied(api, vm("theirs"), set="other")
        await api.post("/vms", name="mine", plugin="hello")
        answer = await applied(api, HELLO, vm("a"), vm("b"), prune=True)
        assert actions(answer)["VM/c"] == actions(answer)["Deployment/a"] == "delete"
        assert {v.meta.name for v in api.store.vms() if v.meta.is_deleting} == {"c"}
        listed = (await api.get("/sets/infra")).json()
        assert [(one["kind"], one["name"]) for one in listed["pruned"]] == [("Deployment", "a"), ("VM", "c")]


async def test_many_deletions_have_to_be_meant(tmp_path: Path) -> None:
    """A7: the refusal says how many, and that number is the way through."""
    async with serving(tmp_path) as api:
        await applied(api, HELLO, vm("a"), vm("b"), vm("c"))
        refused = await applied(api, HELLO, prune=True)
        assert (refused.status_code, refused.json()["code"]) == (409, "prune_unconfirmed")
        assert refused.json()["details"] == {"set": "infra", "deletes": 3, "members": 4}
        assert (await applied(api, HELLO, prune=True, confirm_delete=2)).json()["code"] == "prune_unconfirmed"
        assert not any(v.meta.is_deleting for v in api.store.vms())
        dry = await applied(api, HELLO, prune=True, dry_run=True)
        assert dry.json()["summary"]["delete"] == 3
        assert (await applied(api, HELLO, prune=True, confirm_delete=3)).status_code == 200
        assert all(v.meta.is_deleting for v in api.store.vms())
        nothing = await applied(api, prune=True)
        assert nothing.json()["code"] in ("prune_unconfirmed", "plugin_in_use")
        partial = await applied(api, HELLO, prune=True, partial=True)
        assert partial.status_code == 400


async def test_a_plugin_goes_with_those_who_use_it(tmp_path: Path) -> None:
    async with serving(tmp_path) as api:
        await applied(api, HELLO, vm("a"), deployment("web"))
        await api.post("/vms", name="mine", plugin="hello")
        in_use = await applied(api, prune=True, confirm_delete=3)
        assert (in_use.status_code, in_use.json()["code"]) == (409, "plugin_in_use")
        assert in_use.json()["details"]["vms"] == ["mine"]


async def test_what_was_pruned_can_be_made_again(tmp_path: Path) -> None:
    async with serving(tmp_path) as api:
        await applied(api, HELLO, vm("a"), vm("b", grace_s=7, config={"env": {"K": "v"}}))
        await applied(api, HELLO, vm("a"), prune=True)
        gone = api.store.vm("b")
        await api.clears(gone)
        dry = await api.post("/sets/infra/restore?dry_run=true")
        assert actions(dry) == {"VM/b": "create"}
        assert actions(await api.post("/sets/infra/restore")) == {"VM/b": "create"}
        again = api.store.vm("b")
        assert (again.spec.grace_s, again.spec.config.env["K"]) == (7.0, "v")
        assert again.meta.uid != gone.meta.uid
        assert (await api.get("/sets/infra")).json()["pruned"] == []
        assert (await api.get("/sets/nobody")).json()["code"] == "set_not_found"


async def test_a_plugin_comes_back_with_every_word_of_its_manifest(tmp_path: Path) -> None:
    """Also those that are empty: an OpenAPI document without paths has them."""
    document = {"openapi": "3.0.3", "info": {"title": "t", "version": "1"}, "paths": {}}
    other = {**HELLO, "metadata": {"name": "other"}, "spec": {**HELLO["spec"], "openapi": document}}  # type: ignore[dict-item]
    async with serving(tmp_path) as api:
        await applied(api, HELLO, vm("a"), other)
        manifest = api.store.plugin("other").spec.manifest
        await applied(api, HELLO, vm("a"), prune=True)
        await api.clears(api.store.plugin("other"))
        assert actions(await api.post("/sets/infra/restore")) == {"Plugin/other": "create"}
        assert api.store.plugin("other").spec.manifest == manifest


async def test_an_object_of_another_set_is_taken_over_by_force_only(tmp_path: Path) -> None:
    async with serving(tmp_path) as api:
        await applied(api, HELLO, vm("a"))
        refused = await applied(api, vm("a"), set="other", partial=True)
        assert (refused.json()["code"], refused.json()["details"]["set"]) == ("set_conflict", "infra")
        await applied(api, vm("a"), set="other", partial=True, force=True)
        assert actions(await applied(api, HELLO, prune=True)) == {"Plugin/hello": "unchanged"}


@pytest.mark.parametrize(
    ("again", "path"),
    [
        ({**HELLO, "spec": {**HELLO["spec"], "version": "2.0.0"}}, "/objects/0/spec/version"),  # type: ignore[dict-item]
        (vm("x", plugin="other"), "/objects/0/spec/plugin"),
    ],
)
async def test_what_cannot_be_changed_says_how_to_get_it(tmp_path: Path, again: dict[str, Any], path: str) -> None:
    """A10."""
    async with serving(tmp_path) as api:
        await applied(api, HELLO, vm("x"))
        answer = await applied(api, again, partial=True)
        assert answer.status_code == 400
        (field,) = answer.json()["details"]["fields"]
        assert field["path"] == path
        assert "delete the" in field["message"]


async def test_a_chain_of_sets_ends_where_its_last_one_says(tmp_path: Path) -> None:
    """A2, A6: S -> A -> B -> A is S -> A."""
    a = (HELLO, vm("x", grace_s=5), deployment("web", replicas=3))
    b = (HELLO, vm("x", config={"env": {"A": "1"}}), vm("y"), deployment("web", replicas=1))
    async with serving(tmp_path) as api:
        await applied(api, *a)
        first = _specs(api)
        await applied(api, *b, prune=True)
        await applied(api, *a, prune=True)
        assert _specs(api) == first


def test_a_set_becomes_real_and_goes_again(tmp_path: Path) -> None:
    """On a running daemon: made, scaled by hand, pruned, with events that name the reason."""
    (tmp_path / "files").mkdir()
    for name in ("kernel", "initramfs"):
        (tmp_path / "files" / name).write_bytes(name.encode())
    spec = {"version": "1", **{r: {"url": (tmp_path / "files" / r).as_uri()} for r in ("kernel", "initramfs")}}
    plugin = {"kind": "Plugin", "metadata": {"name": "hello"}, "spec": spec}
    options = ("--hypervisor", "simulated", "--artifact-root", str(tmp_path / "files"))
    with daemon(tmp_path / "data", *options) as running:
        everything = {"set": "s", "objects": [plugin, vm("db"), deployment("web", replicas=2)]}
        assert running.post("/apply", everything)["summary"]["create"] == 3
        until("three VMs run", lambda: _running(running) == 3)
        rest = {"set": "s", "objects": [plugin], "prune": True, "confirm_delete": 2}
        assert running.post("/apply", rest)["summary"]["delete"] == 2
        until("all are gone", lambda: running.get("/vms") == [])
        until("the deployment too", lambda: [one["name"] for one in running.get("/sets/s")["objects"]] == ["hello"])


def _specs(api: Served) -> dict[str, Any]:
    found: list[VM | Deployment] = [*api.store.vms(), *api.store.deployments()]
    return {obj.meta.name: obj.spec for obj in found if not obj.meta.is_deleting}


def _running(running: RunningDaemon) -> int:
    return sum(one["status"] == "running" for one in running.get("/vms"))


async def test_another_template_is_a_rollout(tmp_path: Path) -> None:
    """A4, U7: of all that it is made of, and how it rolls; what a manifest leaves out stays with who said it."""
    async with serving(tmp_path) as api:
        await applied(api, HELLO, deployment("web", replicas=2))
        again = deployment("web", config={"env": {"A": "1"}}, restart_policy="never", strategy={"max_surge": 1})
        preview = (await applied(api, again, partial=True, dry_run=True)).json()
        answer = (await applied(api, again, partial=True)).json()
        assert {**answer, "dry_run": True} == {**preview, "dry_run": True}
        spec = api.store.deployment("web").spec
        assert (spec.config.env["A"], spec.restart_policy, spec.strategy.max_surge) == ("1", "never", 1)
        assert [one.number for one in api.store.templates(api.store.deployment("web"))] == [2, 1]
        assert (await api.post("/deployments/web/pause")).status_code == 200
        before = api.store.revision
        assert (await applied(api, again, partial=True)).json()["summary"]["unchanged"] == 1
        assert api.store.revision == before
        assert api.store.deployment("web").spec.strategy.paused


async def test_a_strategy_in_a_manifest_that_cannot_be_is_refused(tmp_path: Path) -> None:
    """A9, U2."""
    async with serving(tmp_path) as api:
        await applied(api, HELLO)
        answer = await applied(api, deployment("web", strategy={"max_surge": 0, "max_unavailable": 0}), partial=True)
        assert answer.status_code == 400
        assert answer.json()["details"]["fields"][0]["path"] == "/objects/0/spec/strategy/max_unavailable"


async def test_what_a_plugin_says_of_itself_to_people_can_be_changed(tmp_path: Path) -> None:
    async with serving(tmp_path) as api:

        def hello(**more: Any) -> dict[str, Any]:
            return {"kind": "Plugin", "metadata": {"name": "hello"}, "spec": {**HELLO["spec"], **more}}  # type: ignore[dict-item]

        await applied(api, hello(description="A page"))
        before = api.store.revision
        found = await applied(api, hello(description="A better page"))
        assert actions(found) == {"Plugin/hello": "update"}
        assert "A better page" in str(found.json()["objects"][0]["changes"])
        assert api.store.revision == before + 1
        [*_, event] = (await api.get("/plugins/hello/events")).json()
        assert (event["type"], event["name"]) == ("plugin.updated", "hello")
        assert (await api.get("/plugins/hello")).json()["description"] == "A better page"
        assert actions(await applied(api, hello(description="A better page"))) == {"Plugin/hello": "unchanged"}
        assert actions(await applied(api, hello())) == {"Plugin/hello": "update"}
        assert (await applied(api, hello(description=5))).status_code == 400
        assert (await applied(api, hello(description="x", version="9.9.9"))).status_code == 400
