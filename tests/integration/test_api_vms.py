"""VMs over HTTP, as the reference has them; the test plays the VM controller."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from tests.builders.objects import a_manifest, stopped_status
from tests.builders.server import Served, serving

from volant.model.conditions import Condition
from volant.model.event import Happening
from volant.model.meta import Key
from volant.model.vm import FINALIZER, READY, Exit, Resources


async def test_a_vm_is_created_starting_with_an_address(tmp_path: Path) -> None:
    async with serving(tmp_path) as api:
        await api.installed("hello")
        answer = await api.post("/vms", name="my-vm", plugin="hello")
        assert answer.status_code == 201
        assert answer.headers["location"] == "/api/v1/vms/my-vm"
        assert answer.json() | {"name": "my-vm", "status": "starting", "plugin": "hello"} == answer.json()
        assert answer.json()["ip"] == "127.88.0.10"
        assert (await api.get("/vms/my-vm")).json() == answer.json()
        vm = api.store.vm("my-vm")
        assert vm.meta.finalizers == (FINALIZER,)
        assert answer.headers["etag"] == f'"{vm.meta.revision}"'


async def test_what_is_not_asked_for_is_the_plugin_s(tmp_path: Path) -> None:
    async with serving(tmp_path) as api:
        await api.installed("big", manifest=a_manifest("big", resources=Resources(vcpu=2, memory_mb=512)))
        answer = await api.post("/vms", name="a", plugin="big", config={"resources": {"vcpu": 4}})
        assert answer.json()["resources"] == {"vcpu": 4, "memory_mb": 512}
        config = (await api.get("/vms/a/config")).json()
        assert config["resources"] == {"vcpu": 4, "memory_mb": 512}
        assert config["network"] == {"mode": "user"}


async def test_labels_and_policy_are_kept(tmp_path: Path) -> None:
    async with serving(tmp_path) as api:
        await api.installed("hello")
        answer = await api.post(
            "/vms", name="a", plugin="hello", labels={"app": "web"}, restart_policy="never", grace_s=5
        )
        assert answer.json()["labels"] == {"app": "web"}
        assert answer.json()["restart_policy"] == "never"
        assert api.store.vm("a").spec.grace_s == 5


async def test_a_name_is_taken_once(tmp_path: Path) -> None:
    """V3: also by a VM that a deployment has named so. What was refused leaves nothing behind."""
    async with serving(tmp_path) as api:
        await api.installed("hello")
        await api.post("/vms", name="web-1", plugin="hello")
        revision = api.store.revision
        answer = await api.post("/vms", name="web-1", plugin="hello")
        assert answer.status_code == 409
        assert answer.json()["error"] == "VM already exists"
        assert answer.json()["code"] == "vm_already_exists"
        assert api.store.revision == revision
        assert (await api.post("/vms", name="web-2", plugin="hello")).json()["ip"] == "127.88.0.11"


async def test_of_many_who_want_one_name_one_gets_it(tmp_path: Path) -> None:
    """V2, V3"""
    async with serving(tmp_path) as api:
        await api.installed("hello")
        async with asyncio.TaskGroup() as tasks:
            posts = [tasks.create_task(api.post("/vms", name="web", plugin="hello")) for _ in range(16)]
        assert sorted(post.result().status_code for post in posts) == [201] + [409] * 15
        assert api.store.count("VM") == 1


async def test_a_vm_needs_a_plugin_that_may_be_used(tmp_path: Path) -> None:
    async with serving(tmp_path) as api:
        await api.installed("off", enabled=False)
        await api.installed("going", deleting=True)
        for plugin, status, code in (
            ("none", 404, "plugin_not_found"),
            ("off", 409, "plugin_disabled"),
            ("going", 409, "plugin_deleting"),
        ):
            answer = await api.post("/vms", name="a", plugin=plugin)
            assert (answer.status_code, answer.json()["code"]) == (status, code)
            assert answer.json()["details"] == {"name": plugin}
        assert api.store.count("VM") == 0


async def test_when_there_are_no_addresses_left_a_vm_is_refused(tmp_path: Path) -> None:
    async with serving(tmp_path) as api:
        await api.installed("hello")
        for i in range(245):
            assert (await api.post("/vms", name=f"a-{i}", plugin="hello")).status_code == 201
        answer = await api.post("/vms", name="one-more", plugin="hello")
        assert (answer.status_code, answer.json()["code"]) == (409, "addresses_exhausted")


async def test_lists_are_bare_arrays_in_the_order_of_creation(tmp_path: Path) -> None:
    async with serving(tmp_path) as api:
        await api.installed("hello")
        assert (await api.get("/vms")).json() == []
        for name in ("c", "a", "b"):
            await api.post("/vms", name=name, plugin="hello")
        answer = await api.get("/vms")
        assert [vm["name"] for vm in answer.json()] == ["c", "a", "b"]
        assert answer.headers["x-total-count"] == "3"
        assert answer.headers["volant-revision"] == str(api.store.revision)


@pytest.mark.parametrize(
    ("query", "names", "total"),
    [
        ("limit=2", ["a", "b"], 5),
        ("limit=2&offset=3", ["d", "e"], 5),
        ("offset=4", ["e"], 5),
        ("offset=9", [], 5),
        ("limit=0", [], 5),
        ("plugin=other", ["b", "e"], 2),
        ("plugin=other&limit=1&offset=1", ["e"], 2),
        ("plugin=none", [], 0),
        ("status=running", ["a", "b"], 2),
        ("status=starting", ["c", "d", "e"], 3),
        ("status=starting&limit=1&offset=1", ["d"], 3),
        ("status=running&plugin=other", ["b"], 1),
        ("status=stopped", [], 0),
    ],
)
async def test_lists_are_filtered_and_paged(tmp_path: Path, query: str, names: list[str], total: int) -> None:
    async with serving(tmp_path) as api:
        await api.installed("hello")
        await api.installed("other")
        for name in "abcde":
            await api.post("/vms", name=name, plugin="other" if name in "be" else "hello")
        await api.runs("a")
        await api.runs("b")
        answer = await api.get(f"/vms?{query}")
        assert [vm["name"] for vm in answer.json()] == names
        assert answer.headers["x-total-count"] == str(total)


@pytest.mark.parametrize("query", ["", "?status=starting"])
async def test_a_long_list_is_whole(tmp_path: Path, query: str) -> None:
    async with serving(tmp_path) as api:
        await api.installed("hello")
        async with asyncio.TaskGroup() as tasks:
            for i in range(240):
                tasks.create_task(api.post("/vms", name=f"a-{i}", plugin="hello"))
        names = {vm["name"] for vm in (await api.get(f"/vms{query}")).json()}
        assert names == {f"a-{i}" for i in range(240)}


async def a_running_vm(api: Served, name: str = "my-vm") -> None:
    await api.installed("hello")
    await api.post("/vms", name=name, plugin="hello")
    await api.runs(name)


async def test_a_stop_answers_when_the_vm_is_stopped(tmp_path: Path) -> None:
    async with serving(tmp_path) as api, asyncio.TaskGroup() as tasks:
        await a_running_vm(api)
        stop = tasks.create_task(api.post("/vms/my-vm/stop"))
        vm = await api.asked("my-vm", "stopped")
        assert not vm.spec.force
        assert (await api.get("/vms/my-vm")).json()["status"] == "stopping"
        assert not stop.done()
        await api.stops("my-vm")
        answer = await stop
        assert (answer.status_code, answer.json()["status"]) == (200, "stopped")
        assert "volant-wait" not in answer.headers


async def test_a_stopped_vm_is_not_stopped_again(tmp_path: Path) -> None:
    async with serving(tmp_path) as api, asyncio.TaskGroup() as tasks:
        await a_running_vm(api)
        tasks.create_task(api.post("/vms/my-vm/stop"))
        await api.asked("my-vm", "stopped")
        await api.stops("my-vm")
        answer = await api.post("/vms/my-vm/stop")
        assert (answer.status_code, answer.json()["code"]) == (409, "vm_already_stopped")


async def test_a_forced_stop_escalates_one_that_is_under_way(tmp_path: Path) -> None:
    async with serving(tmp_path) as api, asyncio.TaskGroup() as tasks:
        await a_running_vm(api)
        tasks.create_task(api.post("/vms/my-vm/stop"))
        await api.asked("my-vm", "stopped")
        forced = tasks.create_task(api.http.post("/vms/my-vm/stop?force=true"))
        async with asyncio.timeout(20):
            while not api.store.vm("my-vm").spec.force:
                await asyncio.sleep(0.002)
        third = tasks.create_task(api.post("/vms/my-vm/stop"))
        await api.get("/vms")
        await api.stops("my-vm")
        assert (await forced).json()["status"] == "stopped"
        assert (await third).json()["status"] == "stopped"
        assert api.store.vm("my-vm").spec.force


async def test_a_stop_that_takes_too_long_is_answered_with_what_is_so(tmp_path: Path) -> None:
    async with serving(tmp_path, wait_margin_s=0.01) as api:
        await api.installed("hello")
        await api.post("/vms", name="a", plugin="hello", grace_s=0)
        await api.runs("a")
        answer = await api.post("/vms/a/stop")
        assert (answer.status_code, answer.json()["status"]) == (200, "stopping")
        assert answer.headers["volant-wait"] == "timeout"


async def test_a_stop_overtaken_by_a_start_says_so(tmp_path: Path) -> None:
    async with serving(tmp_path) as api, asyncio.TaskGroup() as tasks:
        await a_running_vm(api)
        stop = tasks.create_task(api.post("/vms/my-vm/stop"))
        await api.asked("my-vm", "stopped")
        assert (await api.post("/vms/my-vm/start")).status_code == 200
        assert ((await stop).status_code, (await stop).json()["code"]) == (409, "vm_started_again")


async def test_a_stopped_vm_starts(tmp_path: Path) -> None:
    async with serving(tmp_path) as api, asyncio.TaskGroup() as tasks:
        await a_running_vm(api)
        tasks.create_task(api.http.post("/vms/my-vm/stop?force=true"))
        await api.asked("my-vm", "stopped")
        await api.stops("my-vm")
        answer = await api.post("/vms/my-vm/start")
        assert (answer.status_code, answer.json()["status"]) == (200, "starting")
        vm = api.store.vm("my-vm")
        assert (vm.spec.power, vm.spec.force) == ("running", False)


async def test_a_vm_that_runs_or_starts_is_not_started(tmp_path: Path) -> None:
    async with serving(tmp_path) as api:
        await api.installed("hello")
        await api.post("/vms", name="my-vm", plugin="hello")
        revision = api.store.revision
        for word in ("starting", "running"):
            answer = await api.post("/vms/my-vm/start")
            assert (answer.status_code, answer.json()["code"]) == (409, "vm_already_running")
            assert answer.json()["details"]["status"] == word
            assert api.store.revision == revision
            revision = (await api.runs("my-vm")).meta.revision


async def test_starting_a_vm_that_waits_for_its_next_try_tries_now(tmp_path: Path) -> None:
    async with serving(tmp_path) as api:
        await a_running_vm(api)
        running = api.store.vm("my-vm").status
        crashed = stopped_status(booted=running.booted, next_restart_at=9e9, failures=4)
        await api.reports("my-vm", crashed)
        assert (await api.get("/vms/my-vm")).json()["status"] == "restarting"
        assert (await api.post("/vms/my-vm/start")).status_code == 200
        assert api.store.vm("my-vm").spec.restart_nonce == 1


async def test_starting_a_vm_in_error_tries_again(tmp_path: Path) -> None:
    async with serving(tmp_path) as api:
        await a_running_vm(api)
        refused = (Condition(type=READY, status="false", reason="DriverRefused"),)
        await api.reports("my-vm", stopped_status(conditions=refused, exit=Exit(reason="launch_failed", at=1.0)))
        assert (await api.get("/vms/my-vm")).json()["status"] == "error"
        assert (await api.post("/vms/my-vm/start")).status_code == 200
        assert api.store.vm("my-vm").spec.restart_nonce == 1


async def test_a_restart_answers_at_once(tmp_path: Path) -> None:
    async with serving(tmp_path) as api:
        await a_running_vm(api)
        answer = await api.post("/vms/my-vm/restart")
        assert (answer.status_code, answer.json()["status"]) == (200, "restarting")
        assert (await api.get("/vms/my-vm")).json()["status"] == "restarting"
        await api.runs("my-vm")
        assert (await api.get("/vms/my-vm")).json()["status"] == "running"


async def test_a_restart_of_a_stopped_vm_starts_it(tmp_path: Path) -> None:
    async with serving(tmp_path) as api, asyncio.TaskGroup() as tasks:
        await a_running_vm(api)
        tasks.create_task(api.post("/vms/my-vm/stop"))
        await api.asked("my-vm", "stopped")
        await api.stops("my-vm")
        answer = await api.post("/vms/my-vm/restart")
        assert (answer.status_code, answer.json()["status"]) == (200, "restarting")
        assert api.store.vm("my-vm").spec.power == "running"


async def test_a_delete_answers_when_nothing_is_left(tmp_path: Path) -> None:
    async with serving(tmp_path) as api, asyncio.TaskGroup() as tasks:
        await a_running_vm(api)
        deletes = [tasks.create_task(api.delete("/vms/my-vm")) for _ in range(2)]
        vm = await api.asked_to_go(Key("VM", "my-vm"))
        late = tasks.create_task(api.delete("/vms/my-vm"))
        assert (await api.get("/vms/my-vm")).json()["deleting_since"]
        assert not any(delete.done() for delete in deletes)
        await api.clears(vm)
        assert [(await delete).status_code for delete in (*deletes, late)] == [204, 204, 204]
        assert (await deletes[0]).content == b""
        assert (await api.get("/vms/my-vm")).status_code == 404


async def test_a_forced_delete_escalates_one_that_is_under_way(tmp_path: Path) -> None:
    async with serving(tmp_path) as api, asyncio.TaskGroup() as tasks:
        await a_running_vm(api)
        tasks.create_task(api.delete("/vms/my-vm"))
        since = (await api.asked_to_go(Key("VM", "my-vm"))).meta.deleting_since
        tasks.create_task(api.delete("/vms/my-vm?force=true"))
        async with asyncio.timeout(20):
            while not api.store.vm("my-vm").spec.force:
                await asyncio.sleep(0.002)
        vm = api.store.vm("my-vm")
        assert vm.meta.deleting_since == since
        await api.clears(vm)


async def test_a_delete_waits_for_the_vm_that_was_meant(tmp_path: Path) -> None:
    """V11: a VM of the same name that comes after it is another one."""
    async with serving(tmp_path) as api, asyncio.TaskGroup() as tasks:
        await a_running_vm(api)
        delete = tasks.create_task(api.delete("/vms/my-vm"))
        vm = await api.asked_to_go(Key("VM", "my-vm"))
        await api.clears(vm)
        await api.post("/vms", name="my-vm", plugin="hello")
        assert (await delete).status_code == 204
        assert not api.store.vm("my-vm").meta.is_deleting


async def test_a_delete_that_takes_too_long_is_accepted_and_goes_on(tmp_path: Path) -> None:
    async with serving(tmp_path, wait_margin_s=0.01) as api:
        await api.installed("hello")
        await api.post("/vms", name="a", plugin="hello", grace_s=0)
        answer = await api.delete("/vms/a")
        assert (answer.status_code, answer.headers["volant-wait"]) == (202, "timeout")
        assert answer.json()["deleting_since"]


async def test_a_vm_on_its_way_out_takes_no_other_writes(tmp_path: Path) -> None:
    async with serving(tmp_path) as api, asyncio.TaskGroup() as tasks:
        await a_running_vm(api)
        tasks.create_task(api.delete("/vms/my-vm"))
        vm = await api.asked_to_go(Key("VM", "my-vm"))
        for verb in ("start", "stop", "restart"):
            answer = await api.post(f"/vms/my-vm/{verb}")
            assert (answer.status_code, answer.json()["code"]) == (409, "vm_deleting")
        await api.clears(vm)


async def test_a_vm_of_a_deployment_may_be_deleted(tmp_path: Path) -> None:
    async with serving(tmp_path) as api, asyncio.TaskGroup() as tasks:
        await a_running_vm(api, "web-1")
        delete = tasks.create_task(api.delete("/vms/web-1"))
        await api.clears(await api.asked_to_go(Key("VM", "web-1")))
        assert (await delete).status_code == 204


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/vms/none"),
        ("GET", "/vms/none/config"),
        ("POST", "/vms/none/start"),
        ("POST", "/vms/none/stop"),
        ("POST", "/vms/none/restart"),
        ("DELETE", "/vms/none"),
    ],
)
async def test_a_vm_that_does_not_exist_is_the_reference_s_error(tmp_path: Path, method: str, path: str) -> None:
    async with serving(tmp_path) as api:
        answer = await api.http.request(method, path)
        assert answer.status_code == 404
        body = answer.json()
        assert body.pop("request_id")
        assert body == {"error": "VM not found", "code": "vm_not_found", "details": {"name": "none"}}


async def test_every_write_names_who_asked_for_it(tmp_path: Path) -> None:
    """E3, E4: one event a write, with the id of its request."""
    async with serving(tmp_path) as api:
        await api.installed("hello")
        await api.http.post("/vms", json={"name": "a", "plugin": "hello"}, headers={"X-Request-Id": "req-1"})
        await api.runs("a")
        await api.http.post("/vms/a/restart", headers={"X-Request-Id": "req-2"})
        events = api.store.events_after(0, 100)
        assert [event.type for event in events] == ["plugin.installed", "vm.created", "vm.started", "vm.updated"]
        assert b'"request_id":"req-1"' in events[1].data
        assert b'"reason":"RestartRequested"' in events[3].data
        assert b'"request_id":"req-2"' in events[3].data


async def test_a_write_that_is_refused_leaves_no_event(tmp_path: Path) -> None:
    """E3"""
    async with serving(tmp_path) as api:
        await a_running_vm(api)
        before = api.store.revision
        assert (await api.post("/vms/my-vm/start")).status_code == 409
        assert (await api.post("/vms", name="x", plugin="none")).status_code == 404
        assert (await api.http.post("/vms/my-vm/stop", headers={"If-Match": '"1"'})).status_code == 412
        assert api.store.revision == before
        assert api.store.events_after(before, 10) == []


async def test_a_stop_of_a_vm_that_is_deleted_meanwhile_ends(tmp_path: Path) -> None:
    async with serving(tmp_path) as api, asyncio.TaskGroup() as tasks:
        await a_running_vm(api)
        stop = tasks.create_task(api.post("/vms/my-vm/stop"))
        await api.asked("my-vm", "stopped")
        vm = api.store.vm("my-vm")
        await api.store.write(lambda tx: tx.mark_deleting(vm, Happening(type="vm.deleting")))
        assert ((await stop).status_code, (await stop).json()["code"]) == (409, "vm_deleting")


@pytest.mark.parametrize("mode", ["bridge", "dhcp"])
async def test_a_network_that_this_daemon_does_not_have_is_refused(tmp_path: Path, mode: str) -> None:
    async with serving(tmp_path) as api:
        await api.installed("hello")
        for path in ("/vms", "/deployments"):
            answer = await api.post(path, name="a", plugin="hello", config={"network": {"mode": mode}})
            assert answer.status_code == 400
            assert [field["path"] for field in answer.json()["details"]["fields"]] == ["/config/network/mode"]
            assert (await api.get(path)).json() == []
        assert (await api.post("/vms", name="a", plugin="hello", config={"network": {"mode": "none"}})).is_success
