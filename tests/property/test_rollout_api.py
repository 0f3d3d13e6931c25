"""The routes of rollouts in any order, against a model: which revisions there are, and whichever is in force.

Users change, restart, pause, go back and apply; the real deployment controller takes turns in between, over guests that
the test plays. The model knows what was asked for and nothing of how it is kept.
"""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path
from typing import Any, Literal, NamedTuple

from hypothesis import event, given, settings
from hypothesis import strategies as st
from tests.builders.server import Served, serving
from tests.builders.stores import HandClock

from volant.controllers.deployment import DeploymentReconciler
from volant.model.deployment import rollout, template_of
from volant.model.meta import Key
from volant.model.rollout import digest_of
from volant.store import StoreSettings

KEY = Key("Deployment", "web")
SETTINGS = StoreSettings(synchronous="off")
BAD = ("bad",)
"""Of these no guest ever runs."""


class Made(NamedTuple):
    """What a template is, as far as it is changed here."""

    level: str
    nonce: int


class Step(NamedTuple):
    """One thing that somebody does."""

    what: Literal["patch", "apply", "scale", "keep", "pause", "resume", "restart", "rollback", "turns", "fails"]
    value: Any = None


steps = st.one_of(
    st.builds(Step, st.sampled_from(["patch", "patch", "apply"]), st.sampled_from(["1", "2", *BAD, *BAD])),
    st.builds(Step, st.just("scale"), st.integers(0, 3)),
    st.builds(Step, st.just("keep"), st.integers(0, 3)),
    st.builds(Step, st.just("rollback"), st.none() | st.integers(1, 6)),
    st.builds(Step, st.sampled_from(["pause", "resume", "restart", "turns", "turns", "fails", "fails"]), st.none()),
)


