"""Gate B, the other half: the same where every guest is probed, and may be ill. See `test_machine`."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from tests.builders.machine_run import run_batch

pytestmark = pytest.mark.gate


@pytest.mark.timeout(480)
@pytest.mark.parametrize("batch", range(10))
def test_whatever_is_done_to_guests_that_are_probed(batch: int, record_property: Callable[[str, object], None]) -> None:
    """L2, L3, L6, L7, P4, P7, P8, P10, R1, D1, D2, S4, E3, W1, W3, W4, W6: with health checks."""
    record_property("machine examples", run_batch(batch, with_probes=True))
