"""Whom a scale-down takes when some are on their way out already."""

from __future__ import annotations

import pytest
from tests.builders.objects import a_deployment, uid_of

from volant.controllers.deployment.plan import DeleteChildren, next_step
from volant.store import Child


def a_child(ordinal: int, *, deleting: bool = False) -> Child:
    """Ready, or on its way out and nothing else."""
    name = f"web-{ordinal}"
    return Child(name, uid_of(name), ordinal, not deleting, not deleting, deleting)


@pytest.mark.parametrize("going", [1, 2, 4])
@pytest.mark.parametrize("replicas", [0, 1, 2])
def test_only_who_is_to_stay_can_be_taken(going: int, replicas: int) -> None:
    """R4: one that is on its way out is neither taken again nor taken for one of those that there are too many of."""
    children = [a_child(n, deleting=n == going) for n in (1, 2, 3, 4)]
    step = next_step(a_deployment("web", replicas=replicas), "usable", children)
    assert isinstance(step, DeleteChildren)
    taken = {victim.name for victim in step.victims}
    assert len(taken) == len(step.victims) == 3 - replicas
    assert f"web-{going}" not in taken
