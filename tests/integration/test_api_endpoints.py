"""Where a deployment is reached: over HTTP, by both clients, and who stops being there before its guest hears of it."""

from __future__ import annotations

import asyncio
from contextlib import aclosing, closing
from pathlib import Path
from typing import Any

import pytest
from tests.builders.commands import run
from tests.builders.objects import a_vm, running_status
from tests.builders.server import PATIENCE_S, Served, serving

from volant.cli.ending import GONE
from volant.client import ApiError, AsyncClient, Client
from volant.model.deployment import template_of
from volant.model.event import Happening
from volant.model.meta import Key
from volant.model.rollout import digest_of
from volant.model.vm import VM, Endpoint

CREATED = Happening(type="vm.created", actor="test")


def url(api: Served) -> str:
    return f"http://127.0.0.1:{api.port}"


def reached(n: int) -> Endpoint:
    return Endpoint(address=f"127.88.0.{n}", port=8080, guest_port=80)


async def a_deployment(api: Served) -> None:
    await api.installed()
    assert (await api.post("/deployments", name="web", plugin="hello", replicas=3)).status_code == 201


async def a_replica(api: Served, n: int, *, ready: bool = True, template: str | None = None, **more: Any) -> VM:
    owner = api.store.deployment("web")
    template = template or digest_of(template_of(owner.spec))
    status = running_status(ready=ready, endpoints=(reached(n),), node="host-1")
    return await api.store.create(a_vm(f"web-{n}", owner=owner, status=status, template=template, **more), CREATED)


async def leaves(api: Served, vm: VM) -> None:
    gone = Happening(type="vm.deleting", actor="test")
    await api.store.write(lambda tx: tx.mark_deleting(tx.get(vm.meta.key), gone))


async def test_who_is_ready_and_to_stay_is_an_endpoint(tmp_path: Path) -> None:
    """W1: as of a revision after which events can be followed."""
    async with serving(tmp_path) as api:
        await a_deployment(api)
        first = await a_replica(api, 1)
        await a_replica(api, 2, ready=False)
        await a_replica(api, 3, deleting=True)
        await a_replica(api, 4, template="0" * 16)
        answer = (await api.get("/deployments/web/endpoints")).json()
        assert (answer["deployment"], answer["revision"]) == ("web", api.store.revision)
        one, other = answer["endpoints"]
        assert one == {
            "vm": "web-1",
            "uid": first.meta.uid,
            "node": "host-1",
            "template_revision": 1,
            "ports": [{"address": "127.88.0.1", "port": 8080, "guest_port": 80}],
        }
        assert (other["vm"], "template_revision" in other) == ("web-4", False)
        assert (await api.get("/deployments/other/endpoints")).json()["code"] == "deployment_not_found"


async def test_who_is_on_the_way_out_is_none_from_that_commit_on(tmp_path: Path) -> None:
    """U12: and the event of it says so."""
    async with serving(tmp_path) as api:
        await a_deployment(api)
        vm = await a_replica(api, 1)
        async with api.events(f"/events?deployment=web&since={api.store.revision}") as stream:
            await leaves(api, vm)
            (told,) = await stream.take(1)
        assert (told.event, told.data["previous"]["ready"], told.data["new"]["ready"]) == ("vm.deleting", True, False)
        assert (await api.get("/deployments/web/endpoints")).json()["endpoints"] == []


async def test_whoever_deletes_one_vm_does_not_wait_for_those_who_ask_it(tmp_path: Path) -> None:
    """U12: also when its deployment has taken it away already, and it serves on."""
    async with serving(tmp_path) as api:
        await a_deployment(api)
        vm = await a_replica(api, 1, deleting=True, drain_s=600.0)
        assert (await api.delete(f"/vms/{vm.meta.name}?wait=none")).status_code == 202
        assert api.store.vm(vm.meta.name).spec.drain_s == 0.0


@pytest.mark.parametrize("wrong", [-1, 3601, "1s"])
async def test_a_time_to_serve_on_that_cannot_be_is_refused(tmp_path: Path, wrong: object) -> None:
    async with serving(tmp_path) as api:
        await a_deployment(api)
        answer = await api.patch("/deployments/web", strategy={"drain_s": wrong})
        assert answer.status_code == 400
        assert answer.json()["details"]["fields"][0]["path"] == "/strategy/drain_s"
        patched = await api.patch("/deployments/web", strategy={"drain_s": 30})
        assert (patched.json()["strategy"]["drain_s"], patched.json()["template_revision"]) == (30, 1)


