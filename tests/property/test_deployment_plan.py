"""A deployment in a world of a few names, with everything happening in any order.

The world holds rows; the controller looks, submits a transaction and may die before or after it is committed, or submit
another while the first is still under way. Users scale, delete and disable; guests boot and crash; children are deleted
by hand, and other people's VMs take names. Whatever the order, no step may break an invariant, and once everybody else
is quiet the world comes to rest where the spec says, and stays there.
"""

from __future__ import annotations

from collections.abc import Callable

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from msgspec.structs import replace
from tests.builders.objects import NOW, a_deployment, uid_of

from volant.controllers.deployment.plan import (
    CreateChildren,
    DeleteChildren,
    Finalize,
    counted,
    intent,
    next_step,
    ordinal_of,
)
from volant.controllers.deployment.report import report
from volant.controllers.deployment.rolling import PluginUse
from volant.model.deployment import Deployment, child_name
from volant.store import Child

NAMES = [child_name("web", ordinal) for ordinal in range(1, 9)]
REPLICAS = st.integers(0, 6)
LIMITS = st.sampled_from([1, 2, 4, 500])
USES = st.sampled_from(["usable", "usable", "disabled", "missing"])


class World:
    """The rows: one deployment, its children, and names that are somebody else's."""

    def __init__(self) -> None:
        self.deployment: Deployment | None = a_deployment("web", replicas=2)
        self.children: dict[str, Child] = {}
        self.foreign: set[str] = set()
        self.use: PluginUse = "usable"
        self.created = 0

    def transaction(self, limit: int) -> bool:
        """What the controller does in one transaction; whether it did anything. Checks that it was right to."""
        if self.deployment is None:
            return False
        rows, replicas = list(self.children.values()), self.deployment.spec.replicas
        is_taken = (self.foreign | set(self.children)).__contains__
        step = next_step(self.deployment, self.use, rows, limit=limit, is_taken=is_taken)
        match step:
            case CreateChildren(ordinals):
                assert ordinals and not self.deployment.meta.is_deleting and self.use == "usable"
                for ordinal in ordinals:
                    self._create(child_name("web", ordinal))
                assert self.live <= replicas, "R1: more than asked for"
            case DeleteChildren(victims):
                assert victims
                for victim in victims:
                    assert not self.children[victim.name].is_deleting, "R4: deleted twice"
                    self.mark(victim.name)
                assert self.deployment.meta.is_deleting or self.live >= replicas, "R6: more than the surplus"
            case Finalize():
                assert self.deployment.meta.is_deleting and not self.children, "D6: before its last child"
                self.deployment = None
        return step is not None

    def report(self) -> bool:
        """What the controller reports; whether there was anything to say."""
        if self.deployment is None:
            return False
        due = report(self.deployment, self.use, counted(list(self.children.values())), None, NOW)
        if due is not None:
            self.deployment = replace(self.deployment, status=due.status)
        return due is not None

    def mark(self, name: str) -> None:
        self.children[name] = self.children[name]._replace(is_deleting=True, is_running=False, is_ready=False)

    @property
    def live(self) -> int:
        return sum(not child.is_deleting for child in self.children.values())

    def _create(self, name: str) -> None:
        assert name not in self.children, "R1: created twice"
        assert name not in self.foreign, "D7: taken from somebody else"
        self.created += 1
        self.children[name] = Child(name, uid_of(f"{name}/{self.created}"), self.created, False, False, False)


