"""`PUT` of one object: made or changed as its manifest says, by the code of an apply, and nothing the second time."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import httpx2
import msgspec
import pytest
from tests.builders import objects as builders
from tests.builders.objects import a_manifest
from tests.builders.server import Served, serving

from volant.model.event import EventData, Happening
from volant.model.meta import Key, Owner
from volant.model.vm import Resources

ENV: dict[str, Any] = {"config": {"env": {"A": "1"}}}


def a_vm(name: str = "db", *, labels: dict[str, str] | None = None, **spec: Any) -> dict[str, Any]:
    return document("VM", name, labels, {"plugin": "hello", **spec})


def a_deployment(name: str = "web", *, labels: dict[str, str] | None = None, **spec: Any) -> dict[str, Any]:
    return document("Deployment", name, labels, {"plugin": "hello", **spec})


def document(kind: str, name: str, labels: dict[str, str] | None, spec: dict[str, Any]) -> dict[str, Any]:
    return {"kind": kind, "metadata": {"name": name, **({"labels": labels} if labels else {})}, "spec": spec}


async def put(api: Served, said: dict[str, Any], query: str = "", **headers: str) -> httpx2.Response:
    path = {"VM": "vms", "Deployment": "deployments"}[said["kind"]]
    headers = {name.replace("_", "-"): value for name, value in headers.items()}
    return await api.http.put(f"/{path}/{said['metadata']['name']}{query}", json=said, headers=headers)


def paths(answer: httpx2.Response) -> list[str]:
    assert answer.status_code == 400, answer.text
    return [field["path"] for field in answer.json()["details"]["fields"]]


def last_event(api: Served) -> tuple[str, str | None]:
    (event,) = api.store.events_after(api.store.revision - 1, 1)
    return event.type, msgspec.json.decode(event.data, type=EventData).reason


@pytest.mark.parametrize("said", [a_vm(**ENV), a_deployment(replicas=3, **ENV)], ids=["vm", "deployment"])
async def test_the_first_makes_it_and_the_second_does_nothing(tmp_path: Path, said: dict[str, Any]) -> None:
    """A1, V4: 201 and one event, then 200, no revision, no event."""
    async with serving(tmp_path) as api:
        await api.installed()
        answer = await put(api, said)
        noun = "vms" if said["kind"] == "VM" else "deployments"
        assert (answer.status_code, answer.headers["location"]) == (201, f"/api/v1/{noun}/{said['metadata']['name']}")
        assert last_event(api) == (f"{said['kind'].lower()}.created", "ObjectApplied")
        before, made = api.store.revision, answer.json()
        for _ in range(2):
            answer = await put(api, said)
            assert (answer.status_code, answer.json(), api.store.revision) == (200, made, before)
            assert "location" not in answer.headers
        assert answer.headers["etag"] == f'"{made["revision"]}"'


@pytest.mark.parametrize("said", [a_vm(**ENV), a_deployment(**ENV)], ids=["vm", "deployment"])
async def test_what_was_posted_is_put_back_without_a_change(tmp_path: Path, said: dict[str, Any]) -> None:
    async with serving(tmp_path) as api:
        await api.installed()
        noun = "vms" if said["kind"] == "VM" else "deployments"
        body = {"name": said["metadata"]["name"], **said["spec"]}
        assert (await api.post(f"/{noun}", **body)).status_code == 201
        before = api.store.revision
        assert (await put(api, said)).status_code == 200
        assert api.store.revision == before
        (exported,) = (await api.get(f"/manifests?kind={said['kind']}")).json()
        assert (await put(api, exported)).status_code == 200
        assert api.store.revision == before, "and so is what is exported"


async def test_what_it_says_no_more_is_as_it_is_by_itself(tmp_path: Path) -> None:
    async with serving(tmp_path) as api:
        await api.installed(manifest=a_manifest("hello", resources=Resources(vcpu=2)))
        await put(api, a_vm(labels={"a": "1"}, config={"resources": {"vcpu": 4}, "env": {"A": "1"}}, power="stopped"))
        answer = await put(api, a_vm(config={"env": {"B": "2"}}))
        vm = api.store.vm("db")
        assert (vm.spec.config.env, vm.spec.config.resources.vcpu, vm.spec.power) == ({"B": "2"}, 2, "running")
        assert "labels" not in answer.json()
        assert last_event(api) == ("vm.updated", "ObjectApplied")


async def test_another_template_is_a_rollout_and_can_be_waited_for(tmp_path: Path) -> None:
    async with serving(tmp_path) as api, asyncio.TaskGroup() as tasks:
        await api.installed()
        await put(api, a_deployment(replicas=2))
        assert (await put(api, a_deployment(replicas=2, **ENV))).json()["template_revision"] == 2
        answer = await put(api, a_deployment(replicas=2, **ENV), "?wait=complete&timeout=0")
        assert (answer.status_code, answer.headers["volant-wait"]) == (200, "timeout")
        wait = tasks.create_task(put(api, a_vm(), "?wait=running"))
        await api.waited_for(Key("VM", "db"))
        await api.runs("db")
        assert ((await wait).status_code, (await wait).json()["status"]) == (201, "running")


async def test_what_another_manager_says_is_a_conflict_or_stays(tmp_path: Path) -> None:
    """A1, A2: as between any two managers; `force` takes it over."""
    async with serving(tmp_path) as api:
        await api.installed()
        applied = await api.post("/apply", set="infra", objects=[a_deployment(replicas=3, **ENV)])
        assert applied.status_code == 200, applied.text
        before = api.store.revision
        answer = await put(api, a_deployment(replicas=5))
        assert (answer.status_code, answer.json()["code"], api.store.revision) == (409, "field_conflict", before)
        assert answer.json()["details"]["conflicts"][0]["owners"] == ["apply"]
        answer = await put(api, a_deployment(restart_policy="never"))
        assert (answer.json()["replicas"], answer.json()["config"]["env"]) == (3, {"A": "1"})
        assert (await put(api, a_deployment(replicas=5), "?force=true")).json()["replicas"] == 5
        assert [one["name"] for one in (await api.get("/sets/infra")).json()["objects"]] == ["web"], "its set stays"
        answer = await api.post("/apply", set="infra", objects=[a_deployment(replicas=3, **ENV)])
        assert answer.json()["details"]["conflicts"][0]["owners"] == ["api"]


async def test_a_trial_says_what_it_would_do_and_does_nothing(tmp_path: Path) -> None:
    async with serving(tmp_path) as api:
        await api.installed()
        answer = await put(api, a_vm(), "?dry_run=true")
        assert (answer.status_code, answer.json()["changes"]) == (201, {"created": True})
        assert api.store.find(Key("VM", "db")) is None
        await put(api, a_deployment())
        before = api.store.revision
        answer = await put(api, a_deployment(replicas=4), "?dry_run=true")
        assert (answer.status_code, answer.json()["changes"]["replicas"]) == (200, {"old": 1, "new": 4})
        assert api.store.revision == before


async def test_it_is_written_at_the_revision_that_was_read(tmp_path: Path) -> None:
    """V2: and where nothing is, there is none."""
    async with serving(tmp_path) as api:
        await api.installed()
        answer = await put(api, a_vm(), if_match="*")
        assert (answer.status_code, answer.json()["code"]) == (412, "precondition_failed")
        read = (await put(api, a_vm())).headers["etag"]
        assert (await put(api, a_vm(**ENV), if_match=read)).status_code == 200
        assert (await put(api, a_vm(), if_match=read)).status_code == 412
        assert (await put(api, a_vm(), if_match="*")).status_code == 200


async def test_a_key_is_answered_as_the_first_time(tmp_path: Path) -> None:
    async with serving(tmp_path) as api:
        await api.installed()
        first = await put(api, a_vm(), idempotency_key="k")
        again = await put(api, a_vm(), idempotency_key="k")
        assert (first.status_code, again.status_code, again.json()) == (201, 201, first.json())
        assert again.headers["idempotent-replayed"] == "true"


@pytest.mark.parametrize(
    ("said", "wrong"),
    [
        (a_vm(config={"resources": {"vcpu": 0}}), ["/spec/config/resources/vcpu"]),
        (a_vm(config={"network": {"mode": "bridge"}}), ["/spec/config/network/mode"]),
        (a_vm(power="off"), ["/spec/power"]),
        (a_vm(colour="red"), ["/spec/colour"]),
        (a_vm(labels={"a": "ü"}), ["/metadata/labels/a"]),
        (a_deployment(replicas=-1), ["/spec/replicas"]),
        (a_deployment(strategy={"max_surge": 0, "max_unavailable": 0}), ["/spec/strategy/max_unavailable"]),
        (
            a_deployment(config={"network": {"publish": [{"guest_port": 80, "host_port": 18080}]}}),
            ["/spec/config/network/publish"],
        ),
    ],
)
async def test_what_is_wrong_is_told_where_it_stands(tmp_path: Path, said: dict[str, Any], wrong: list[str]) -> None:
    """A9, A10: in the manifest, whether it is to be made or changed; nothing is written."""
    async with serving(tmp_path) as api:
        await api.installed()
        assert paths(await put(api, said)) == wrong
        right = a_vm() if said["kind"] == "VM" else a_deployment()
        assert (await put(api, right)).status_code == 201
        before = api.store.revision
        assert paths(await put(api, said)) == wrong
        assert api.store.revision == before


async def test_a_manifest_is_that_of_the_object_in_the_path(tmp_path: Path) -> None:
    async with serving(tmp_path) as api:
        await api.installed()
        assert paths(await api.http.put("/vms/other", json=a_vm())) == ["/metadata/name"]
        assert paths(await api.http.put("/vms/web", json=a_deployment())) == ["/kind"]
        answer = await put(api, {**a_vm(), "spec": {"plugin": "none"}})
        assert (answer.status_code, answer.json()["code"]) == (404, "plugin_not_found")
        await put(api, a_vm())
        await api.installed("another")
        assert paths(await put(api, {**a_vm(), "spec": {"plugin": "another"}})) == ["/spec/plugin"]


async def test_what_goes_or_is_anothers_is_not_written_to(tmp_path: Path) -> None:
    async with serving(tmp_path) as api:
        await api.installed()
        await put(api, a_vm())
        await api.delete("/vms/db?wait=none")
        answer = await put(api, a_vm())
        assert (answer.status_code, answer.json()["code"]) == (409, "vm_deleting")
        deployment = await api.store.create(builders.a_deployment(), Happening(type="deployment.created", actor="test"))
        owner = Owner(kind="Deployment", name="web", uid=deployment.meta.uid)
        await api.store.create(builders.a_vm("web-1", owner=owner), Happening(type="vm.created", actor="test"))
        answer = await put(api, a_vm("web-1"), "?force=true")
        assert (answer.status_code, answer.json()["code"]) == (409, "object_owned")


async def test_of_many_at_once_one_makes_it(tmp_path: Path) -> None:
    """D7: whoever looked before it was there finds it in the transaction, and says what is so then."""
    async with serving(tmp_path) as api, asyncio.TaskGroup() as tasks:
        await api.installed()
        before = api.store.revision
        puts = [tasks.create_task(put(api, a_vm(**ENV))) for _ in range(8)]
        assert sorted([(await one).status_code for one in puts]) == [200] * 7 + [201]
        assert api.store.revision == before + 1
