"""The Go example, run as printed where there is a Go."""

from __future__ import annotations

import pytest
from tests.builders.toolchains import require
from tests.conformance.examples import assert_lists_and_creates, of_kind, run_inside
from tests.conformance.reference import Example


@pytest.mark.parametrize("example", of_kind("go"), ids=lambda example: example.title)
def test_the_go_example_lists_and_creates(example: Example, tmp_path_factory: pytest.TempPathFactory) -> None:
    require("go")
    ran = run_inside("go", tmp_path_factory.mktemp("go"))
    assert_lists_and_creates(ran[example.line, 0])
