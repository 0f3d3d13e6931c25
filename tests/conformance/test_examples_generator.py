"""The example that makes a client from the OpenAPI document, run as printed."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from tests.builders.toolchains import require
from tests.conformance.commands import paragraphs, words
from tests.conformance.examples import GENERATOR, of_kind, run_inside
from tests.conformance.inside import Ran
from tests.conformance.reference import Example, reference
from tests.conformance.shapes import differences

REFERENCE = reference()
EXAMPLES = of_kind("generator")


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where they run, and what they leave."""
    return tmp_path_factory.mktemp("generator")


@pytest.fixture(scope="module")
def ran(work: Path) -> dict[tuple[int, int], Ran]:
    """All of them, run."""
    require("java")
    require(GENERATOR)
    return run_inside("generator", work)


def after(code: str, option: str) -> str:
    """The word after an option."""
    all_words = words(code)
    return all_words[all_words.index(option) + 1]


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.title)
def test_the_document_is_downloaded_and_a_client_made_of_it(
    ran: dict[tuple[int, int], Ran], work: Path, example: Example
) -> None:
    parts = paragraphs(example.code)
    runs = [ran[example.line, part] for part in range(len(parts))]
    assert [one.exit for one in runs] == [0] * len(runs), [one.err for one in runs]
    generate = next(code for code in parts if GENERATOR in words(code))
    document = json.loads((work / "run" / after(generate, "-i")).read_text())
    assert differences(REFERENCE.operation("GET /api/v1/openapi").answer, document) == []
    made = work / "run" / after(generate, "-o")
    told = re.findall(r"\*\*([A-Z]+)\*\* (/\S+)", (made / "README.md").read_text())
    # A parameter of a path may be called otherwise.
    known = {(method, re.sub(r"\{\w+\}", "{}", path)) for method, path in told}
    assert {(op.method, re.sub(r"\{\w+\}", "{}", op.path)) for op in REFERENCE.operations} - known == set()
