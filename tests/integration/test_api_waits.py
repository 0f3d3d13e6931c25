"""Waiting, on the routes for it and on writes; the test plays the controllers."""

from __future__ import annotations

import asyncio
from pathlib import Path

import httpx2
import pytest
from tests.builders.objects import NOW, complete_status, running_status
from tests.builders.server import Served, serving

from volant.model import plugin as plugins
from volant.model import vm as vms
from volant.model.conditions import Condition
from volant.model.event import Happening
from volant.model.meta import Key
from volant.model.plugin import PluginStatus
from volant.model.vm import VMStatus

FAILED = VMStatus(
    conditions=(Condition(type=vms.READY, status="false", reason="PluginFailed", message="cannot start: no image"),)
)


async def refused(api: Served, name: str = "hello") -> None:
    """What the plugin controller reports of an artifact that was refused."""
    said = Condition(type=plugins.READY, status="false", reason="ArtifactRefused", message="wrong", last_update=NOW)
    status = PluginStatus(observed_generation=1, conditions=(said,))
    await api.store.update_status(api.store.plugin(name), status, Happening(type="plugin.error", actor="test"))


def said(answer: httpx2.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["code"]


async def test_what_is_so_is_answered_at_once(tmp_path: Path) -> None:
    """A11"""
    async with serving(tmp_path) as api:
        await api.installed()
        await api.post("/vms", name="a", plugin="hello")
        await api.runs("a")
        answer = await api.get("/vms/a/wait?state=running&timeout=0")
        assert (answer.status_code, answer.json()) == (200, (await api.get("/vms/a")).json())
        assert (await api.get("/vms/a/wait")).status_code == 200
        assert answer.headers["etag"] == f'"{api.store.vm("a").meta.revision}"'


async def test_a_wait_ends_when_it_is_so(tmp_path: Path) -> None:
    """A11"""
    async with serving(tmp_path) as api, asyncio.TaskGroup() as tasks:
        await api.installed()
        await api.post("/vms", name="a", plugin="hello")
        wait = tasks.create_task(api.get("/vms/a/wait?state=ready"))
        await api.waited_for(Key("VM", "a"))
        await api.reports("a", running_status(ready=False), "vm.started")
        assert not wait.done()
        await api.runs("a")
        assert (await wait).json()["status"] == "running"


async def test_the_state_before_a_change_does_not_satisfy(tmp_path: Path) -> None:
    """A11: the VM still reads `running` when the change is made, and that is not what is waited for."""
    async with serving(tmp_path) as api:
        await api.installed()
        await api.post("/vms", name="a", plugin="hello")
        await api.runs("a")
        await api.post("/vms/a/restart")
        assert said(await api.get("/vms/a/wait?timeout=0")) == (408, "wait_timeout")
        assert (await api.get("/vms/a/wait?timeout=0&generation=1&state=exists")).status_code == 200
        answer = await api.post("/vms/a/restart?wait=running&timeout=0")
        assert (answer.status_code, answer.headers["volant-wait"]) == (200, "timeout")
        assert answer.json()["status"] == "restarting"
        await api.runs("a")
        assert (await api.get("/vms/a/wait?timeout=0")).status_code == 200
        assert said(await api.get("/vms/a/wait?timeout=0&generation=9")) == (408, "wait_timeout")


async def test_a_timeout_says_how_it_stands(tmp_path: Path) -> None:
    async with serving(tmp_path) as api:
        await api.installed()
        await api.post("/vms", name="a", plugin="hello")
        answer = await api.get("/vms/a/wait?timeout=0")
        assert said(answer) == (408, "wait_timeout")
        assert answer.json()["details"] == {
            "name": "a",
            "state": "running",
            "status": "starting",
            "generation": 1,
            "observed_generation": 0,
        }


async def test_a_wait_that_cannot_end_well_ends_at_once(tmp_path: Path) -> None:
    """A11: with an hour to go, but for the plugin whose image is missing."""
    async with serving(tmp_path) as api, asyncio.TaskGroup() as tasks:
        await api.installed()
        await api.post("/vms", name="a", plugin="hello")
        wait = tasks.create_task(api.get("/vms/a/wait?timeout=600"))
        await api.waited_for(Key("VM", "a"))
        await api.reports("a", FAILED, "vm.error")
        answer = await wait
        assert said(answer) == (409, "vm_failed")
        told = {"state": "running", "status": "error", "reason": "PluginFailed", "message": "cannot start: no image"}
        assert told | answer.json()["details"] == answer.json()["details"]


async def test_a_wait_is_for_one_vm_and_not_for_a_name(tmp_path: Path) -> None:
    """A11, D5: deleted, and made again under the same name."""
    async with serving(tmp_path) as api, asyncio.TaskGroup() as tasks:
        await api.installed()
        await api.post("/vms", name="a", plugin="hello")
        waits = [tasks.create_task(api.get(f"/vms/a/wait?state={goal}&timeout=600")) for goal in ("running", "deleted")]
        await api.waited_for(Key("VM", "a"))
        old = api.store.vm("a")
        await api.delete("/vms/a?wait=none")
        assert said(await waits[0]) == (409, "vm_deleting")
        later = tasks.create_task(api.get("/vms/a/wait?state=exists&timeout=600"))
        await api.clears(old)
        assert (await waits[1]).status_code == 204
        await api.post("/vms", name="a", plugin="hello")
        assert (await later).json()["uid"] == api.store.vm("a").meta.uid != old.meta.uid


async def test_an_object_that_is_still_to_be_made_is_waited_for(tmp_path: Path) -> None:
    """A11: for its creation only; every other state is that of an object that is there."""
    async with serving(tmp_path) as api, asyncio.TaskGroup() as tasks:
        await api.installed()
        assert said(await api.get("/vms/a/wait?state=running")) == (404, "vm_not_found")
        assert said(await api.get("/vms/a/wait?state=exists&timeout=0")) == (408, "wait_timeout")
        wait = tasks.create_task(api.get("/vms/a/wait?state=exists"))
        await api.waited_for(Key("VM", "a"))
        await api.post("/vms", name="a", plugin="hello")
        assert (await wait).json()["name"] == "a"
        assert (await api.get("/vms/none/wait?state=deleted")).status_code == 204


@pytest.mark.parametrize("query", ["timeout=601", "timeout=x", "state=happy", "generation=-1", "nonsense=1"])
async def test_what_cannot_be_waited_for_is_refused(tmp_path: Path, query: str) -> None:
    """A10"""
    async with serving(tmp_path) as api:
        answer = await api.get(f"/vms/a/wait?{query}")
        assert said(answer) == (400, "invalid")
        assert answer.json()["details"]["fields"][0]["path"] == "?" + query.partition("=")[0]


@pytest.mark.parametrize("state", ["exists", "deleted"])
async def test_nobody_waits_for_what_cannot_have_that_name(tmp_path: Path, state: str) -> None:
    """Neither will it ever be there, nor was it ever deleted."""
    async with serving(tmp_path) as api:
        answer = await api.get(f"/vms/No_Name/wait?state={state}&timeout=0")
        assert said(answer) == (400, "invalid")
        assert [field["path"] for field in answer.json()["details"]["fields"]] == ["{name}"]
        assert said(await api.get("/vms/No_Name/wait?state=running")) == (404, "vm_not_found")


async def test_a_stopping_daemon_ends_its_waits(tmp_path: Path) -> None:
    """S1"""
    async with serving(tmp_path) as api, asyncio.TaskGroup() as tasks:
        await api.installed()
        await api.post("/vms", name="a", plugin="hello")
        wait = tasks.create_task(api.get("/vms/a/wait"))
        await api.waited_for(Key("VM", "a"))
        api.deps.stopping.set()
        assert said(await wait) == (503, "stopping")


async def test_who_hangs_up_waits_no_more(tmp_path: Path) -> None:
    async with serving(tmp_path) as api:
        await api.installed()
        await api.post("/vms", name="a", plugin="hello")
        _, writer = await asyncio.open_connection("127.0.0.1", api.port)
        writer.write(b"GET /api/v1/vms/a/wait?timeout=600 HTTP/1.1\r\nHost: localhost\r\n\r\n")
        await api.waited_for(Key("VM", "a"))
        writer.close()
        await writer.wait_closed()
        async with asyncio.timeout(20):
            while api.waits._waiting:
                await asyncio.sleep(0.002)


async def test_a_deployment_waits_for_its_plugin_too(tmp_path: Path) -> None:
    """A11: nothing of the deployment changes when its plugin turns out not to be had."""
    async with serving(tmp_path) as api, asyncio.TaskGroup() as tasks:
        await api.installed()
        await api.post("/deployments", name="web", plugin="hello", replicas=2)
        deployment = api.store.deployment("web")
        known = type(deployment.status)(observed_generation=1)
        await api.store.update_status(deployment, known, Happening(type="deployment.updated", actor="test"))
        wait = tasks.create_task(api.get("/deployments/web/wait?timeout=600"))
        await api.waited_for(Key("Deployment", "web"), Key("Plugin", "hello"))
        await refused(api)
        answer = await wait
        assert said(answer) == (409, "deployment_failed")
        assert answer.json()["details"]["reason"] == "ArtifactRefused"


async def test_a_deployment_without_vms_is_available(tmp_path: Path) -> None:
    async with serving(tmp_path) as api:
        await api.installed()
        await api.post("/deployments", name="web", plugin="hello", replicas=0)
        assert said(await api.get("/deployments/web/wait?timeout=0")) == (408, "wait_timeout")
        assert (await api.get("/deployments/web/wait?state=exists")).status_code == 200
        assert said(await api.get("/deployments/none/wait")) == (404, "deployment_not_found")


async def test_a_plugin_is_waited_for(tmp_path: Path) -> None:
    async with serving(tmp_path) as api, asyncio.TaskGroup() as tasks:
        await api.installed("good")
        await api.installed("bad")
        good = tasks.create_task(api.get("/plugins/good/wait"))
        bad = tasks.create_task(api.get("/plugins/bad/wait?state=ready&timeout=10m"))
        await api.waited_for(Key("Plugin", "good"), Key("Plugin", "bad"))
        await refused(api, "bad")
        plugin = api.store.plugin("good")
        status = complete_status(plugin.spec.manifest)
        await api.store.update_status(plugin, status, Happening(type="plugin.ready", actor="test"))
        assert (await good).json()["name"] == "good"
        assert said(await bad) == (409, "plugin_failed")


async def test_a_write_may_wait_for_what_it_leads_to(tmp_path: Path) -> None:
    async with serving(tmp_path) as api, asyncio.TaskGroup() as tasks:
        await api.installed()
        create = tasks.create_task(api.post("/vms?wait=ready", name="a", plugin="hello"))
        await api.waited_for(Key("VM", "a"))
        await api.runs("a")
        answer = await create
        assert (answer.status_code, answer.json()["status"]) == (201, "running")
        assert answer.headers["location"] == "/api/v1/vms/a"
        assert "volant-wait" not in answer.headers
        assert answer.headers["etag"] == f'"{answer.json()["revision"]}"'


async def test_a_write_is_not_undone_because_nothing_comes_of_it(tmp_path: Path) -> None:
    """A11: its status is that of the write; the header and the object say the rest."""
    async with serving(tmp_path) as api, asyncio.TaskGroup() as tasks:
        await api.installed()
        create = tasks.create_task(api.post("/vms?wait=running&timeout=600", name="a", plugin="hello"))
        await api.waited_for(Key("VM", "a"))
        await api.reports("a", FAILED, "vm.error")
        answer = await create
        assert (answer.status_code, answer.headers["volant-wait"]) == (201, "failed")
        assert answer.json()["status"] == "error"
        assert answer.json()["conditions"][0]["message"] == "cannot start: no image"
        late = await api.post("/vms?wait=running&timeout=1ms", name="b", plugin="hello")
        assert (late.status_code, late.headers["volant-wait"], late.json()["status"]) == (201, "timeout", "starting")
        assert api.store.count("VM") == 2


async def test_a_vm_that_is_deleted_while_its_creation_waits_is_shown_as_it_was(tmp_path: Path) -> None:
    async with serving(tmp_path) as api, asyncio.TaskGroup() as tasks:
        await api.installed()
        create = tasks.create_task(api.post("/vms?wait=running&timeout=600", name="a", plugin="hello"))
        await api.waited_for(Key("VM", "a"))
        await api.delete("/vms/a?wait=none")
        answer = await create
        assert (answer.status_code, answer.headers["volant-wait"], answer.json()["status"]) == (
            201,
            "failed",
            "stopping",
        )


async def test_stop_and_delete_need_not_be_waited_for(tmp_path: Path) -> None:
    async with serving(tmp_path) as api:
        await api.installed()
        await api.post("/vms", name="a", plugin="hello")
        await api.runs("a")
        stop = await api.post("/vms/a/stop?wait=none")
        assert (stop.status_code, stop.json()["status"]) == (200, "stopping")
        delete = await api.delete("/vms/a?wait=none")
        assert (delete.status_code, delete.json()["status"]) == (202, "stopping")
        assert "volant-wait" not in delete.headers
        late = await api.delete("/vms/a?timeout=0")
        assert (late.status_code, late.headers["volant-wait"]) == (202, "timeout")


async def test_every_kind_s_writes_wait(tmp_path: Path) -> None:
    async with serving(tmp_path) as api, asyncio.TaskGroup() as tasks:
        body = {"name": "p", "version": "1", "initramfs": {"url": "http://a/b"}, "kernel": {"url": "http://a/c"}}
        install = tasks.create_task(api.post("/plugins?wait=ready&timeout=600", **body))
        await api.waited_for(Key("Plugin", "p"))
        await refused(api, "p")
        assert ((await install).status_code, (await install).headers["volant-wait"]) == (201, "failed")
        made = await api.post("/deployments?wait=available&timeout=0", name="web", plugin="p", replicas=1)
        assert (made.status_code, made.headers["volant-wait"]) == (201, "timeout")
        scaled = await api.http.patch("/deployments/web?wait=available&timeout=0", json={"replicas": 2})
        assert (scaled.status_code, scaled.headers["volant-wait"]) == (200, "timeout")
        gone = await api.delete("/deployments/web?wait=none")
        assert gone.status_code == 202


async def test_a_merge_patch_scales(tmp_path: Path) -> None:
    async with serving(tmp_path) as api:
        await api.installed()
        await api.post("/deployments", name="web", plugin="hello", replicas=1)
        headers = {"content-type": "application/merge-patch+json"}
        answer = await api.http.patch("/deployments/web", content=b'{"replicas": 3}', headers=headers)
        assert (answer.status_code, answer.json()["replicas"]) == (200, 3)
