"""Random requests, valid and not, to every operation: the 3.1 document, which says more than the other."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from tests.conformance.fuzzing import WITHOUT_STREAMS, assert_keeps_its_word, fuzzed

pytestmark = pytest.mark.gate

EXAMPLES = 20


@pytest.mark.timeout(300)
def test_random_requests_are_answered_as_described(
    tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    with fuzzed(tmp_path) as target:
        outcome = target.run("--phases", "fuzzing", "--max-examples", str(EXAMPLES), *WITHOUT_STREAMS, version="3.1")
    record_property("fuzz cases", outcome.cases)
    assert_keeps_its_word(outcome, "values")
