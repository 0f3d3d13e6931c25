"""Plugins over HTTP, as the reference has them; the test plays the plugin controller."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from tests.builders.server import serving

from volant.model.meta import Key
from volant.model.plugin import FINALIZER

MANIFEST: dict[str, Any] = {
    "name": "my-app",
    "version": "1.0.0",
    "description": "My custom application",
    "workload": {"type": "http", "port": 8080},
    "resources": {"vcpu": 2, "memory_mb": 512},
    "rootfs": {
        "format": "qcow2",
        "url": "https://plugins.example.com/my-app-1.0.0.qcow2",
        "checksum": "sha256:" + "ab" * 32,
    },
}


async def test_a_plugin_is_installed_from_its_manifest(tmp_path: Path) -> None:
    async with serving(tmp_path) as api:
        answer = await api.post("/plugins", **MANIFEST)
        assert answer.status_code == 201
        assert answer.headers["location"] == "/api/v1/plugins/my-app"
        body = (await api.get("/plugins/my-app")).json()
        assert body == answer.json()
        shown = ("name", "version", "description", "workload", "resources")
        assert {key: body[key] for key in shown} == {key: MANIFEST[key] for key in shown}
        assert body["installed_at"]
        assert body["enabled"] is True
        assert body["artifacts"] == {"rootfs": {"state": "pending"}}
        assert api.store.plugin("my-app").meta.finalizers == (FINALIZER,)


async def test_the_reference_s_example_is_refused_for_its_checksum(tmp_path: Path) -> None:
    async with serving(tmp_path) as api:
        example = {**MANIFEST, "rootfs": {**MANIFEST["rootfs"], "checksum": "sha256:abc123..."}}
        answer = await api.post("/plugins", **example)
        assert (answer.status_code, answer.json()["code"]) == (400, "invalid")
        assert [field["path"] for field in answer.json()["details"]["fields"]] == ["/rootfs/checksum"]
        assert (await api.get("/plugins")).json() == {"plugins": []}


async def test_a_name_is_taken_once(tmp_path: Path) -> None:
    """V3"""
    async with serving(tmp_path) as api:
        await api.post("/plugins", **MANIFEST)
        answer = await api.post("/plugins", **{**MANIFEST, "version": "2.0.0"})
        assert (answer.status_code, answer.json()["code"]) == (409, "plugin_already_exists")
        assert (await api.get("/plugins/my-app")).json()["version"] == "1.0.0"


async def test_the_list_is_names(tmp_path: Path) -> None:
    async with serving(tmp_path) as api:
        for name in ("nginx-alpine", "user-api", "postgres"):
            await api.installed(name)
        answer = await api.get("/plugins")
        assert answer.json() == {"plugins": ["nginx-alpine", "user-api", "postgres"]}
        assert answer.headers["x-total-count"] == "3"
        assert (await api.get("/plugins?limit=1&offset=2")).json() == {"plugins": ["postgres"]}


async def test_a_disabled_plugin_is_not_used_for_new_vms(tmp_path: Path) -> None:
    async with serving(tmp_path) as api:
        await api.installed("hello")
        await api.post("/vms", name="a", plugin="hello")
        answer = await api.post("/plugins/hello/enabled", enabled=False)
        assert (answer.status_code, answer.json()["enabled"]) == (200, False)
        assert (await api.post("/vms", name="b", plugin="hello")).json()["code"] == "plugin_disabled"
        assert (await api.get("/vms/a")).status_code == 200
        assert (await api.post("/plugins/hello/enabled", enabled=True)).json()["enabled"] is True
        assert (await api.post("/vms", name="b", plugin="hello")).status_code == 201
        types = [event.type for event in api.store.events_after(0, 20)]
        assert types == ["plugin.installed", "vm.created", "plugin.disabled", "plugin.enabled", "vm.created"]


async def test_enabling_what_is_enabled_changes_nothing(tmp_path: Path) -> None:
    """V4"""
    async with serving(tmp_path) as api:
        await api.installed("hello")
        before = api.store.revision
        assert (await api.post("/plugins/hello/enabled", enabled=True)).status_code == 200
        assert api.store.revision == before


async def test_a_plugin_that_is_used_is_not_removed(tmp_path: Path) -> None:
    async with serving(tmp_path) as api:
        await api.installed("hello")
        await api.post("/vms", name="a", plugin="hello")
        await api.post("/deployments", name="web", plugin="hello")
        answer = await api.delete("/plugins/hello")
        assert (answer.status_code, answer.json()["code"]) == (409, "plugin_in_use")
        details = answer.json()["details"]
        assert (details["vms"], details["deployments"]) == (["a"], ["web"])
        assert not api.store.plugin("hello").meta.is_deleting


async def test_a_removal_answers_when_nothing_is_left(tmp_path: Path) -> None:
    async with serving(tmp_path) as api, asyncio.TaskGroup() as tasks:
        await api.installed("hello")
        removals = [tasks.create_task(api.delete("/plugins/hello")) for _ in range(2)]
        plugin = await api.asked_to_go(Key("Plugin", "hello"))
        assert (await api.post("/plugins/hello/enabled", enabled=False)).json()["code"] == "plugin_deleting"
        assert (await api.post("/plugins", **{**MANIFEST, "name": "hello"})).status_code == 409
        await api.clears(plugin)
        assert [(await removal).status_code for removal in removals] == [204, 204]
        assert (await api.get("/plugins/hello")).json()["code"] == "plugin_not_found"


async def test_a_removal_that_takes_too_long_is_accepted(tmp_path: Path) -> None:
    async with serving(tmp_path, wait_margin_s=0.01) as api:
        await api.installed("hello")
        answer = await api.delete("/plugins/hello")
        assert (answer.status_code, answer.headers["volant-wait"]) == (202, "timeout")
        assert answer.json()["deleting_since"]


async def test_a_plugin_that_does_not_exist_is_not_found(tmp_path: Path) -> None:
    async with serving(tmp_path) as api:
        for method, path, body in (
            ("GET", "/plugins/none", None),
            ("DELETE", "/plugins/none", None),
            ("POST", "/plugins/none/enabled", {"enabled": True}),
        ):
            answer = await api.http.request(method, path, json=body)
            assert (answer.status_code, answer.json()["code"]) == (404, "plugin_not_found")
