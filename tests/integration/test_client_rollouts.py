"""Both clients on rollouts, and on single objects said whole."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from tests.builders.server import Served, serving

from volant.client import ApiError, AsyncClient, Client, NotReached
from volant.model.deployment import template_of
from volant.model.event import Happening
from volant.model.meta import Key
from volant.model.rollout import digest_of
from volant.model.views import DeploymentView, RevisionView, VMView


def url(api: Served) -> str:
    return f"http://127.0.0.1:{api.port}"


async def blocking(api: Served, job: Callable[[Client], Any]) -> Any:
    """What a program without a loop would do, beside the loop of the server."""

    def run() -> Any:
        with Client(url(api)) as client:
            return job(client)

    return await asyncio.to_thread(run)


def web(**spec: Any) -> dict[str, Any]:
    return {"kind": "Deployment", "metadata": {"name": "web"}, "spec": {"plugin": "hello", **spec}}


async def rolled_out(api: Served) -> None:
    """What the controller reports of a deployment without replicas."""
    deployment = api.store.deployment("web")
    template = digest_of(template_of(deployment.spec))
    status = replace(
        deployment.status, observed_generation=deployment.meta.generation, template=template, completed=template
    )
    await api.store.update_status(deployment, status, Happening(type="deployment.updated", actor="deployment"))


async def test_a_rollout_from_its_change_to_its_undoing(tmp_path: Path) -> None:
    async with serving(tmp_path) as api, AsyncClient(url(api)) as client, asyncio.TaskGroup() as tasks:
        await api.installed(ready=True)
        made = await client.deployments.put("web", web(replicas=0))
        assert isinstance(made, DeploymentView)
        changed = await client.deployments.patch("web", {"config": {"env": {"A": "1"}}})
        newest, oldest = await client.deployments.revisions("web")
        assert isinstance(newest, RevisionView)
        assert (newest.revision, newest.template, oldest.template) == (2, changed.template, made.template)
        wait = tasks.create_task(client.deployments.wait("web", "complete"))
        await api.waited_for(Key("Deployment", "web"))
        await rolled_out(api)
        assert (await wait) == await client.deployments.get("web")
        assert (await client.deployments.pause("web")).rollout in ("paused", "complete")
        with pytest.raises(ApiError) as caught:
            await client.deployments.rollback("web")
        assert caught.value.code == "rollout_paused"
        assert not (await client.deployments.resume("web")).strategy.paused
        assert (await client.deployments.rollback("web")).template == made.template
        assert (await client.deployments.rollback("web", 2)).template == changed.template
        assert (await client.deployments.restart("web")).template_revision == 5
        assert (await client.deployments.patch("web", {"replicas": 9}, dry_run=True)).replicas == 9
        assert (await client.deployments.get("web")).replicas == 0


async def test_a_write_that_waits_for_a_rollout_says_what_came_of_it(tmp_path: Path) -> None:
    async with serving(tmp_path) as api, AsyncClient(url(api)) as client:
        await api.installed(ready=True)
        await client.deployments.put("web", web(replicas=1))
        with pytest.raises(NotReached) as caught:
            await client.deployments.restart("web", wait="complete", timeout_s=0.05)
        assert (caught.value.how, caught.value.object.name) == ("timeout", "web")


async def test_the_blocking_client_does_the_same(tmp_path: Path) -> None:
    async with serving(tmp_path) as api:
        await api.installed(ready=True)
        vm = {"kind": "VM", "metadata": {"name": "db"}, "spec": {"plugin": "hello"}}
        assert isinstance(await blocking(api, lambda client: client.vms.put("db", vm)), VMView)
        assert await blocking(api, lambda client: client.vms.put("db", vm)) == await blocking(
            api, lambda client: client.vms.get("db")
        )
        await blocking(api, lambda client: client.deployments.put("web", web(replicas=0)))
        await blocking(api, lambda client: client.deployments.patch("web", {"labels": {"v": "2"}}))
        found = await blocking(api, lambda client: client.deployments.rollback("web", 1))
        assert (found.template_revision, found.labels) == (3, {})
        assert [one.revision for one in await blocking(api, lambda client: client.deployments.revisions("web"))] == [
            3,
            2,
            1,
        ]
        paused = await blocking(api, lambda client: client.deployments.pause("web"))
        assert paused.strategy.paused
        assert not (await blocking(api, lambda client: client.deployments.resume("web"))).strategy.paused
        assert (await blocking(api, lambda client: client.deployments.restart("web"))).template_revision == 4
