"""The JavaScript examples, run as printed by node with the packages that they name."""

from __future__ import annotations

import pytest
from tests.builders.toolchains import npm_packages, require
from tests.conformance.examples import assert_lists_and_creates, of_kind, run_inside
from tests.conformance.inside import PACKAGES, Ran
from tests.conformance.reference import Example

FOLLOWING = [example for example in of_kind("javascript") if "EventSource" in example.code]
ASKING = [example for example in of_kind("javascript") if example not in FOLLOWING]


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[int, int], Ran]:
    """All of them, run."""
    require("node")
    npm_packages(*PACKAGES)
    return run_inside("javascript", tmp_path_factory.mktemp("javascript"))


@pytest.mark.parametrize("example", ASKING, ids=lambda example: example.title)
def test_a_client_lists_and_creates(ran: dict[tuple[int, int], Ran], example: Example) -> None:
    assert_lists_and_creates(ran[example.line, 0])


@pytest.mark.parametrize("example", FOLLOWING, ids=lambda example: example.title)
def test_an_event_source_hears_what_it_listens_for(ran: dict[tuple[int, int], Ran], example: Example) -> None:
    """A VM is started and stopped until each listener has spoken; the first line names the VM and its address."""
    one = ran[example.line, 0]
    assert one.err == ""
    said = {line.partition(": ")[0]: line.partition(": ")[2].split() for line in one.out.splitlines()}
    assert set(said) == {"VM started", "VM stopped"}
    assert len(said["VM started"]) == 2
    assert said["VM started"][1].startswith("127.")
    assert said["VM stopped"] == said["VM started"][:1]


def test_both_kinds_of_script_are_there() -> None:
    assert FOLLOWING
    assert ASKING
