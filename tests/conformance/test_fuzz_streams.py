"""The operations that do not end: each answer is read for a moment, as far as it has come by then."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import httpx2
import pytest
from jsonschema import Draft202012Validator
from tests.conformance.fuzzing import STREAMS, assert_keeps_its_word, fuzzed

pytestmark = pytest.mark.gate

A_MOMENT = """
[[operations]]
include-path-regex = "^/api/v1/events"
request-timeout = 0.1
max-stream-events = 3
"""


def test_a_stream_begins_as_described(tmp_path: Path, record_property: Callable[[str, object], None]) -> None:
    streams = [flag for name in STREAMS for flag in ("--include-operation-id", name)]
    with fuzzed(tmp_path) as target:
        outcome = target.run("--phases", "examples,coverage", *streams, hooks="fuzz_hooks_of_streams", more=A_MOMENT)
    record_property("fuzz cases", outcome.cases)
    assert_keeps_its_word(outcome, "streams")
    assert outcome.report["operations"]["tested"] == len(STREAMS)


def test_each_line_of_a_stream_is_as_described(tmp_path: Path) -> None:
    """Everything that was committed so far, and then the objects as they are: as lines of JSON."""
    with fuzzed(tmp_path) as target:
        document = httpx2.get(f"{target.url}/api/v1/openapi?version=3.1", trust_env=False).json()
        line = {"$ref": "#/components/schemas/StreamedEvent", "components": document["components"]}
        for query, last in (("since=0", "vm.started"), ("initial=true", "bookmark")):
            for said in _lines(f"{target.url}/api/v1/events?{query}", last):
                Draft202012Validator(line).validate(said)


def _lines(url: str, last: str) -> list[dict[str, object]]:
    """The lines of the stream up to that one."""
    found = []
    accept = {"accept": "application/x-ndjson"}
    with httpx2.stream("GET", url, headers=accept, timeout=10, trust_env=False) as answer:
        for text in answer.iter_lines():
            found.append(json.loads(text))
            if found[-1]["event"] == last:
                return found
    raise AssertionError(f"the stream ended without {last}")
