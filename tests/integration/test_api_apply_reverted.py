"""`POST /apply` and `auto_revert`: a template that was taken back stays so until it is another one, and never flaps.

The real deployment controller over the store of a real API; the test plays the guests, and the clock.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from tests.builders.server import Served, serving
from tests.builders.stores import HandClock

from volant.controllers.deployment import DeploymentReconciler
from volant.model.meta import Key

GOOD, BROKEN, MENDED = {"LEVEL": "1"}, {"LEVEL": "2", "BROKEN": "yes"}, {"LEVEL": "3"}
KEY = Key("Deployment", "web")


class Host:
    """The API, and turns of the controller."""

    def __init__(self, api: Served) -> None:
        self.api = api
        self.clock = HandClock(api.deps.clock.now())
        self.reconciler = DeploymentReconciler(store=api.store, clock=self.clock)

    async def applied(self, env: dict[str, str], **asked: Any) -> Any:
        """The answer to an apply of the deployment; the labels are part of its template too."""
        spec = {"plugin": "hello", "config": {"env": env}, "strategy": {"auto_revert": True}}
        told = {"kind": "Deployment", "metadata": {"name": "web", "labels": {"v": env["LEVEL"]}}, "spec": spec}
        return await self.api.post("/apply", **{"set": "infra", "objects": [told], **asked})

    async def turns(self) -> None:
        """The controller comes to rest, with guests that run unless they are told to be broken."""
        for _ in range(8):
            self.clock.forward(1.0)
            await self.reconciler.reconcile(KEY)
            for vm in self.api.store.vms():
                if vm.meta.is_deleting:
                    await self.api.clears(vm)
                elif vm.status.pid is None and "BROKEN" not in vm.spec.config.env:
                    await self.api.runs(vm.meta.name)

    async def fails(self) -> None:
        """The deadline of the rollout passes."""
        await self.turns()
        self.clock.forward(601.0)
        await self.turns()

    @property
    def env(self) -> dict[str, str]:
        """What the deployment says by now."""
        return self.api.store.deployment("web").spec.config.env

    async def revisions(self) -> dict[int, bool]:
        """Number of each revision, and whether it was taken back by itself."""
        shown = (await self.api.get("/deployments/web/revisions")).json()
        return {one["revision"]: one.get("reverted", False) for one in shown}


@asynccontextmanager
async def reverted(directory: Path) -> AsyncIterator[Host]:
    """A deployment whose second manifest was broken and has been taken back."""
    async with serving(directory) as api:
        await api.installed("hello")
        host = Host(api)
        assert (await host.applied(GOOD)).status_code == 200
        await host.turns()
        assert (await host.applied(BROKEN)).status_code == 200
        await host.fails()
        assert host.env == GOOD
        yield host


async def test_a_manifest_that_was_taken_back_is_refused_until_it_is_another_one(tmp_path: Path) -> None:
    """U10, A5: nothing rolls again and again because somebody applies the same over and over, by force or not."""
    async with reverted(tmp_path) as host:
        before = host.api.store.revision
        everybody: list[dict[str, Any]] = [{}, {"force": True}, {"manager": "sync/infra", "force": True}]
        for asked in everybody:
            refused = await host.applied(BROKEN, **asked)
            assert (refused.status_code, refused.json()["code"]) == (409, "template_reverted"), refused.text
            assert refused.json()["details"]["revision"] == 2
        assert host.api.store.revision == before
        assert await host.revisions() == {3: False, 2: True, 1: False}
        assert (await host.applied(MENDED)).status_code == 200, "the same manager mends his own fields without force"
        assert host.env == MENDED, "what only the broken one said is gone"
        await host.turns()
        assert (await host.applied(BROKEN)).status_code == 200, "once another one was complete the world has moved on"


async def test_going_back_to_the_manifest_before_changes_nothing(tmp_path: Path) -> None:
    """U10, A5: it is what there is."""
    async with reverted(tmp_path) as host:
        before = host.api.store.revision
        answer = await host.applied(GOOD)
        assert answer.json()["summary"]["unchanged"] == 1
        assert host.api.store.revision == before


async def test_what_is_no_part_of_the_template_can_be_applied_meanwhile(tmp_path: Path) -> None:
    """U10: by a manifest that no longer says what failed."""
    async with reverted(tmp_path) as host:
        assert (await host.api.patch("/deployments/web", replicas=3)).status_code == 200
        assert (await host.applied(BROKEN)).json()["code"] == "template_reverted"
        assert (await host.applied(GOOD)).status_code == 200
        assert host.api.store.deployment("web").spec.replicas == 3


async def test_who_means_it_tries_the_same_once_more(tmp_path: Path) -> None:
    """U7, U10: by hand; it is taken back once more, and may as well succeed this time."""
    async with reverted(tmp_path) as host:
        again = await host.api.post("/deployments/web/rollback", revision=2)
        assert (again.status_code, host.env) == (200, BROKEN)
        assert (await host.applied(BROKEN)).json()["summary"]["update"] == 0, "it is what there is"
        await host.fails()
        assert host.env == GOOD
        assert (await host.applied(BROKEN)).json()["code"] == "template_reverted"
        assert (await host.applied(BROKEN, retry=True)).json()["summary"]["update"] == 1
        await host.fails()
        assert host.env == GOOD
        assert (await host.applied(MENDED)).status_code == 200, "and the fields are whose they were all the time"


async def test_a_template_that_was_given_up_by_hand_is_not_remembered(tmp_path: Path) -> None:
    """U10: only what the controller took back itself is refused."""
    async with serving(tmp_path) as api:
        await api.installed("hello")
        host = Host(api)
        await host.applied(GOOD)
        await host.turns()
        await host.applied(BROKEN)
        await host.turns()
        await host.applied(GOOD)
        await host.turns()
        assert (await host.applied(BROKEN)).status_code == 200


async def test_what_somebody_has_rolled_back_is_a_conflict_with_the_manifest(tmp_path: Path) -> None:
    """A1, U7: also where going back took something away; who says what is there by now goes on without force."""
    async with serving(tmp_path) as api:
        await api.installed("hello")
        host, more = Host(api), {"LEVEL": "1", "MORE": "yes"}
        await host.applied(GOOD)
        await host.applied(more)
        assert (await api.http.post("/deployments/web/rollback", json={})).status_code == 200
        refused = await host.applied(more)
        assert (refused.status_code, refused.json()["code"]) == (409, "field_conflict")
        assert [one["path"] for one in refused.json()["details"]["conflicts"]] == ["config.env.MORE"]
        assert (await host.applied(GOOD)).json()["summary"]["unchanged"] == 1
        assert (await host.applied(more, force=True)).json()["summary"]["update"] == 1