class Interleavings(RuleBasedStateMachine):
    """Anything in any order, then quiet."""

    def __init__(self) -> None:
        super().__init__()
        self.world = World()
        self.under_way: list[Callable[[], bool]] = []

    @rule(limit=LIMITS)
    def the_controller_submits(self, limit: int) -> None:
        world = self.world
        if world.deployment and intent(world.deployment, world.use, counted(list(world.children.values()))):
            self.under_way.append(lambda: world.transaction(limit))

    @precondition(lambda self: self.under_way)
    @rule()
    def the_store_commits(self) -> None:
        self.under_way.pop(0)()

    @rule()
    def the_daemon_dies_before_the_commit(self) -> None:
        self.under_way.clear()

    @rule()
    def the_controller_reports(self) -> None:
        self.world.report()
        assert not self.world.report(), "L7: the same is reported twice"

    @precondition(lambda self: self.world.deployment)
    @rule(replicas=REPLICAS)
    def a_user_scales(self, replicas: int) -> None:
        old = self.world.deployment
        assert old is not None
        meta = replace(old.meta, generation=old.meta.generation + (replicas != old.spec.replicas))
        self.world.deployment = replace(old, meta=meta, spec=replace(old.spec, replicas=replicas))

    @precondition(lambda self: self.world.deployment)
    @rule(yes=st.integers(0, 5))
    def a_user_deletes_the_deployment(self, yes: int) -> None:
        old = self.world.deployment
        assert old is not None
        if yes == 0:
            self.world.deployment = replace(old, meta=replace(old.meta, deleting_since=NOW))

    @rule(use=USES)
    def a_user_changes_the_plugin(self, use: PluginUse) -> None:
        self.world.use = use

    @rule(name=st.sampled_from(NAMES))
    def a_user_deletes_a_child(self, name: str) -> None:
        if name in self.world.children:
            self.world.mark(name)

    @rule(name=st.sampled_from(NAMES))
    def somebody_takes_a_name_or_gives_it_back(self, name: str) -> None:
        if name not in self.world.children:
            self.world.foreign ^= {name}

    @rule(name=st.sampled_from(NAMES), runs=st.booleans(), ready=st.booleans())
    def a_guest_comes_and_goes(self, name: str, runs: bool, ready: bool) -> None:
        child = self.world.children.get(name)
        if child is not None and not child.is_deleting:
            self.world.children[name] = child._replace(is_running=runs, is_ready=runs and ready)

    @rule(name=st.sampled_from(NAMES))
    def a_row_goes(self, name: str) -> None:
        if name in self.world.children and self.world.children[name].is_deleting:
            del self.world.children[name]

    @invariant()
    def nobody_is_adopted(self) -> None:
        assert not self.world.foreign & set(self.world.children)
        assert all(ordinal_of("web", name) for name in self.world.children)

    def teardown(self) -> None:
        """Everybody else is quiet: rest comes within a bounded number of rounds, and is where the spec says."""
        for commit in self.under_way:
            commit()
        for _ in range(30):
            moved = self.world.transaction(2) or self.world.report()
            gone = [name for name, child in self.world.children.items() if child.is_deleting]
            for name in gone:
                del self.world.children[name]
            if not moved and not gone:
                break
        else:
            raise AssertionError("it does not come to rest")
        self._is_at_rest()

    def _is_at_rest(self) -> None:
        world = self.world
        if world.deployment is None:
            assert not world.children, "D10: a child was left behind"
            return
        replicas, status = world.deployment.spec.replicas, world.deployment.status
        assert not world.deployment.meta.is_deleting
        assert world.live == replicas if world.use == "usable" else world.live <= replicas
        assert (status.replicas, status.observed_generation) == (world.live, world.deployment.meta.generation)


TestInterleavings = Interleavings.TestCase
TestInterleavings.settings = settings(max_examples=200, stateful_step_count=40, deadline=None)


CHILDREN = st.lists(
    st.tuples(st.integers(1, 30), st.sampled_from(["ready", "unready", "down", "deleting"])),
    max_size=12,
    unique_by=lambda child: child[0],
).map(
    lambda said: [
        Child(child_name("web", n), uid_of(f"web-{n}"), n, s in {"ready", "unready"}, s == "ready", s == "deleting")
        for n, s in said
    ]
)


@given(CHILDREN, REPLICAS, st.booleans(), USES, LIMITS)
@settings(max_examples=300, deadline=None)
def test_the_plan_has_an_answer_to_everything(
    children: list[Child], replicas: int, deleting: bool, use: PluginUse, limit: int
) -> None:
    """Total, and at one with the cheap look: the intent of the tally is the kind of the step."""
    deployment = a_deployment("web", replicas=replicas, deleting=deleting)
    step = next_step(deployment, use, children, limit=limit)
    kinds = {
        None: type(None),
        "create_children": CreateChildren,
        "delete_children": DeleteChildren,
        "finalize": Finalize,
    }
    assert type(step) is kinds[intent(deployment, use, counted(children))]


@given(CHILDREN.flatmap(lambda children: st.tuples(st.just(children), st.permutations(children))), REPLICAS)
@settings(max_examples=300, deadline=None)
def test_victims_depend_on_the_children_and_not_on_their_order(
    listings: tuple[list[Child], list[Child]], replicas: int
) -> None:
    """R6: deterministic, and nobody is taken while somebody of an earlier rule stays."""
    deployment = a_deployment("web", replicas=replicas)
    first, second = (next_step(deployment, "usable", children) for children in listings)
    assert first == second
    if isinstance(first, DeleteChildren):
        taken = [victim.name for victim in first.victims]
        rules = [victim.message for victim in first.victims]
        assert rules == sorted(rules)
        staying = [child for child in listings[0] if child.name not in taken and not child.is_deleting]
        assert len(staying) == replicas
        assert not any(not child.is_running for child in staying) or rules[-1].startswith("rule 1")


@given(CHILDREN, REPLICAS, LIMITS)
@settings(max_examples=300, deadline=None)
def test_doing_it_in_batches_or_at_once_ends_with_the_same_children(
    children: list[Child], replicas: int, limit: int
) -> None:
    """R3, R6: where a batch ends, and so where a crash falls between two of them, changes nothing."""

    def end(limit: int) -> dict[str, bool]:
        world = World()
        world.deployment = a_deployment("web", replicas=replicas)
        world.children = {child.name: child for child in children}
        while world.transaction(limit):
            pass
        return {name: child.is_deleting for name, child in world.children.items()}

    assert end(limit) == end(500)
