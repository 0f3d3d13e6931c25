"""A VM's config over HTTP: what it says, how it is changed, and how it came to be so."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from tests.builders.daemon import RunningDaemon, daemon, until
from tests.builders.objects import a_manifest
from tests.builders.server import Served, serving

from volant.model.history import digest
from volant.model.plugin import Manifest
from volant.model.vm import CloudInit, Resources

CONFIG = "/vms/a/config"
HISTORY = "/vms/a/config/history"


async def with_a_vm(api: Served, manifest: Manifest | None = None, **config: Any) -> None:
    await api.installed("hello", manifest=manifest)
    answer = await api.post("/vms", name="a", plugin="hello", config=config)
    assert answer.status_code == 201, answer.text


async def test_a_patch_answers_with_the_whole_config(tmp_path: Path) -> None:
    async with serving(tmp_path) as api:
        await with_a_vm(api, cloud_init="#cloud-config", env={"A": "1"})
        answer = await api.patch(CONFIG, resources={"vcpu": 4, "memory_mb": 1024})
        assert answer.status_code == 200
        assert answer.json() == {
            "resources": {"vcpu": 4, "memory_mb": 1024},
            "network": {"mode": "user"},
            "cloud_init": {"enabled": True, "user_data": "#cloud-config"},
            "env": {"A": "1"},
            "restart_required": False,
        }
        assert answer.headers["etag"] == f'"{api.store.vm("a").meta.revision}"'
        assert (await api.get(CONFIG)).json() == answer.json()


async def test_the_running_guest_keeps_what_it_was_booted_with(tmp_path: Path) -> None:
    async with serving(tmp_path) as api:
        await with_a_vm(api, resources={"vcpu": 2, "memory_mb": 512})
        await api.runs("a")
        assert (await api.patch(CONFIG, resources={"vcpu": 4})).json()["restart_required"] is True
        for vm in ((await api.get("/vms/a")).json(), *(await api.get("/vms")).json()):
            assert vm["resources"] == {"vcpu": 2, "memory_mb": 512}
            assert vm["restart_required"] is True
        back = await api.patch(CONFIG, resources={"vcpu": 2})
        assert back.json()["restart_required"] is False
        await api.patch(CONFIG, resources={"vcpu": 4})
        await api.runs("a")  # anew, with what is asked for now
        vm = (await api.get("/vms/a")).json()
        assert (vm["resources"]["vcpu"], vm["restart_required"]) == (4, False)


async def test_a_stopped_vm_shows_what_it_will_be_booted_with(tmp_path: Path) -> None:
    async with serving(tmp_path) as api:
        await with_a_vm(api)
        await api.stops("a")
        assert (await api.patch(CONFIG, resources={"vcpu": 4})).json()["restart_required"] is False
        vm = (await api.get("/vms/a")).json()
        assert (vm["resources"]["vcpu"], vm["restart_required"]) == (4, False)


@pytest.mark.parametrize("body", [{}, {"resources": {}}, {"resources": {"vcpu": 1}}, {"env": None}, {"network": {}}])
async def test_a_patch_that_changes_nothing_writes_nothing(tmp_path: Path, body: dict[str, Any]) -> None:
    """V4: no revision, no event, no history."""
    async with serving(tmp_path) as api:
        await with_a_vm(api)
        before = api.store.vm("a"), api.store.revision
        answer = await api.http.patch(CONFIG, json=body)
        assert answer.status_code == 200
        assert (api.store.vm("a"), api.store.revision) == before
        assert len((await api.get(HISTORY)).json()) == 1


async def test_null_goes_back_to_what_the_plugin_says(tmp_path: Path) -> None:
    manifest = a_manifest(
        resources=Resources(vcpu=2, memory_mb=512), env={"MODE": "prod"}, cloud_init=CloudInit(user_data="theirs")
    )
    async with serving(tmp_path) as api:
        await with_a_vm(api, manifest, resources={"vcpu": 8}, env={"MODE": "test", "MINE": "1"}, cloud_init="mine")
        patch = {"resources": {"vcpu": None}, "env": {"MODE": None, "MINE": None}, "cloud_init": {"user_data": None}}
        config = (await api.http.patch(CONFIG, json=patch)).json()
        assert config["resources"] == {"vcpu": 2, "memory_mb": 512}
        assert config["env"] == {"MODE": "prod"}
        assert config["cloud_init"] == {"enabled": True, "user_data": "theirs"}


async def test_both_names_of_json_are_taken(tmp_path: Path) -> None:
    async with serving(tmp_path) as api:
        await with_a_vm(api)
        for vcpu, media in enumerate(("application/json", "application/merge-patch+json"), start=3):
            body = b'{"resources": {"vcpu": %d}}' % vcpu
            answer = await api.http.patch(CONFIG, content=body, headers={"content-type": media})
            assert answer.json()["resources"]["vcpu"] == vcpu


async def test_everything_wrong_with_a_patch_is_said_at_once(tmp_path: Path) -> None:
    async with serving(tmp_path) as api:
        await with_a_vm(api)
        before = api.store.revision
        body = {"resources": {"vcpus": 4, "memory_mb": 1}, "env": {"a-b": "x", "C": 5}, "cloud_init": {"user_data": 1}}
        answer = await api.http.patch(CONFIG, json=body)
        assert (answer.status_code, answer.json()["code"]) == (400, "invalid")
        fields = {field["path"]: field["message"] for field in answer.json()["details"]["fields"]}
        assert set(fields) == {
            *("/resources/vcpus", "/resources/memory_mb", "/env/a-b", "/env/C", "/cloud_init/user_data"),
        }
        assert fields["/resources/vcpus"] == "unknown field. Did you mean 'vcpu'?"
        assert api.store.revision == before


@pytest.mark.parametrize(
    ("body", "path"),
    [
        ({"network": {"mode": "bridge"}}, "/network/mode"),
        ({"restart_required": False}, "/restart_required"),
        ({"env": {f"V{n}": "x" for n in range(30)}}, "/env"),
        ({"resources": 5}, "/resources"),
        ([], ""),
        (5, ""),
    ],
)
async def test_what_cannot_be_is_refused(tmp_path: Path, body: Any, path: str) -> None:
    async with serving(tmp_path) as api:
        await with_a_vm(api, env={f"W{n}": "x" for n in range(40)})
        answer = await api.http.patch(CONFIG, json=body)
        assert answer.status_code == 400, answer.text
        assert [field["path"] for field in answer.json()["details"]["fields"]] == [path]


async def test_a_vm_and_its_plugin_may_not_have_too_many_variables_together(tmp_path: Path) -> None:
    async with serving(tmp_path) as api:
        await api.installed("hello", manifest=a_manifest(env={f"P{n}": "" for n in range(40)}))
        config = {"env": {f"V{n}": "" for n in range(40)}}
        for path, more in (("/vms", {}), ("/deployments", {"replicas": 1})):
            answer = await api.post(path, name="a", plugin="hello", config=config, **more)
            assert answer.status_code == 400, answer.text
            assert [field["path"] for field in answer.json()["details"]["fields"]] == ["/config/env"]


async def test_there_must_be_such_a_vm_and_it_must_be_staying(tmp_path: Path) -> None:
    async with serving(tmp_path) as api:
        for method, path in (("PATCH", CONFIG), ("GET", CONFIG), ("GET", HISTORY)):
            answer = await api.http.request(method, path, json={} if method == "PATCH" else None)
            assert (answer.status_code, answer.json()["code"]) == (404, "vm_not_found")
        await with_a_vm(api)
        await api.http.delete("/vms/a", params={"wait": "none"})
        answer = await api.patch(CONFIG, resources={"vcpu": 4})
        assert (answer.status_code, answer.json()["code"]) == (409, "vm_deleting")


async def test_a_patch_of_another_revision_is_refused(tmp_path: Path) -> None:
    """V2"""
    async with serving(tmp_path) as api:
        await with_a_vm(api)
        seen = (await api.get(CONFIG)).headers["etag"]
        body = {"resources": {"vcpu": 4}}
        first = await api.http.patch(CONFIG, json=body, headers={"If-Match": seen})
        second = await api.http.patch(CONFIG, json=body, headers={"If-Match": seen})
        assert (first.status_code, second.status_code) == (200, 412)
        assert second.json()["details"]["revision"] == api.store.vm("a").meta.revision


async def test_of_two_patches_at_once_neither_is_lost(tmp_path: Path) -> None:
    async with serving(tmp_path) as api:
        await with_a_vm(api)
        async with asyncio.TaskGroup() as tasks:
            for n in range(20):
                tasks.create_task(api.patch(CONFIG, env={f"V{n}": str(n)}))
        assert api.store.vm("a").spec.config.env == {f"V{n}": str(n) for n in range(20)}
        assert len((await api.get(HISTORY)).json()) == 21


async def test_a_history_is_a_bare_array_newest_first(tmp_path: Path) -> None:
    async with serving(tmp_path) as api:
        await with_a_vm(api, resources={"vcpu": 2})
        headers = {"X-Request-Id": "mine-1"}
        await api.http.patch(CONFIG, json={"resources": {"vcpu": 4}}, headers=headers)
        await api.patch(CONFIG, env={"TOKEN": "hunter2"}, cloud_init="hunter3")
        answer = await api.get(HISTORY)
        newest, change, created = answer.json()
        assert list(change) == ["timestamp", "changes", "author", "request_id", "generation"]
        assert change["changes"] == {"resources.vcpu": {"old": 2, "new": 4}}
        assert (change["author"], change["request_id"], change["generation"]) == ("api", "mine-1", 2)
        assert created["changes"] == {"created": True}
        assert created["timestamp"] == (await api.get("/vms/a")).json()["created_at"]
        assert newest["changes"] == {
            "env.TOKEN": {"old": None, "new": digest("hunter2")},
            "cloud_init.enabled": {"old": None, "new": True},
            "cloud_init.user_data": {"old": None, "new": digest("hunter3")},
        }
        assert "hunter" not in answer.text
        assert (await api.get(f"{HISTORY}?limit=1")).json() == [newest]
        assert (await api.get(f"{HISTORY}?limit=0")).json() == []
        assert (await api.get(f"{HISTORY}?limit=-1")).status_code == 400


async def test_a_dry_run_shows_the_change_and_makes_none(tmp_path: Path) -> None:
    """A4"""
    async with serving(tmp_path) as api:
        await with_a_vm(api)
        before = api.store.vm("a"), api.store.revision
        tried = (await api.http.patch(f"{CONFIG}?dry_run=true", json={"resources": {"vcpu": 4}})).json()
        assert (tried["dry_run"], tried["resources"]["vcpu"]) == (True, 4)
        assert tried["changes"] == {"resources.vcpu": {"old": 1, "new": 4}}
        assert (api.store.vm("a"), api.store.revision) == before
        assert len((await api.get(HISTORY)).json()) == 1


async def test_a_patch_that_is_sent_twice_is_made_once(tmp_path: Path) -> None:
    async with serving(tmp_path) as api:
        await with_a_vm(api)
        headers = {"Idempotency-Key": "k"}
        first = await api.http.patch(CONFIG, json={"resources": {"vcpu": 4}}, headers=headers)
        await api.patch(CONFIG, resources={"vcpu": 5})
        again = await api.http.patch(CONFIG, json={"resources": {"vcpu": 4}}, headers=headers)
        assert again.json() == first.json()
        assert again.headers["idempotent-replayed"] == "true"
        assert api.store.vm("a").spec.config.resources.vcpu == 5


async def test_an_event_tells_what_was_changed_and_no_value(tmp_path: Path) -> None:
    async with serving(tmp_path) as api:
        await with_a_vm(api)
        async with api.events() as stream:
            await api.patch(CONFIG, env={"TOKEN": "hunter2"}, resources={"vcpu": 4})
            frame = await stream.next()
        assert frame is not None
        assert (frame.event, frame.data["reason"]) == ("vm.updated", "ConfigChanged")
        assert frame.data["message"] == "resources.vcpu, env.TOKEN"
        assert "hunter2" not in str(frame.data)


def patched_and_restarted(running: RunningDaemon) -> None:
    config = running.patch(CONFIG, {"resources": {"vcpu": 4}})
    assert config["restart_required"] is True
    vm = running.get("/vms/a")
    assert (vm["status"], vm["resources"]["vcpu"], vm["restart_required"]) == ("running", 1, True)
    running.post("/vms/a/restart")
    (vm,) = until("the VM runs anew", lambda: [v for v in running.running(1) if not v["restart_required"]])
    assert vm["resources"]["vcpu"] == 4
    assert running.patch(CONFIG, {"resources": {"vcpu": 2}})["restart_required"] is True
    assert running.patch(CONFIG, {"resources": {"vcpu": 4}})["restart_required"] is False


def test_a_real_daemon_restarts_into_the_config_and_keeps_it_when_killed(tmp_path: Path) -> None:
    artifacts = tmp_path / "artifacts"
    artifacts.mkdir()
    for name in ("kernel", "initramfs"):
        (artifacts / name).write_bytes(name.encode())
    manifest = {
        "name": "p",
        "version": "1",
        "kernel": {"url": f"file://{artifacts}/kernel"},
        "initramfs": {"url": f"file://{artifacts}/initramfs"},
    }
    flags = ("--hypervisor", "simulated")
    with daemon(tmp_path / "data", *flags, artifact_root=artifacts) as first:
        first.post("/plugins", manifest)
        first.post("/vms", {"name": "a", "plugin": "p"})
        first.running(1)
        patched_and_restarted(first)
        config, history = first.get(CONFIG), first.get(HISTORY)
        first.kill()
    assert [list(entry["changes"]) for entry in history] == [["resources.vcpu"]] * 3 + [["created"]]
    with daemon(tmp_path / "data", *flags, artifact_root=artifacts) as second:
        second.running(1)
        assert second.get(CONFIG) == config
        assert second.get(HISTORY) == history
        assert second.get("/vms/a")["resources"]["vcpu"] == 4