async def test_endpoints_are_followed_over_broken_connections(tmp_path: Path) -> None:
    """W1: what is told is always the whole list, and nothing is told twice."""
    async with serving(tmp_path) as api, AsyncClient(url(api)) as client:
        await a_deployment(api)
        first = await a_replica(api, 1)
        async with asyncio.timeout(PATIENCE_S), aclosing(client.follow_endpoints("web")) as told:
            assert [one.vm for one in (await anext(told)).endpoints] == ["web-1"]
            waiting = asyncio.ensure_future(anext(told))
            second = await a_replica(api, 2, ready=False)
            status = running_status(endpoints=(reached(2),), node="host-1")
            await api.store.update_status(second, status, Happening(type="vm.updated", actor="test"))
            assert [one.vm for one in (await waiting).endpoints] == ["web-1", "web-2"]
            for connection in list(api.server.server_state.connections):
                connection.transport.abort()
            await leaves(api, first)
            assert [one.vm for one in (await anext(told)).endpoints] == ["web-2"]


async def test_who_follows_what_is_not_there_is_told(tmp_path: Path) -> None:
    async with serving(tmp_path) as api, AsyncClient(url(api)) as client:
        with pytest.raises(ApiError) as refused:
            await anext(client.follow_endpoints("web"))
        assert refused.value.code == "deployment_not_found"


async def test_the_blocking_client_follows_as_well(tmp_path: Path) -> None:
    async with serving(tmp_path) as api:
        await a_deployment(api)
        vm = await a_replica(api, 1)
        heard = asyncio.Event()
        loop = asyncio.get_running_loop()

        def follow() -> list[list[str]]:
            found = []
            with Client(url(api)) as client, closing(client.follow_endpoints("web")) as told:
                for endpoints in told:
                    found.append([one.vm for one in endpoints.endpoints])
                    loop.call_soon_threadsafe(heard.set)
                    if len(found) == 2:
                        break
            return found

        async with asyncio.timeout(PATIENCE_S):
            following = asyncio.create_task(asyncio.to_thread(follow))
            await heard.wait()
            await leaves(api, vm)
            assert await following == [["web-1"], []]


async def test_the_command_tells_of_each_change_until_the_deployment_is_gone(tmp_path: Path) -> None:
    async with serving(tmp_path) as api:
        await a_deployment(api)
        vm = await a_replica(api, 1)
        before = api.streams.open
        words = (url(api), "deployments", "endpoints", "web", "--watch")
        async with asyncio.timeout(PATIENCE_S):
            watching = asyncio.create_task(asyncio.to_thread(run, *words))
            while api.streams.open == before:
                await asyncio.sleep(0.01)
            await leaves(api, vm)
            await api.clears(vm)
            gone = Happening(type="deployment.deleting", actor="test")
            await api.store.write(lambda tx: tx.mark_deleting(tx.get(Key("Deployment", "web")), gone))
            await api.clears(api.store.deployment("web"))
            result = await watching
        assert result.stdout.splitlines() == ["web-1=127.88.0.1:8080", "-"]
        assert result.exit_code == GONE


async def test_the_command_shows_addresses(tmp_path: Path) -> None:
    async with serving(tmp_path) as api:
        await a_deployment(api)

        async def shown(*words: str) -> tuple[str, str]:
            result = await asyncio.to_thread(run, url(api), "deployments", "endpoints", "web", *words)
            assert result.exit_code == 0, result.output
            return result.stdout, result.stderr

        assert await shown() == ("", "No endpoints\n")
        await a_replica(api, 1)
        table, _ = await shown()
        assert [line.split() for line in table.splitlines()] == [
            ["VM", "ADDRESS", "REVISION", "NODE"],
            ["web-1", "127.88.0.1:8080", "1", "host-1"],
        ]
        assert await shown("-o", "name") == ("web-1\n", "")
        assert '"guest_port": 80' in (await shown("-o", "json"))[0]
