"""Who serves on once its deployment takes it away, and for how long."""

from __future__ import annotations

import pytest
from tests.builders.objects import NOW, a_deployment, uid_of

from volant.controllers.deployment.plan import DeleteChildren, next_step
from volant.model.deployment import Deployment, child_name
from volant.model.rollout import Strategy
from volant.store import Child

DRAINED = Strategy(max_surge=0, max_unavailable=3, drain_s=7.0)


def a_child(ordinal: int, *, ready: bool, template: str = "old") -> Child:
    name = child_name("web", ordinal)
    return Child(name, uid_of(name), ordinal, True, ready, False, template, NOW if ready else None)


def drained(deployment: Deployment, *children: Child) -> dict[str, float]:
    """Name -> seconds of those that are taken away."""
    step = next_step(deployment, "usable", children, now=NOW + 60)
    assert isinstance(step, DeleteChildren)
    return {victim.name: victim.drain_s for victim in step.victims}


@pytest.mark.parametrize("replicas", [1, 3])
def test_who_is_an_endpoint_serves_on_and_nobody_else(replicas: int) -> None:
    """U12: whether it is replaced or one too many."""
    deployment = a_deployment("web", replicas=replicas, strategy=DRAINED)
    found = drained(deployment, a_child(1, ready=True), a_child(2, ready=True), a_child(3, ready=False))
    assert found["web-3"] == 0.0
    assert {seconds for name, seconds in found.items() if name != "web-3"} == {7.0}


def test_nobody_serves_on_for_a_deployment_that_is_deleted() -> None:
    """U12: whoever deletes it wants all of it gone."""
    deployment = a_deployment("web", replicas=1, deleting=True, strategy=DRAINED)
    assert drained(deployment, a_child(1, ready=True)) == {"web-1": 0.0}


def test_who_is_ready_and_not_for_long_enough_serves_on_as_well() -> None:
    """U12: it is no replica that counts yet, and an endpoint all the same."""
    strategy = Strategy(max_surge=0, max_unavailable=1, drain_s=7.0, min_ready_s=600.0, progress_deadline_s=900.0)
    deployment = a_deployment("web", replicas=1, strategy=strategy)
    assert drained(deployment, a_child(1, ready=True)) == {"web-1": 7.0}
