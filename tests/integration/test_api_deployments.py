"""Deployments over HTTP, as the reference has them; the test plays the controllers."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from tests.builders.objects import a_manifest, a_vm, running_status
from tests.builders.server import Served, serving

from volant.model.conditions import Condition
from volant.model.deployment import AVAILABLE, FINALIZER, DeploymentStatus
from volant.model.event import Happening
from volant.model.meta import Key
from volant.model.vm import Resources


async def a_deployment(api: Served, **body: Any) -> dict[str, Any]:
    await api.installed("user-api")
    answer = await api.post("/deployments", **{"name": "api", "plugin": "user-api", "replicas": 3, **body})
    assert answer.status_code == 201
    made: dict[str, Any] = answer.json()
    return made


async def its_vms(api: Served, *ordinals: int, ready: bool = True, deleting: bool = False) -> None:
    owner = api.store.deployment("api")
    for ordinal in ordinals:
        vm = a_vm(
            f"api-{ordinal}", plugin="user-api", owner=owner, deleting=deleting, status=running_status(ready=ready)
        )
        await api.store.create(vm, Happening(type="vm.created", actor="test"))


async def test_a_deployment_is_created_without_vms(tmp_path: Path) -> None:
    async with serving(tmp_path) as api:
        await api.installed("user-api")
        answer = await api.post("/deployments", name="api", plugin="user-api", replicas=3)
        assert answer.status_code == 201
        assert answer.headers["location"] == "/api/v1/deployments/api"
        body = answer.json()
        expected = {"name": "api", "plugin": "user-api", "replicas": 3, "ready_replicas": 0, "vms": []}
        assert {key: body[key] for key in expected} == expected
        assert body["created_at"]
        assert body["status"]["phase"] == "pending"
        assert api.store.deployment("api").meta.finalizers == (FINALIZER,)


async def test_the_template_is_completed_by_the_plugin(tmp_path: Path) -> None:
    async with serving(tmp_path) as api:
        await api.installed("big", manifest=a_manifest("big", resources=Resources(vcpu=2, memory_mb=512)))
        config = {"resources": {"memory_mb": 1024}}
        labels = {"app": "web"}
        answer = await api.post(
            "/deployments", name="web", plugin="big", config=config, labels=labels, restart_policy="on_failure"
        )
        assert answer.json()["config"]["resources"] == {"vcpu": 2, "memory_mb": 1024}
        assert answer.json()["replicas"] == 1
        spec = api.store.deployment("web").spec
        assert (spec.labels, spec.restart_policy) == (labels, "on_failure")


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"name": "api", "plugin": "none"}, 404, "plugin_not_found"),
        ({"name": "api", "plugin": "off"}, 409, "plugin_disabled"),
        ({"name": "taken", "plugin": "on"}, 409, "deployment_already_exists"),
        ({"name": "a" * 58, "plugin": "on"}, 400, "invalid"),
        ({"name": "api", "plugin": "on", "replicas": -1}, 400, "invalid"),
        ({"name": "api"}, 400, "invalid"),
    ],
)
async def test_what_cannot_be_made_is_refused(tmp_path: Path, body: dict[str, Any], status: int, code: str) -> None:
    """V3"""
    async with serving(tmp_path) as api:
        await api.installed("on")
        await api.installed("off", enabled=False)
        await api.post("/deployments", name="taken", plugin="on")
        before = api.store.revision
        answer = await api.post("/deployments", **body)
        assert (answer.status_code, answer.json()["code"]) == (status, code)
        assert api.store.revision == before


async def test_its_vms_are_those_that_stay_in_the_order_of_their_ordinals(tmp_path: Path) -> None:
    async with serving(tmp_path) as api:
        await a_deployment(api)
        await its_vms(api, 10, 2, 1)
        await its_vms(api, 3, ready=False)
        await its_vms(api, 4, deleting=True)
        body = (await api.get("/deployments/api")).json()
        assert body["vms"] == ["api-1", "api-2", "api-3", "api-10"]
        assert body["ready_replicas"] == 3
        assert (await api.get("/deployments")).json() == [body]


async def test_its_status_is_a_phase_and_conditions(tmp_path: Path) -> None:
    async with serving(tmp_path) as api:
        await a_deployment(api)
        condition = Condition(type=AVAILABLE, status="true", reason="AllReady", last_update=1736935500.0)
        status = DeploymentStatus(observed_generation=1, replicas=3, ready_replicas=3, conditions=(condition,))
        happening = Happening(type="deployment.available", actor="test")
        await api.store.update_status(api.store.deployment("api"), status, happening)
        body = (await api.get("/deployments/api")).json()
        assert body["scaling"] is False
        assert body["status"]["phase"] == "running"
        shown = body["status"]["conditions"][0]
        assert (shown["type"], shown["status"], shown["last_update"]) == ("available", "true", "2025-01-15T10:05:00Z")


async def test_a_scale_answers_with_what_is_there_now(tmp_path: Path) -> None:
    async with serving(tmp_path) as api:
        await a_deployment(api)
        await its_vms(api, 1, 2, 3)
        answer = await api.patch("/deployments/api", replicas=10)
        assert answer.status_code == 200
        body = answer.json()
        assert body["replicas"] == 10
        assert (body["ready_replicas"], body["vms"]) == (3, ["api-1", "api-2", "api-3"])
        assert body["scaling"] is True
        assert body["generation"] == 2
        event = api.store.events_after(api.store.revision - 1, 1)[0]
        assert event.type == "deployment.scaled"
        assert '"message":"3 → 10"' in event.data.decode()


async def test_a_merge_patch_scales_as_well(tmp_path: Path) -> None:
    async with serving(tmp_path) as api:
        await a_deployment(api)
        answer = await api.http.patch(
            "/deployments/api", content=b'{"replicas": 5.0}', headers={"Content-Type": "application/merge-patch+json"}
        )
        assert (answer.status_code, answer.json()["replicas"]) == (200, 5)


async def test_a_scale_to_what_it_is_changes_nothing(tmp_path: Path) -> None:
    """V4: neither generation nor revision, and no event."""
    async with serving(tmp_path) as api:
        made = await a_deployment(api)
        before = api.store.revision
        answer = await api.patch("/deployments/api", replicas=3)
        assert answer.status_code == 200
        assert (answer.json()["generation"], answer.json()["revision"]) == (made["generation"], made["revision"])
        assert api.store.revision == before
        assert api.store.events_after(before, 10) == []


@pytest.mark.parametrize(
    "body", [b'{"replicas": null}', b'{"replicas": 1000000000}', b'{"replicas": -1}', b'{"replicas": "5"}']
)
async def test_a_bad_count_changes_nothing(tmp_path: Path, body: bytes) -> None:
    """G10"""
    async with serving(tmp_path) as api:
        await a_deployment(api)
        before = api.store.revision
        answer = await api.http.patch("/deployments/api", content=body, headers={"Content-Type": "application/json"})
        assert answer.status_code == 400
        assert [field["path"] for field in answer.json()["details"]["fields"]] == ["/replicas"]
        assert api.store.revision == before


async def test_a_status_is_not_written_by_users(tmp_path: Path) -> None:
    """V5"""
    async with serving(tmp_path) as api:
        await a_deployment(api)
        answer = await api.patch("/deployments/api", replicas=3, status={"ready_replicas": 3})
        assert answer.status_code == 400
        assert answer.json()["details"]["fields"] == [{"path": "/status", "message": "unknown field"}]


async def test_a_delete_answers_when_nothing_is_left(tmp_path: Path) -> None:
    async with serving(tmp_path) as api, asyncio.TaskGroup() as tasks:
        await a_deployment(api)
        delete = tasks.create_task(api.delete("/deployments/api"))
        deployment = await api.asked_to_go(Key("Deployment", "api"))
        again = tasks.create_task(api.delete("/deployments/api"))
        body = (await api.get("/deployments/api")).json()
        assert (body["status"]["phase"], bool(body["deleting_since"])) == ("deleting", True)
        refused = await api.patch("/deployments/api", replicas=9)
        assert (refused.status_code, refused.json()["code"]) == (409, "deployment_deleting")
        await api.clears(deployment)
        assert [(await delete).status_code, (await again).status_code] == [204, 204]
        assert (await api.get("/deployments/api")).json()["code"] == "deployment_not_found"


async def test_a_delete_that_the_daemon_s_end_interrupts_is_accepted(tmp_path: Path) -> None:
    """S1: what was asked for is stored, and goes on with the next start."""
    async with serving(tmp_path) as api, asyncio.TaskGroup() as tasks:
        await a_deployment(api)
        delete = tasks.create_task(api.delete("/deployments/api"))
        await api.asked_to_go(Key("Deployment", "api"))
        api.deps.stopping.set()
        answer = await delete
        assert (answer.status_code, answer.headers["volant-wait"]) == (202, "stopping")


async def test_lists_are_paged(tmp_path: Path) -> None:
    async with serving(tmp_path) as api:
        await a_deployment(api)
        for name in ("b", "c"):
            await api.post("/deployments", name=name, plugin="user-api")
        answer = await api.get("/deployments?limit=1&offset=1")
        assert [deployment["name"] for deployment in answer.json()] == ["b"]
        assert answer.headers["x-total-count"] == "3"
        assert (await api.get("/deployments?plugin=x")).status_code == 400


@pytest.mark.parametrize("method", ["GET", "PATCH", "DELETE"])
async def test_a_deployment_that_does_not_exist_is_not_found(tmp_path: Path, method: str) -> None:
    async with serving(tmp_path) as api:
        body = {"replicas": 1} if method == "PATCH" else None
        answer = await api.http.request(method, "/deployments/none", json=body)
        assert (answer.status_code, answer.json()["code"]) == (404, "deployment_not_found")
        assert answer.json()["error"] == "Deployment not found"


async def test_scaling_says_whether_all_is_as_asked(tmp_path: Path) -> None:
    async with serving(tmp_path) as api:
        await a_deployment(api, replicas=0)
        deployment = api.store.deployment("api")
        status = replace(deployment.status, observed_generation=1)
        await api.store.update_status(deployment, status, Happening(type="deployment.updated", actor="test"))
        assert (await api.patch("/deployments/api", replicas=0)).json()["scaling"] is False
        assert (await api.patch("/deployments/api", replicas=1)).json()["scaling"] is True
