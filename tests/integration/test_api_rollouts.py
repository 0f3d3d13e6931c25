"""Rollouts over HTTP: templates, revisions, going back, pausing; the test plays no controller."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.builders.objects import a_manifest
from tests.builders.server import Served, serving

from volant.model.event import EventData
from volant.model.rollout import Strategy
from volant.model.vm import Resources


async def a_deployment(api: Served, **body: Any) -> dict[str, Any]:
    await api.installed("hello")
    answer = await api.post("/deployments", **{"name": "web", "plugin": "hello", **body})
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    return made


def last_event(api: Served) -> tuple[str, str | None, str | None]:
    (event,) = api.store.events_after(api.store.revision - 1, 1)
    data = msgspec.json.decode(event.data, type=EventData)
    return event.type, data.reason, data.message


async def rolled_back(api: Served, **body: Any) -> Any:
    return await api.http.post("/deployments/web/rollback", json=body)


async def numbers(api: Served) -> list[int]:
    return [one["revision"] for one in (await api.get("/deployments/web/revisions")).json()]


async def test_a_new_deployment_has_a_strategy_and_its_first_revision(tmp_path: Path) -> None:
    """U2, U7"""
    async with serving(tmp_path) as api:
        made = await a_deployment(api)
        assert made["strategy"] == msgspec.to_builtins(Strategy())
        assert (made["template_revision"], made["updated_replicas"], made["rollout"]) == (1, 0, "rolling")
        (first,) = (await api.get("/deployments/web/revisions")).json()
        assert (first["revision"], first["current"], first["complete"]) == (1, True, False)
        assert (first["plugin"], first["cause"], first["config"]) == ("hello", "created", made["config"])


@pytest.mark.parametrize(
    ("patch", "paths"),
    [
        ({"config": {"resources": {"vcpu": 2}}}, "config.resources.vcpu"),
        ({"config": {"env": {"LEVEL": "debug"}}}, "config.env.LEVEL"),
        ({"restart_policy": "never"}, "restart_policy"),
        ({"labels": {"tier": "front"}}, "labels.tier"),
        ({"plugin": "other"}, "plugin"),
    ],
)
async def test_another_template_is_another_revision(tmp_path: Path, patch: dict[str, Any], paths: str) -> None:
    """U7: and the event names what has changed."""
    async with serving(tmp_path) as api:
        await api.installed("other")
        await a_deployment(api)
        answer = await api.patch("/deployments/web", **patch)
        assert (answer.status_code, answer.json()["template_revision"]) == (200, 2)
        assert last_event(api) == ("deployment.updated", "RolloutStarted", paths)
        assert await numbers(api) == [2, 1]


async def test_replicas_and_strategy_are_no_revision(tmp_path: Path) -> None:
    async with serving(tmp_path) as api:
        await a_deployment(api)
        assert (await api.patch("/deployments/web", replicas=3)).json()["template_revision"] == 1
        answer = await api.patch("/deployments/web", strategy={"max_surge": 2, "auto_revert": True})
        assert answer.json()["strategy"] == msgspec.to_builtins(Strategy(max_surge=2, auto_revert=True))
        assert last_event(api)[:2] == ("deployment.updated", "StrategyChanged")
        answer = await api.patch("/deployments/web", strategy={"max_surge": None})
        assert answer.json()["strategy"]["max_surge"] == "25%"
        assert await numbers(api) == [1]


async def test_what_means_the_same_rolls_nothing(tmp_path: Path) -> None:
    """U11, V4: the order of keys, a default that is said, a value that is there already."""
    async with serving(tmp_path) as api:
        await a_deployment(api, config={"env": {"A": "1", "B": "2"}})
        before = api.store.revision
        same: list[dict[str, Any]] = [
            {"config": {"env": {"B": "2", "A": "1"}}},
            {"config": {"resources": {"vcpu": 1, "memory_mb": 256}, "network": {}}},
            {"restart_policy": "always", "labels": {}},
            {"strategy": {}},
            {},
        ]
        for patch in same:
            answer = await api.patch("/deployments/web", **patch)
            assert answer.status_code == 200
            assert api.store.revision == before, patch


@pytest.mark.parametrize(
    ("strategy", "path"),
    [
        ({"max_surge": 0, "max_unavailable": 0}, "/strategy/max_unavailable"),
        ({"max_surge": "0%", "max_unavailable": 0}, "/strategy/max_unavailable"),
        ({"min_ready_s": 600}, "/strategy/progress_deadline_s"),
        ({"max_surge": "101%"}, "/strategy/max_surge"),
        ({"max_surge": -1}, "/strategy/max_surge"),
        ({"revisions_kept": 101}, "/strategy/revisions_kept"),
    ],
)
async def test_a_strategy_that_cannot_be_is_refused(tmp_path: Path, strategy: dict[str, Any], path: str) -> None:
    """U2, U5: with the field, at the creation and later."""
    async with serving(tmp_path) as api:
        await a_deployment(api)
        before = api.store.revision
        for answer in (
            await api.post("/deployments", name="other", plugin="hello", strategy=strategy),
            await api.patch("/deployments/web", strategy=strategy),
        ):
            assert answer.status_code == 400
            assert [field["path"] for field in answer.json()["details"]["fields"]] == [path]
        assert api.store.revision == before


async def test_a_port_of_the_host_is_never_a_deployments(tmp_path: Path) -> None:
    async with serving(tmp_path) as api:
        await a_deployment(api)
        publish = [{"guest_port": 80, "host_port": 18080}]
        answer = await api.patch("/deployments/web", config={"network": {"publish": publish}})
        assert answer.status_code == 400
        assert answer.json()["details"]["fields"][0]["path"] == "/config/network/publish"


async def test_another_plugin_brings_its_own_defaults(tmp_path: Path) -> None:
    """What somebody asked for stays, what only the old plugin said goes with it."""
    async with serving(tmp_path) as api:
        await api.installed("v1", manifest=a_manifest("v1", env={"OLD": "1"}, resources=Resources(memory_mb=128)))
        await api.installed("v2", manifest=a_manifest("v2", env={"NEW": "1"}, resources=Resources(memory_mb=512)))
        body = {"config": {"env": {"MINE": "1"}, "resources": {"vcpu": 3}}}
        assert (await api.post("/deployments", name="web", plugin="v1", **body)).status_code == 201
        config = (await api.patch("/deployments/web", plugin="v2")).json()["config"]
        assert config["env"] == {"MINE": "1", "NEW": "1"}
        assert config["resources"] == {"vcpu": 3, "memory_mb": 512}
        assert (await api.patch("/deployments/web", plugin="none")).json()["code"] == "plugin_not_found"


async def test_a_rollback_is_a_new_revision_with_an_old_template(tmp_path: Path) -> None:
    """U7: to the one before, or to the one that is named."""
    async with serving(tmp_path) as api:
        await a_deployment(api, labels={"v": "1"}, replicas=2)
        await api.patch("/deployments/web", labels={"v": "2"})
        await api.patch("/deployments/web", labels={"v": "3"}, replicas=5)
        answer = await rolled_back(api)
        assert (answer.status_code, answer.json()["labels"], answer.json()["replicas"]) == (200, {"v": "2"}, 5)
        assert last_event(api) == ("deployment.updated", "RolledBack", "back to the template of revision 2")
        answer = await rolled_back(api, revision=1)
        assert (answer.json()["labels"], answer.json()["template_revision"]) == ({"v": "1"}, 5)
        assert await numbers(api) == [5, 4, 3, 2, 1]
        before = api.store.revision
        assert (await rolled_back(api, revision=1)).status_code == 200
        assert api.store.revision == before, "V4: that is the template which it has"


async def test_without_a_history_there_is_no_way_back(tmp_path: Path) -> None:
    """U7"""
    async with serving(tmp_path) as api:
        await a_deployment(api, strategy={"revisions_kept": 1})
        answer = await rolled_back(api)
        assert (answer.status_code, answer.json()["code"]) == (409, "no_such_revision")
        for number in range(4):
            await api.patch("/deployments/web", labels={"v": str(number)})
        assert await numbers(api) == [5, 4]
        answer = await rolled_back(api, revision=2)
        assert (answer.status_code, answer.json()["details"]["revisions"]) == (409, [5, 4])


async def test_who_is_paused_neither_rolls_nor_goes_back(tmp_path: Path) -> None:
    """U7, U8"""
    async with serving(tmp_path) as api:
        await a_deployment(api)
        answer = await api.post("/deployments/web/pause")
        assert (answer.status_code, answer.json()["rollout"]) == (200, "paused")
        assert last_event(api)[:2] == ("deployment.updated", "RolloutPaused")
        await api.patch("/deployments/web", labels={"v": "2"})
        assert last_event(api)[:2] == ("deployment.updated", "TemplateChanged")
        for answer in (await rolled_back(api), await api.post("/deployments/web/restart")):
            assert (answer.status_code, answer.json()["code"]) == (409, "rollout_paused")
        before = api.store.revision
        assert (await api.post("/deployments/web/pause")).status_code == 200
        assert api.store.revision == before
        await api.post("/deployments/web/resume")
        assert last_event(api)[:2] == ("deployment.updated", "RolloutResumed")


async def test_a_restart_is_a_rollout_of_the_same_template(tmp_path: Path) -> None:
    async with serving(tmp_path) as api:
        made = await a_deployment(api)
        answer = await api.post("/deployments/web/restart")
        assert (answer.status_code, answer.json()["config"]) == (200, made["config"])
        assert answer.json()["template_revision"] == 2
        assert last_event(api) == ("deployment.updated", "RolloutStarted", "restart")


async def test_a_restart_after_a_rollback_is_of_a_template_that_no_vm_has(tmp_path: Path) -> None:
    """U7, U9: else those that the restart before has made would pass for new ones, and stay."""
    async with serving(tmp_path) as api:
        await a_deployment(api)
        seen = [api.store.deployment("web").spec.restart_nonce]
        for path in ("restart", "restart", "rollback", "restart"):
            await api.http.post(f"/deployments/web/{path}", json={} if path == "rollback" else None)
            seen.append(api.store.deployment("web").spec.restart_nonce)
        assert seen == [0, 1, 2, 1, 3]


async def test_a_dry_run_shows_the_rollout_and_begins_none(tmp_path: Path) -> None:
    """A4"""
    async with serving(tmp_path) as api:
        await a_deployment(api)
        before = api.store.revision
        answer = await api.http.patch("/deployments/web?dry_run=true", json={"labels": {"v": "2"}})
        assert answer.json()["changes"]["template_revision"] == {"old": 1, "new": 2}
        assert api.store.revision == before
        assert await numbers(api) == [1]
