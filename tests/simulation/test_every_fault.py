"""The daemon ends, or a port fails, at every effect of every story: the end is the same, and then there is quiet."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from tests.builders.campaign import ENDS, campaign
from tests.builders.roles import ROLES
from tests.builders.set_stories import SCENARIOS, SETS
from tests.builders.spoils import HOWS

CROWDED = {*ROLES, "deploy_three", "scale_up", "scale_down"}
"""Stories that a crowd tells as well, if only of two replicas."""
ONLY_ENDS = {*CROWDED, *SETS}


# On a machine that is busy otherwise; the longest takes a quarter of a minute on one that is not.
@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", SCENARIOS)
def test_whatever_is_spoiled_the_end_is_the_same(name: str, record_property: Callable[[str, object], None]) -> None:
    """A crash before and after each effect, each error, each lost answer, each repeat.

    L7, V12, D2, D3, P2, P7, P10; of rollouts U1, U9, U10.

    Where a crowd tells the same story it spoils it in all the ways that concern one object: here only the daemon ends.
    So it does where another story has the same effects (`rolls`).
    """
    plans, void, failures = campaign(SCENARIOS[name], ENDS if name in ONLY_ENDS else HOWS)
    record_property("fault plans", plans)
    record_property("void plans", void)
    assert not failures, f"{len(failures)} of {plans} plans:\n\n" + "\n\n".join(failures[:5])
    assert plans > 0
    assert void == 0
