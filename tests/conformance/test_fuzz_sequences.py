"""Sequences of requests along the links of the document: what was made is there, what was deleted is not.

A sequence is one only while the same requests are answered alike; where they are not, because the world remembers what
was asked before, schemathesis ends early. So it is sent again, with another seed, until there is enough.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from tests.conformance.fuzzing import FLOORS, WITHOUT_STREAMS, assert_keeps_its_word, fuzzed

pytestmark = pytest.mark.gate

SCENARIOS = 40
SEEDS = range(1, 9)


@pytest.mark.timeout(300)
def test_sequences_of_requests_are_answered_as_described(
    tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    flags = ["--phases", "stateful", "--max-examples", str(SCENARIOS), *WITHOUT_STREAMS]
    cases = 0
    with fuzzed(tmp_path) as target:
        for seed in SEEDS:
            outcome = target.run(*flags, "--seed", str(seed), version="3.1", hooks="fuzz_hooks_of_sequences")
            cases += outcome.cases
            assert_keeps_its_word(outcome, "a part of the sequences")
            if cases >= FLOORS["sequences"]:
                break
    record_property("fuzz cases", cases)
    assert cases >= FLOORS["sequences"]
