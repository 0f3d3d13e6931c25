"""What a deployment needs next, asked with children in hand."""

from __future__ import annotations

import random
from itertools import islice

import pytest
from tests.builders.objects import a_deployment, uid_of

from volant.controllers.deployment.plan import (
    BURST,
    CreateChildren,
    DeleteChildren,
    Finalize,
    Victim,
    counted,
    intent,
    next_step,
    ordinal_of,
    slow_start,
)
from volant.store import Child


def a_child(name: str, state: str = "ready") -> Child:
    """`state`: ready, unready (runs), down or deleting."""
    return Child(name, uid_of(name), 1, state in {"ready", "unready"}, state == "ready", state == "deleting")


def children(*states: str) -> list[Child]:
    """`web-1`, `web-2`, ... in these states."""
    return [a_child(f"web-{ordinal}", state) for ordinal, state in enumerate(states, start=1)]


def created(*args: object, **kwargs: object) -> tuple[int, ...]:
    step = next_step(*args, **kwargs)  # type: ignore[arg-type]
    assert isinstance(step, CreateChildren), step
    return step.ordinals


def victims(*args: object, **kwargs: object) -> tuple[Victim, ...]:
    step = next_step(*args, **kwargs)  # type: ignore[arg-type]
    assert isinstance(step, DeleteChildren), step
    return step.victims


def test_ordinals_start_at_one() -> None:
    """R1: names are deterministic."""
    assert created(a_deployment(replicas=3), "usable", []) == (1, 2, 3)


def test_the_lowest_free_ordinals_are_taken_first() -> None:
    assert created(a_deployment(replicas=4), "usable", [a_child("web-2"), a_child("web-4")]) == (1, 3)


def test_a_child_on_its_way_out_keeps_its_ordinal_and_counts_for_nothing() -> None:
    """R1, R4: its replacement gets another name, so a create never meets a row that is still there."""
    assert created(a_deployment(replicas=2), "usable", children("deleting", "ready")) == (3,)


def test_a_name_that_is_somebody_elses_is_passed_over() -> None:
    """D5, D7: never adopted, whoever owns it."""
    assert created(a_deployment(replicas=3), "usable", [], is_taken={"web-1", "web-3"}.__contains__) == (2, 4, 5)


def test_a_batch_is_no_larger_than_its_limit() -> None:
    """R3"""
    assert created(a_deployment(replicas=10), "usable", children("ready"), limit=4) == (2, 3, 4, 5)


def test_a_batch_is_no_larger_than_what_is_missing() -> None:
    """R1"""
    assert created(a_deployment(replicas=2), "usable", children("ready"), limit=4) == (2,)


@pytest.mark.parametrize("use", ["missing", "disabled"])
def test_nothing_is_created_from_a_plugin_that_cannot_be_used(use: str) -> None:
    assert next_step(a_deployment(replicas=3), use, children("ready")) is None  # type: ignore[arg-type]


@pytest.mark.parametrize("use", ["missing", "disabled"])
def test_children_of_a_plugin_that_cannot_be_used_may_still_go(use: str) -> None:
    assert [v.name for v in victims(a_deployment(replicas=0), use, children("ready"))] == ["web-1"]


def test_as_many_as_asked_for_is_rest() -> None:
    """L7"""
    assert next_step(a_deployment(replicas=3), "usable", children("ready", "down", "unready")) is None


def test_who_does_not_run_goes_first_then_who_is_not_ready_then_the_highest_ordinal() -> None:
    """R6: the rule of each is part of its event."""
    step = victims(a_deployment(replicas=1), "usable", children("ready", "unready", "ready", "down", "ready"))
    assert [(v.name, v.reason, v.message) for v in step] == [
        ("web-4", "ScaledDown", "rule 1: not running"),
        ("web-2", "ScaledDown", "rule 2: not ready"),
        ("web-5", "ScaledDown", "rule 3: highest ordinal"),
        ("web-3", "ScaledDown", "rule 3: highest ordinal"),
    ]


def test_of_two_that_do_not_run_the_higher_ordinal_goes_first() -> None:
    """R6: by number, not by text."""
    pair = [a_child("web-9", "down"), a_child("web-10", "down")]
    assert [v.name for v in victims(a_deployment(replicas=1), "usable", pair)] == ["web-10"]


def test_whom_it_takes_does_not_depend_on_the_order_they_are_listed_in() -> None:
    """R6"""
    listed = children(*["ready", "down", "unready", "ready", "deleting"] * 8)
    expected = victims(a_deployment(replicas=7), "usable", listed)
    for seed in range(20):
        shuffled = random.Random(seed).sample(listed, len(listed))
        assert victims(a_deployment(replicas=7), "usable", shuffled) == expected


def test_a_child_on_its_way_out_is_no_victim_again() -> None:
    """R4: a deletion counts once."""
    assert next_step(a_deployment(replicas=1), "usable", children("deleting", "ready", "deleting")) is None


def test_a_deployment_on_its_way_out_takes_every_child_along() -> None:
    """D6: foreground."""
    step = victims(a_deployment(replicas=3, deleting=True), "missing", children("ready", "deleting", "down"))
    assert [(v.name, v.reason) for v in step] == [("web-1", "DeploymentDeleting"), ("web-3", "DeploymentDeleting")]


def test_a_deployment_on_its_way_out_waits_for_its_last_child() -> None:
    """D6"""
    assert next_step(a_deployment(replicas=1, deleting=True), "usable", children("deleting")) is None


def test_a_deployment_on_its_way_out_creates_nothing() -> None:
    """D10"""
    assert isinstance(next_step(a_deployment(replicas=3, deleting=True), "usable", []), Finalize)


def test_who_has_finalized_waits_for_the_others() -> None:
    """D2: another finalizer still holds the row."""
    left = a_deployment(deleting=True, meta={"finalizers": ("somebody/else",)})
    assert next_step(left, "usable", []) is None


def test_the_cheap_look_and_the_close_look_agree() -> None:
    """R1: what a tally promises is what the children give."""
    for deleting in (False, True):
        for replicas in range(4):
            for states in (["ready"] * 2, ["deleting"] * 2, ["down", "deleting"], []):
                deployment, listed = a_deployment(replicas=replicas, deleting=deleting), children(*states)
                said = intent(deployment, "usable", counted(listed))
                assert (said is None) == (next_step(deployment, "usable", listed) is None)


def test_creates_begin_slowly_and_end_at_the_burst() -> None:
    """R3"""
    assert list(islice(slow_start(), 12)) == [1, 2, 4, 8, 16, 32, 64, 128, 256, BURST, BURST, BURST]
    assert sum(slow_start()) > 10_000


@pytest.mark.parametrize(
    ("name", "ordinal"),
    [("web-3", 3), ("web-10", 10), ("web-03", None), ("web-", None), ("web", None), ("web-1-1", None), ("api-1", None)],
)
def test_an_ordinal_is_read_from_a_childs_name_only(name: str, ordinal: int | None) -> None:
    assert ordinal_of("web", name) == ordinal
