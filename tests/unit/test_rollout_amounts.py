"""How many children a rollout makes and takes, and who they are."""

from __future__ import annotations

from typing import Any

import pytest
from tests.builders.objects import NOW, a_deployment, uid_of

from volant.controllers.deployment.plan import Count, CreateChildren, DeleteChildren, Revert, next_step
from volant.controllers.deployment.rolling import STALLED, Amounts, amounts, is_complete
from volant.model.conditions import Condition
from volant.model.deployment import PROGRESSING, Deployment, DeploymentSpec, DeploymentStatus, template_of
from volant.model.rollout import Bounds, Strategy, bounds_of, digest_of
from volant.store import Child

OWN = digest_of(template_of(a_deployment("web").spec))
OLD = "of another template"


def a_spec(replicas: int, **strategy: Any) -> DeploymentSpec:
    return DeploymentSpec(plugin="hello", replicas=replicas, strategy=Strategy(**strategy))


def a_rollout(replicas: int, **strategy: Any) -> Deployment:
    return a_deployment("web", replicas=replicas, strategy=Strategy(**strategy))


def a_child(n: int, template: str, state: str = "ready", since: float = NOW) -> Child:
    """`state`: ready, unready (runs) or down."""
    name, is_ready = f"web-{n}", state == "ready"
    return Child(name, uid_of(name), n, state != "down", is_ready, False, template, since if is_ready else None)


@pytest.mark.parametrize(
    ("surge", "unavailable", "replicas", "bounds"),
    [
        ("25%", "25%", 10, Bounds(13, 8)),
        ("25%", "25%", 1, Bounds(2, 1)),
        ("25%", "25%", 0, Bounds(0, 0)),
        (1, 0, 3, Bounds(4, 3)),
        (0, "25%", 3, Bounds(3, 2)),
        ("100%", "100%", 3, Bounds(6, 0)),
        (0, 5, 3, Bounds(3, 0)),
    ],
)
def test_shares_are_rounded_in_favour_of_staying_up(
    surge: int | str, unavailable: int | str, replicas: int, bounds: Bounds
) -> None:
    """U2: and where both come to nothing, one may be away, or nothing would ever roll."""
    assert bounds_of(Strategy(max_surge=surge, max_unavailable=unavailable), replicas) == bounds


def test_old_ones_go_only_as_far_as_new_ones_are_there() -> None:
    """U3: the worked example: ten replicas, surge three, two away; five new ones that are not available: 13 - 8 - 5."""
    spec = a_spec(10, max_surge=3, max_unavailable=2)
    assert amounts(spec, "usable", Count(13, 8, 0, old=8, old_available=8)) == Amounts()
    assert amounts(spec, "usable", Count(13, 11, 0, old=8, old_available=8)) == Amounts(retiring=3)


@pytest.mark.parametrize(("surge", "made"), [(0, 0), (1, 1), (3, 3), ("25%", 3), ("100%", 10)])
def test_new_ones_are_made_as_far_as_there_is_room(surge: int | str, made: int) -> None:
    """U1: beside the old ones, of which one may be away where there is no room at all."""
    due = amounts(a_spec(10, max_surge=surge, max_unavailable=1), "usable", Count(10, 10, 0, old=10, old_available=10))
    assert due == Amounts(missing=made, retiring=1)
    assert amounts(a_spec(10, max_surge=surge), "usable", Count(20, 10, 0, old=10, old_available=10)).missing <= 0


def test_the_useless_ones_go_first() -> None:
    """U3, U9: those that do not run, then those that are not ready."""
    children = [a_child(1, OLD), a_child(2, OLD, "down"), a_child(3, OLD, "unready"), a_child(4, OWN)]
    step = next_step(a_rollout(3, max_surge=1, max_unavailable=0), "usable", children)
    assert isinstance(step, DeleteChildren)
    assert [(v.name, v.reason, v.message) for v in step.victims] == [("web-2", "Replaced", "rule 1: not running")]


def test_as_long_as_too_few_are_available_nobody_goes_who_is_ready() -> None:
    """U1: crashes have taken more than the rollout may."""
    children = [a_child(1, OLD), a_child(2, OLD), a_child(3, OWN, "down"), a_child(4, OWN, "down")]
    assert next_step(a_rollout(3, max_surge=1, max_unavailable=0), "usable", children) is None


def test_who_is_not_ready_for_long_enough_is_not_available() -> None:
    """U4"""
    rollout = a_rollout(1, max_surge=1, max_unavailable=0, min_ready_s=30.0)
    children = [a_child(1, OLD), a_child(2, OWN, since=NOW + 100)]
    assert next_step(rollout, "usable", children, now=NOW + 129) is None
    step = next_step(rollout, "usable", children, now=NOW + 130)
    assert isinstance(step, DeleteChildren)
    assert [victim.name for victim in step.victims] == ["web-1"]


def test_a_plugin_that_cannot_be_used_stops_the_rollout() -> None:
    """U1: whoever went could not be replaced."""
    assert amounts(a_spec(4), "disabled", Count(4, 4, 0, old=4, old_available=4)) == Amounts()
    assert amounts(a_spec(4), "disabled", Count(6, 6, 0, old=6, old_available=6)) == Amounts(surplus=1)


def test_a_rollout_is_complete_when_all_are_new_and_enough_are_available() -> None:
    """U6"""
    spec = a_spec(4)
    assert is_complete(spec, Count(4, 3, 0))
    assert not is_complete(spec, Count(4, 2, 0))
    assert not is_complete(spec, Count(5, 5, 0))
    assert not is_complete(spec, Count(4, 4, 0, old=1, old_available=1))
    assert not is_complete(spec, Count(4, 4, 0, unripe=2))
    assert is_complete(spec, Count(6, 4, 2))


def test_who_is_made_while_it_is_paused_is_like_the_last_one() -> None:
    """U8"""
    paused = a_rollout(4, paused=True)
    step = next_step(paused, "usable", [a_child(1, "first"), a_child(2, "second")])
    assert step == CreateChildren((3, 4), "second")
    assert next_step(paused, "usable", []) == CreateChildren((1, 2, 3, 4), None)


def test_a_pause_keeps_what_the_rollout_has_made() -> None:
    """U8: one more than asked for is allowed, as long as there are both."""
    children = [a_child(1, OLD), a_child(2, OLD), a_child(3, OWN)]
    assert next_step(a_rollout(2, max_surge=1, paused=True), "usable", children) is None
    assert isinstance(next_step(a_rollout(2, max_surge=1), "usable", children), DeleteChildren)


@pytest.mark.parametrize(
    ("strategy", "reason", "completed", "is_due"),
    [
        ({"auto_revert": True}, STALLED, "before", True),
        ({"auto_revert": False}, STALLED, "before", False),
        ({"auto_revert": True, "paused": True}, STALLED, "before", False),
        ({"auto_revert": True}, "RollingOut", "before", False),
        ({"auto_revert": True}, STALLED, None, False),
        ({"auto_revert": True}, STALLED, OWN, False),
    ],
)
def test_it_goes_back_once_it_was_said_that_it_is_stuck(
    strategy: dict[str, Any], reason: str, completed: str | None, is_due: bool
) -> None:
    """U10: to what was complete, if that is another template."""
    said = Condition(type=PROGRESSING, status="false", reason=reason, observed_generation=1)
    status = DeploymentStatus(observed_generation=1, completed=completed, conditions=(said,))
    deployment = a_deployment("web", replicas=1, strategy=Strategy(**strategy), status=status)
    step = next_step(deployment, "usable", [a_child(1, OWN, "down")])
    assert step == (Revert("before") if is_due else None)
