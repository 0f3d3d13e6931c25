"""Rollouts over a model of children: whatever guests, users and crashes do in between, the bounds hold, and it ends."""

from __future__ import annotations

from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from msgspec.structs import replace
from tests.builders.objects import NOW, a_deployment, uid_of

from volant.controllers.deployment.plan import CreateChildren, DeleteChildren, Revert, counted, next_step, ready_by
from volant.controllers.deployment.report import report
from volant.controllers.deployment.rolling import PluginUse, available, is_complete
from volant.model.deployment import Deployment, DeploymentSpec, child_name, template_of
from volant.model.rollout import Strategy, bounds_of, digest_of
from volant.store import Child

REPLICAS = st.integers(0, 7)
SHARES = st.one_of(st.integers(0, 3), st.sampled_from(["0%", "25%", "50%", "100%"]))
NAMES = [child_name("web", n) for n in range(1, 16)]
STRATEGIES = st.builds(
    Strategy,
    max_surge=SHARES,
    max_unavailable=SHARES,
    min_ready_s=st.sampled_from([0.0, 0.0, 5.0]),
    progress_deadline_s=st.just(60.0),
    auto_revert=st.booleans(),
)
USES: st.SearchStrategy[PluginUse] = st.sampled_from(["usable", "usable", "usable", "disabled"])
LIMITS = st.integers(1, 4)


class Model:
    """One deployment, its children, and the controller's transactions upon them."""

    def __init__(self) -> None:
        self.deployment: Deployment = a_deployment("web", replicas=3)
        self.children: dict[str, Child] = {}
        self.now = NOW
        self.use: PluginUse = "usable"
        self.created = 0
        self.templates = {self.digest: template_of(self.spec)}
        self.broken: set[str] = set()
        self.reverts: list[tuple[int, str]] = []

    @property
    def spec(self) -> DeploymentSpec:
        return self.deployment.spec

    @property
    def digest(self) -> str:
        return digest_of(template_of(self.spec))

    @property
    def live(self) -> int:
        return sum(not child.is_deleting for child in self.children.values())

    @property
    def tally(self) -> Any:
        return counted(list(self.children.values()), self.digest, ready_by(self.deployment, self.now))

    def change(self, **spec: Any) -> None:
        """A user writes the spec."""
        new = replace(self.spec, **spec)
        if new != self.spec:
            meta = replace(self.deployment.meta, generation=self.deployment.meta.generation + 1)
            self.deployment = replace(self.deployment, meta=meta, spec=new)
            self.templates[self.digest] = template_of(new)

    def transaction(self, limit: int) -> bool:
        """What the controller does in one transaction; whether anything. U1: it keeps the bounds."""
        before, live = available(self.tally), self.live
        children = list(self.children.values())
        step = next_step(self.deployment, self.use, children, now=self.now, limit=limit)
        bounds = bounds_of(self.spec.strategy, self.spec.replicas)
        match step:
            case CreateChildren(ordinals, template):
                for ordinal in ordinals:
                    self._create(child_name("web", ordinal), template or self.digest)
                assert self.live <= bounds.most, "U1: more than replicas and surge"
            case DeleteChildren(victims):
                assert victims
                for victim in victims:
                    self.mark(victim.name)
                after = available(self.tally)
                assert after >= min(before, bounds.least), "U1: it takes away what is needed"
                if any(victim.reason == "Replaced" for victim in victims):
                    assert not self.spec.strategy.paused, "U8: it rolls while paused"
            case Revert(template):
                self.reverts.append((self.deployment.meta.generation, self.digest))
                assert template != self.digest and template in self.templates
                old = self.templates[template]
                self.change(restart_nonce=old.nonce)
        assert self.live <= max(live, bounds.most)
        return step is not None

    def report(self) -> bool:
        """What the controller reports; whether there was anything to say."""
        due = report(self.deployment, self.use, self.tally, None, self.now)
        if due is not None:
            self.deployment = replace(self.deployment, status=due.status)
        return due is not None

    def mark(self, name: str) -> None:
        self.children[name] = self.children[name]._replace(
            is_deleting=True, is_running=False, is_ready=False, ready_since=None
        )

    def guest(self, name: str, *, ready: bool, runs: bool = True) -> None:
        child = self.children[name]
        since = (child.ready_since or self.now) if child.is_ready else self.now
        self.children[name] = child._replace(is_running=runs, is_ready=ready, ready_since=since if ready else None)

    def _create(self, name: str, template: str) -> None:
        assert name not in self.children
        self.created += 1
        uid = uid_of(f"{name}/{self.created}")
        self.children[name] = Child(name, uid, self.created, False, False, False, template)


