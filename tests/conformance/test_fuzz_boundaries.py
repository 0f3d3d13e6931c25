"""Every parameter and field of the document at, before and beyond its limits, one at a time."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from tests.conformance.fuzzing import CASES, FLOORS, WITHOUT_STREAMS, assert_keeps_its_word, fuzzed

pytestmark = pytest.mark.gate


@pytest.mark.timeout(300)
@pytest.mark.parametrize("version", ["3.0", "3.1"])
def test_examples_and_limits_are_answered_as_described(
    tmp_path: Path, record_property: Callable[[str, object], None], version: str
) -> None:
    """In both versions, because 3.0.3 says less than 3.1 and must not say anything else."""
    with fuzzed(tmp_path) as target:
        outcome = target.run("--phases", "examples,coverage", *WITHOUT_STREAMS, version=version)
    record_property("fuzz cases", outcome.cases)
    assert_keeps_its_word(outcome, f"boundaries of {version}")


def test_there_are_enough_cases_in_all() -> None:
    assert sum(FLOORS.values()) >= CASES
