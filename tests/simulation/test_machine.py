"""Gate B: users, hosts and operators do what they like, drawn by hypothesis; nobody is wronged, and all comes right.

`make gate-b EXAMPLES=100000` plays more of the same.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
from tests.builders.machine_run import run_batch

pytestmark = pytest.mark.gate


# The time is for shrinking: a batch that does not fail takes seconds.
@pytest.mark.timeout(480)
@pytest.mark.parametrize("batch", range(10))
def test_whatever_is_done_to_a_world_it_comes_right(batch: int, record_property: Callable[[str, object], None]) -> None:
    """L2, L3, L6, L7, V2, V6, V12, P1, P2, P7, P8, P10, P11, R1, D1, D2, D3, D5, D9, D10, S4, E3, W1, W3, W4, W6."""
    record_property("machine examples", run_batch(batch))
