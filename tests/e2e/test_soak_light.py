"""Gate C, most of it: the daemon is killed again and again over guests that start in milliseconds. See tests/soak."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from tests.soak.runs import run

pytestmark = pytest.mark.gate


@pytest.mark.e2e
@pytest.mark.timeout(600)
def test_kill_9_loses_nothing(tmp_path: Path, record_property: Callable[[str, object], None]) -> None:
    """P9, P10, P11, P13, S2, W1, E3, V1, D10: nothing lost, doubled, orphaned or restarted without being asked."""
    run("light", tmp_path, 60, record_property)
