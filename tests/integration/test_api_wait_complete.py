"""Waiting for the end of a rollout, which old replicas never satisfy; the test plays the controller."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import httpx2
import pytest
from msgspec.structs import replace
from tests.builders.objects import NOW, complete_status
from tests.builders.server import Served, serving

from volant.model.conditions import Condition
from volant.model.deployment import AVAILABLE, PROGRESSING, DeploymentStatus, template_of, with_template
from volant.model.event import Happening
from volant.model.goals import ROLLED_BACK, STALLED
from volant.model.meta import Key
from volant.model.rollout import digest_of

WEB = Key("Deployment", "web")


async def installed(api: Served) -> None:
    await api.installed("hello")
    plugin = api.store.plugin("hello")
    status = complete_status(plugin.spec.manifest)
    await api.store.update_status(plugin, status, Happening(type="plugin.ready", actor="test"))


async def reports(api: Served, *, updated: int, total: int = 4, ready: int = 4, reason: str = "RollingOut") -> None:
    """What the controller would say of a deployment of four."""
    deployment = api.store.deployment("web")
    template = digest_of(template_of(deployment.spec))
    is_done = updated == total == deployment.spec.replicas and ready == total
    conditions = (
        Condition(type=AVAILABLE, status="true" if ready >= 4 else "false", reason="Said", last_update=NOW),
        Condition(type=PROGRESSING, status="false", reason=reason, message="it is stuck", last_update=NOW),
    )
    status = DeploymentStatus(
        observed_generation=deployment.meta.generation,
        replicas=total,
        updated_replicas=updated,
        ready_replicas=ready,
        template=template,
        completed=template if is_done else deployment.status.completed,
        progress_at=None if is_done else NOW,
        conditions=conditions,
    )
    await api.store.update_status(deployment, status, Happening(type="deployment.updated", actor="deployment"))


async def rolled_out(api: Served) -> None:
    """A deployment of four that is complete."""
    await installed(api)
    assert (await api.post("/deployments", name="web", plugin="hello", replicas=4)).status_code == 201
    await reports(api, updated=4)


async def waited(api: Served, **query: Any) -> httpx2.Response:
    words = "".join(f"&{name}={value}" for name, value in query.items())
    return await api.get(f"/deployments/web/wait?state=complete{words}")


def reason(answer: httpx2.Response) -> tuple[int, str, str]:
    said = answer.json()
    return answer.status_code, said["code"], said["details"]["reason"]


async def test_old_replicas_satisfy_nobody_who_waits_for_the_new_ones(tmp_path: Path) -> None:
    """U6, A11: all four are available throughout, and the rollout is complete at its end only."""
    async with serving(tmp_path) as api, asyncio.TaskGroup() as tasks:
        await rolled_out(api)
        assert (await waited(api, timeout=0)).json()["rollout"] == "complete"
        await api.patch("/deployments/web", labels={"v": "2"})
        assert (await waited(api, timeout=0)).json()["code"] == "wait_timeout"
        wait = tasks.create_task(waited(api))
        for updated, total in ((1, 5), (3, 5), (4, 5)):
            await api.waited_for(WEB)
            await reports(api, updated=updated, total=total)
            assert (await api.get("/deployments/web/wait?timeout=0")).status_code == 200, "available"
            assert not wait.done()
        await reports(api, updated=4)
        assert (await wait).status_code == 200


async def test_a_write_may_wait_for_the_end_of_its_rollout(tmp_path: Path) -> None:
    async with serving(tmp_path) as api, asyncio.TaskGroup() as tasks:
        await rolled_out(api)
        wait = tasks.create_task(api.patch("/deployments/web?wait=complete", labels={"v": "2"}))
        await api.waited_for(WEB)
        await reports(api, updated=4)
        answer = await wait
        assert (answer.status_code, answer.json()["rollout"]) == (200, "complete")
        assert "volant-wait" not in answer.headers


async def test_a_rollout_that_is_stuck_ends_the_wait_with_its_own_words(tmp_path: Path) -> None:
    """U5: at once, with ten minutes to go."""
    async with serving(tmp_path) as api, asyncio.TaskGroup() as tasks:
        await rolled_out(api)
        await api.patch("/deployments/web", labels={"v": "2"})
        wait = tasks.create_task(waited(api, timeout=600))
        await api.waited_for(WEB)
        await reports(api, updated=1, total=5, reason=STALLED)
        answer = await wait
        assert reason(answer) == (409, "deployment_failed", STALLED)
        assert answer.json()["details"]["message"] == "it is stuck"
        answer = await api.post("/deployments/web/restart?wait=complete&timeout=0")
        assert (answer.status_code, answer.headers["volant-wait"]) == (200, "timeout"), "that is another rollout"


async def taken_back(api: Served, reason: str = ROLLED_BACK) -> None:
    """What the controller does when a rollout is to be reverted by itself: status first, then the spec."""
    deployment = api.store.deployment("web")
    before = api.store.templates(deployment)[1].template
    happening = Happening(type="deployment.updated", actor="deployment", reason=reason, message="back to 1")
    await api.store.write(lambda tx: tx.update_spec(deployment, with_template(deployment.spec, before), happening))


@pytest.mark.parametrize(
    ("is_given", "because"), [(False, ROLLED_BACK), (True, "SetReverted")], ids=["at the time", "by its generation"]
)
async def test_a_rollout_that_was_taken_back_is_no_success(tmp_path: Path, is_given: bool, because: str) -> None:
    """U10: however complete the old template is by then, and whoever asks later."""
    async with serving(tmp_path) as api, asyncio.TaskGroup() as tasks:
        await rolled_out(api)
        await api.patch("/deployments/web", labels={"v": "2"}, strategy={"auto_revert": True})
        generation = api.store.deployment("web").meta.generation
        wait = tasks.create_task(waited(api, timeout=600, **({"generation": generation} if is_given else {})))
        await api.waited_for(WEB)
        await reports(api, updated=1, total=5)
        await taken_back(api, because)
        assert reason(await wait) == (409, "deployment_failed", ROLLED_BACK)
        await reports(api, updated=4)
        assert reason(await waited(api, generation=generation)) == (409, "deployment_failed", ROLLED_BACK)
        assert (await waited(api)).status_code == 200, "who asks about the old one is told that it is complete"
        for older in (0, generation - 1):
            assert (await waited(api, generation=older)).status_code == 200, "of the template that is there again"
        await api.patch("/deployments/web", replicas=4, strategy={"max_surge": 2})
        await reports(api, updated=4)
        assert (await waited(api, generation=generation + 1)).status_code == 200


async def test_a_rollback_that_somebody_asked_for_is_waited_for_like_any_rollout(tmp_path: Path) -> None:
    """U7: its own event is no failure of it, but one of what it took back."""
    async with serving(tmp_path) as api:
        await rolled_out(api)
        rolled = (await api.patch("/deployments/web", labels={"v": "2"})).json()["generation"]
        back = (await api.http.post("/deployments/web/rollback", json={})).json()["generation"]
        await reports(api, updated=4)
        assert (await waited(api, generation=back)).status_code == 200
        assert reason(await waited(api, generation=rolled)) == (409, "deployment_failed", ROLLED_BACK)


async def test_a_paused_rollout_says_so_instead_of_being_waited_for(tmp_path: Path) -> None:
    """U8"""
    async with serving(tmp_path) as api:
        await rolled_out(api)
        await api.patch("/deployments/web", labels={"v": "2"})
        await reports(api, updated=2, total=5)
        await api.post("/deployments/web/pause")
        assert (await waited(api, timeout=0)).json()["code"] == "wait_timeout", "nobody has looked since"
        await reports(api, updated=2, total=5, reason="RolloutPaused")
        answer = await waited(api)
        assert reason(answer) == (409, "deployment_failed", "RolloutPaused")
        assert "resume it" in answer.json()["error"]


async def test_who_has_to_be_ready_for_a_while_has_been_when_it_is_complete(tmp_path: Path) -> None:
    """U4, U6: of those that were added since, by the VMs themselves and the clock."""
    async with serving(tmp_path) as api:
        await rolled_out(api)
        strategy = {"min_ready_s": 3600, "progress_deadline_s": 7200, "max_unavailable": 0}
        await api.patch("/deployments/web", strategy=strategy)
        await reports(api, updated=4)
        assert (await waited(api, timeout=0)).json()["code"] == "wait_timeout"
        await api.patch("/deployments/web", strategy={"min_ready_s": 0})
        await reports(api, updated=4)
        assert (await waited(api, timeout=0)).status_code == 200


async def test_a_template_of_a_plugin_that_is_gone_fails_at_once(tmp_path: Path) -> None:
    async with serving(tmp_path) as api:
        await rolled_out(api)
        await api.patch("/deployments/web", labels={"v": "2"})
        await reports(api, updated=1, total=4, reason="PluginDisabled")
        assert reason(await waited(api)) == (409, "deployment_failed", "PluginDisabled")
        status = replace(api.store.deployment("web").status, updated_replicas=4)
        happening = Happening(type="deployment.updated", actor="deployment")
        await api.store.update_status(api.store.deployment("web"), status, happening)
        assert (await waited(api, timeout=0)).json()["code"] == "wait_timeout", "all are there, and only start"
