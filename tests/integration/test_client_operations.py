"""Both clients against the API on a socket: every operation, with what it gives and what it refuses."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.builders.objects import a_plugin
from tests.builders.server import Served, serving

from volant.client import ApiError, AsyncClient, Client, NoAnswer, NotReached
from volant.client import operations as op
from volant.model.event import Happening
from volant.model.meta import Key
from volant.model.requests import NewDeployment, NewVM
from volant.model.views import DeploymentView, PluginView, VMView


def url(api: Served) -> str:
    return f"http://127.0.0.1:{api.port}"


async def blocking(api: Served, job: Callable[[Client], Any]) -> Any:
    """What a program without a loop would do, beside the loop of the server."""

    def run() -> Any:
        with Client(url(api)) as client:
            return job(client)

    return await asyncio.to_thread(run)


async def test_objects_come_back_as_structs_of_the_model(tmp_path: Path) -> None:
    async with serving(tmp_path) as api, AsyncClient(url(api)) as client:
        await api.installed(ready=True)
        vm = await client.vms.create(NewVM(name="web", plugin="hello", labels={"app": "x"}))
        assert isinstance(vm, VMView)
        deployment = await client.deployments.create(NewDeployment(name="api", plugin="hello", replicas=2))
        assert isinstance(deployment, DeploymentView)
        assert (await client.deployments.scale("api", 3)).replicas == 3
        (plugin,) = await client.plugins.list()
        assert isinstance(plugin, PluginView)
        assert plugin == await client.plugins.get("hello")
        assert not (await client.plugins.enable("hello", enabled=False)).enabled
        assert (await client.vms.get("web")).labels == {"app": "x"}
        info = await client.info()
        assert (info.stats.total_vms, info.stats.total_deployments) == (1, 1)
        assert [one.type for one in await client.vms.events("web")] == ["vm.created"]
        assert (await client.vms.why("web")).chain[0].reason == "NotLookedAt"
        assert (await client.vms.list(owner="api", label_selector="!app")) == []


async def test_the_blocking_client_does_the_same(tmp_path: Path) -> None:
    async with serving(tmp_path) as api:
        await api.installed(ready=True)
        made = await blocking(api, lambda client: client.vms.create({"name": "web", "plugin": "hello"}))
        assert made == await blocking(api, lambda client: client.vms.get("web"))
        assert await blocking(api, lambda client: [one.name for one in client.plugins.list()]) == ["hello"]
        with pytest.raises(ApiError) as caught:
            await blocking(api, lambda client: client.vms.wait("web", "running", timeout_s=0.05))
        assert caught.value.code == "wait_timeout"
        await api.runs("web")
        assert (await blocking(api, lambda client: client.vms.wait("web", "running"))).status == "running"


async def test_config_is_read_changed_and_remembered(tmp_path: Path) -> None:
    async with serving(tmp_path) as api, AsyncClient(url(api)) as client:
        await api.installed(ready=True)
        await client.vms.create({"name": "web", "plugin": "hello"})
        config = await client.vms.patch_config("web", {"resources": {"vcpu": 4}, "env": {"A": "1"}})
        assert (config.resources.vcpu, config.env) == (4, {"A": "1"})
        assert config == await client.vms.get_config("web")
        newest, oldest = await client.vms.config_history("web")
        assert set(newest.changes) == {"resources.vcpu", "env.A"}
        assert oldest.changes == {"created": True}
        with pytest.raises(ApiError) as caught:
            await client.vms.patch_config("web", {"resources": {"vcpu": "many"}})
        assert [field["path"] for field in caught.value.fields] == ["/resources/vcpu"]


async def test_pages_are_followed_to_the_end(tmp_path: Path) -> None:
    async with serving(tmp_path) as api, AsyncClient(url(api)) as client:
        for n in range(7):
            await api.store.create(a_plugin(f"p{n}"), Happening(type="plugin.installed", actor="test"))
        first = op.list_plugins()
        short = type(first)(method="GET", path=first.path, query={**first.query, "limit": "2"}, read=first.read)
        assert [one.name for one in await client._sender.every(short)] == [f"p{n}" for n in range(7)]
        assert (await client.plugins.list(sort="name", order="desc"))[0].name == "p6"


async def test_a_create_whose_answer_was_lost_is_done_once(tmp_path: Path) -> None:
    async with serving(tmp_path) as api, AsyncClient(url(api)) as client:
        await api.installed(ready=True)
        first = await client.vms.create(NewVM(name="web", plugin="hello"), idempotency_key="k")
        assert await client.vms.create(NewVM(name="web", plugin="hello"), idempotency_key="k") == first
        with pytest.raises(ApiError) as caught:
            await client.vms.create(NewVM(name="web", plugin="hello"))
        assert (caught.value.status, caught.value.code) == (409, "vm_already_exists")


async def test_a_write_that_waits_gives_the_object_as_it_is_then(tmp_path: Path) -> None:
    async with serving(tmp_path) as api, AsyncClient(url(api)) as client:
        await api.installed(ready=True)
        await client.vms.create({"name": "web", "plugin": "hello"})
        await api.runs("web")

        async def stopped() -> None:
            await api.asked("web", "stopped")
            await api.stops("web")

        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(stopped())
            assert (await client.vms.stop("web")).status == "stopped"
        with pytest.raises(NotReached) as caught:
            await client.vms.start("web", wait="ready", timeout_s=0.05)
        assert (caught.value.how, caught.value.object.name) == ("timeout", "web")


async def test_a_delete_is_over_when_nothing_is_left(tmp_path: Path) -> None:
    async with serving(tmp_path) as api, AsyncClient(url(api)) as client:
        await api.installed(ready=True)
        await client.vms.create({"name": "web", "plugin": "hello"})
        left = await client.vms.delete("web", wait="none")
        assert left is not None
        assert left.deleting_since

        async def cleared() -> None:
            await api.clears(await api.asked_to_go(Key("VM", "web")))

        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(cleared())
            assert await client.vms.wait("web", "deleted") is None
        with pytest.raises(ApiError) as caught:
            await client.vms.get("web")
        assert (caught.value.status, caught.value.code) == (404, "vm_not_found")


async def test_a_wait_of_several_slices_is_for_one_generation(tmp_path: Path) -> None:
    async with serving(tmp_path) as api, AsyncClient(url(api)) as client:
        await api.installed(ready=True)
        await client.vms.create({"name": "web", "plugin": "hello"})

        def short(pinned: int | None, _: float) -> Any:
            return op.wait_for_vm("web", "running", generation=pinned, timeout_s=0.02)

        async def starts() -> None:
            await api.waited_for(Key("VM", "web"))
            await asyncio.sleep(0.1)  # some slices
            await api.runs("web")

        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(starts())
            found = await client._sender.reach(short, None, 20.0)
        assert found is not None
        assert found.status == "running"


async def test_nobody_there_is_no_answer(tmp_path: Path) -> None:
    async with serving(tmp_path) as api:
        gone = url(api)
    async with AsyncClient(gone, repeats=0) as client:
        with pytest.raises(NoAnswer, match="cannot reach the daemon"):
            await client.info()
        with pytest.raises(NoAnswer):
            await client.vms.wait("web", "running")
