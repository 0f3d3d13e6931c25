"""Gate C, the rest: rounds over guests that boot Linux and serve a page, and more over light ones. See tests/soak.

A file of its own so that both halves can run side by side.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from tests.soak.runs import Guests, run

pytestmark = pytest.mark.gate


@pytest.mark.e2e
@pytest.mark.timeout(600)
@pytest.mark.parametrize(("guests", "rounds"), [("hello", 10), ("light", 30)])
def test_guests_live_through_kill_9(
    guests: Guests, rounds: int, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    """P10, P13, L6: after each life of the daemon every guest is what it was; those with a page serve it."""
    run(guests, tmp_path, rounds, record_property)