class Play:
    """The API, the controller, and the model of one deployment."""

    def __init__(self, api: Served) -> None:
        self.api = api
        self.clock = HandClock(api.deps.clock.now())
        self.reconciler = DeploymentReconciler(store=api.store, clock=self.clock)
        self.revisions = {1: Made("1", 0)}
        self.replicas, self.kept, self.is_paused = 1, 10, False
        self.digests: dict[str, Made] = {}
        self.completed: Made | None = None
        self.reverted: Made | None = None

    @property
    def number(self) -> int:
        return max(self.revisions)

    @property
    def made(self) -> Made:
        return self.revisions[self.number]

    def becomes(self, made: Made) -> bool:
        """Another template is in force; whether it is another one."""
        if made == self.made:
            return False
        self.revisions[self.number + 1] = made
        newest = sorted(self.revisions, reverse=True)
        gone = [n for n in newest[self.kept + 1 :] if self.revisions[n] != self.completed]
        for number in gone:
            del self.revisions[number]
        return True

    # What users do: the code of the refusal, if it is one, and whether it is a write.

    def expected(self, step: Step) -> tuple[str | None, bool]:
        """What comes of it, by the model, which has done it."""
        match step:
            case Step("patch", level):
                return None, self.becomes(Made(level, self.made.nonce))
            case Step("apply", level):
                wanted = Made(level, self.made.nonce)
                if wanted == self.reverted and wanted != self.made:
                    return "template_reverted", False
                return None, self.becomes(wanted)
            case Step("scale", replicas):
                was, self.replicas = self.replicas, replicas
                return None, was != replicas
            case Step("keep", kept):
                was, self.kept = self.kept, kept
                return None, was != kept
            case Step("pause" | "resume"):
                was_paused, self.is_paused = self.is_paused, step.what == "pause"
                return None, was_paused != self.is_paused
            case Step("restart" | "rollback") if self.is_paused:
                return "rollout_paused", False
            case Step("restart"):
                nonce = 1 + max(made.nonce for made in self.revisions.values())
                return None, self.becomes(Made(self.made.level, nonce))
        others = [n for n, made in self.revisions.items() if made != self.made]
        number = max(others, default=None) if step.value is None else step.value
        if number not in self.revisions:
            return "no_such_revision", False
        return None, self.becomes(self.revisions[number])

    async def asked(self, step: Step) -> Any:
        """The answer of the API."""
        match step:
            case Step("patch", level):
                return await self.api.patch("/deployments/web", config={"env": {"LEVEL": level}})
            case Step("apply", level):
                spec = {"plugin": "hello", "config": {"env": {"LEVEL": level}}}
                told = {"kind": "Deployment", "metadata": {"name": "web"}, "spec": spec}
                return await self.api.post("/apply", set="s", objects=[told], force=True)
            case Step("scale", replicas):
                return await self.api.patch("/deployments/web", replicas=replicas)
            case Step("keep", kept):
                return await self.api.patch("/deployments/web", strategy={"revisions_kept": kept})
            case Step("rollback", number):
                body = {} if number is None else {"revision": number}
                return await self.api.http.post("/deployments/web/rollback", json=body)
        return await self.api.post(f"/deployments/web/{step.what}")

    # What the controller does.

    async def turns(self, deadline: bool) -> None:
        """It comes to rest; `deadline`: the time passes in which a rollout has to come further."""
        await self._turn(6)
        if deadline:
            self.clock.forward(601.0)
            await self._turn(8)
            is_stuck = self.made.level in BAD and self.replicas and not self.is_paused
            if is_stuck and self.completed not in (None, self.made):
                event("taken back")
                self.reverted = self.made
                assert self.completed is not None
                self.becomes(self.completed)
        deployment = self.api.store.deployment("web")
        if not self.is_paused and (self.made.level not in BAD or not self.replicas):
            assert rollout(deployment) == "complete"
        # Which of them has been complete is the controller's to say: a paused one may be, if there was nothing to roll.
        was, self.completed = self.completed, self.digests.get(deployment.status.completed or "")
        self.reverted = self.reverted if was == self.completed else None

    async def _turn(self, times: int) -> None:
        for _ in range(times):
            self.clock.forward(1.0)
            await self.reconciler.reconcile(KEY)
            for vm in self.api.store.vms():
                if vm.meta.is_deleting:
                    await self.api.clears(vm)
                elif vm.status.pid is None and vm.spec.config.env.get("LEVEL") not in BAD:
                    await self.api.runs(vm.meta.name)

    async def check(self) -> None:
        """U7: there is what the model says, newest first, and the newest is in force."""
        shown = (await self.api.get("/deployments/web/revisions")).json()
        found = {one["revision"]: one["config"]["env"]["LEVEL"] for one in shown}
        assert list(found.items()) == [(n, self.revisions[n].level) for n in sorted(self.revisions, reverse=True)]
        assert [one["revision"] for one in shown if one["current"]] == [self.number]
        spec = self.api.store.deployment("web").spec
        self.digests[digest_of(template_of(spec))] = self.made
        assert (spec.config.env["LEVEL"], spec.restart_nonce) == self.made
        assert (spec.replicas, spec.strategy.paused) == (self.replicas, self.is_paused)


@settings(max_examples=10, deadline=None)
@given(walk=st.lists(steps, min_size=8, max_size=20))
def test_rollouts_are_what_users_have_asked_for_in_whatever_order(walk: list[Step]) -> None:
    """U7, U8, U10, U11, A5: one revision for each change of the template, none for what is the same or is refused."""
    with tempfile.TemporaryDirectory() as directory:
        asyncio.run(_walk(Path(directory), walk))


async def _walk(directory: Path, walk: list[Step]) -> None:
    async with serving(directory, settings=SETTINGS) as api:
        await api.installed("hello")
        api.http.event_hooks = {}  # That answers are as documented is asked elsewhere, and takes most of the time.
        body = {"config": {"env": {"LEVEL": "1"}}, "strategy": {"auto_revert": True}}
        assert (await api.post("/deployments", name="web", plugin="hello", **body)).status_code == 201
        play = Play(api)
        await play.check()
        for step in (Step("turns"), *walk, Step("resume"), Step("patch", "3"), Step("turns")):
            if step.what in ("turns", "fails"):
                await play.turns(step.what == "fails")
            else:
                await _asked(play, step)
            await play.check()


async def _asked(play: Play, step: Step) -> None:
    before = play.api.store.revision
    answer = await play.asked(step)
    refusal, is_write = play.expected(step)
    event(f"{step.what}: {refusal or ('write' if is_write else 'nothing to do')}")
    assert (answer.json().get("code") if answer.status_code >= 400 else None) == refusal, answer.text
    assert play.api.store.revision == before + is_write, f"{step}: one write for what changes anything, else none"
