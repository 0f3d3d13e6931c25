"""The Python example, run as printed against a world with VMs in it."""

from __future__ import annotations

import pytest
from tests.conformance.examples import assert_lists_and_creates, kind_of, of_kind, run_inside
from tests.conformance.reference import Example, reference

KINDS = {"curl", "generator", "python", "go", "javascript"}
"""Each has a test file that runs all of it."""


@pytest.mark.parametrize("example", of_kind("python"), ids=lambda example: example.title)
def test_the_python_example_lists_and_creates(example: Example, tmp_path_factory: pytest.TempPathFactory) -> None:
    ran = run_inside("python", tmp_path_factory.mktemp("python"))
    assert_lists_and_creates(ran[example.line, 0])


def test_every_example_is_run_by_one_of_the_files() -> None:
    assert {kind_of(example) for example in reference().examples} == KINDS