class Rollouts(RuleBasedStateMachine):
    """Anything in any order, then everybody behaves."""

    def __init__(self) -> None:
        super().__init__()
        self.model = Model()

    @rule(limit=LIMITS)
    def the_controller_acts(self, limit: int) -> None:
        self.model.transaction(limit)

    @rule()
    def the_controller_reports(self) -> None:
        self.model.report()
        assert not self.model.report(), "L7: the same is reported twice"

    @rule(replicas=REPLICAS)
    def a_user_scales(self, replicas: int) -> None:
        self.model.change(replicas=replicas)

    @rule(nonce=st.integers(0, 2))
    def a_user_changes_the_template(self, nonce: int) -> None:
        self.model.change(restart_nonce=nonce)

    @rule(strategy=STRATEGIES)
    def a_user_changes_the_strategy(self, strategy: Strategy) -> None:
        self.model.change(strategy=strategy)

    @rule()
    def a_user_pauses_or_resumes(self) -> None:
        strategy = self.model.spec.strategy
        self.model.change(strategy=replace(strategy, paused=not strategy.paused))

    @rule(use=USES)
    def the_plugin_changes(self, use: PluginUse) -> None:
        self.model.use = use

    @precondition(lambda self: self.model.children)
    @rule(data=st.data(), ready=st.booleans(), runs=st.booleans())
    def a_guest_changes(self, data: st.DataObject, ready: bool, runs: bool) -> None:
        name = data.draw(st.sampled_from(sorted(self.model.children)))
        if not self.model.children[name].is_deleting:
            self.model.guest(name, ready=ready and runs, runs=runs)

    @rule()
    def everything_is_well(self) -> None:
        for name, child in self.model.children.items():
            if not child.is_deleting:
                self.model.guest(name, ready=True)

    @rule(seconds=st.sampled_from([1.0, 6.0, 61.0]))
    def time_passes(self, seconds: float) -> None:
        self.model.now += seconds

    @rule()
    def rows_go(self) -> None:
        self.model.children = {name: child for name, child in self.model.children.items() if not child.is_deleting}

    @invariant()
    def nothing_is_reverted_twice(self) -> None:
        assert len(set(self.model.reverts)) == len(self.model.reverts), "U10"

    def teardown(self) -> None:
        """U6: it ends complete, within a bounded number of rounds, and then rests."""
        model = self.model
        model.use = "usable"
        model.change(strategy=replace(model.spec.strategy, paused=False))
        for _ in range(120):
            if not (model.transaction(3) or model.report()) and is_complete(model.spec, model.tally):
                break
            self.rows_go()
            self.everything_is_well()
            model.now += 6.0
        else:
            raise AssertionError("it does not come to rest")
        assert {child.template for child in model.children.values()} <= {model.digest}
        assert model.live == model.spec.replicas
        assert model.deployment.status.completed == model.digest


class TestRollouts(Rollouts.TestCase):  # type: ignore[valid-type,misc]
    """U1, U6, U8, U10, L7: whatever happens, and however many are made or marked at a time."""

    settings = settings(max_examples=300, stateful_step_count=50, deadline=None)
