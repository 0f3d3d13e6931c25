"""The daemon ends, or a port fails, at every effect of every story: the end is the same, and then there is quiet."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from tests.builders.campaign import ENDS, campaign
from tests.builders.roles import ROLES
from tests.builders.spoils import HOWS
from tests.builders.troubles import SCENARIOS

CROWDED = {*ROLES, "deploy_three", "scale_up", "scale_down"}
"""Stories that a crowd tells as well, if only of two replicas."""


# On a machine that is busy otherwise; the longest takes a quarter of a minute on one that is not.
@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", SCENARIOS)
def test_whatever_is_spoiled_the_end_is_the_same(name: str, record_property: Callable[[str, object], None]) -> None:
    """L7, V12, D2, D3, P2, P7, P10: a crash before and after each effect, each error, each lost answer, each repeat.

    Where a crowd tells the same story it spoils it in all the ways that concern one object: here only the daemon ends.
    """
    plans, void, failures = campaign(SCENARIOS[name], ENDS if name in CROWDED else HOWS)
    record_property("fault plans", plans)
    record_property("void plans", void)
    assert not failures, f"{len(failures)} of {plans} plans:\n\n" + "\n\n".join(failures[:5])
    assert plans > 0
    assert void == 0
