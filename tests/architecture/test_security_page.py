"""docs/security.md names every line of the checklist, and for each that is held the tests that hold it: compared here.

As with docs/guarantees.md, the page is the claim and the tests are its proof; an id in a docstring alone is a hint.
"""

from __future__ import annotations

import re
from collections import Counter
from functools import cache
from typing import NamedTuple

import pytest
from tests.architecture.requirements import LINES
from tests.architecture.test_guarantees import SENTENCE, STATES, TEST, documented
from tests.builders.sources import ROOT

ID = re.compile(r"\b([A-H][1-9]\d?)\b")


class Entry(NamedTuple):
    """One line of the page."""

    name: str
    promise: str
    state: str
    says: str

    @property
    def tests(self) -> list[tuple[str, str]]:
        """(file below tests/, name) of each test that is named."""
        return TEST.findall(self.says)

    @property
    def reason(self) -> str:
        """What stands beside the tests."""
        return re.sub(r"\s+", " ", TEST.sub("", self.says)).strip()


@cache
def _page() -> str:
    return (ROOT / "docs" / "security.md").read_text()


def entries() -> list[Entry]:
    """Every line of every table of the checklist."""
    rows = re.findall(r"^\| ([A-H]\d+) \| (.*?) \| (held|partly|not held) \| (.*) \|$", _page(), re.MULTILINE)
    return [Entry(*row) for row in rows]


def test_every_line_of_the_checklist_is_on_the_page_once_and_in_order() -> None:
    expected = [f"{letter}{number}" for letter, last in LINES.items() for number in range(1, last + 1)]
    assert [entry.name for entry in entries()] == expected


@pytest.mark.parametrize("entry", entries(), ids=lambda entry: entry.name)
def test_what_is_held_is_held_by_tests_that_say_so(entry: Entry) -> None:
    assert SENTENCE.fullmatch(entry.promise), entry.promise
    assert bool(entry.tests) == (entry.state != "not held"), entry.says
    for file, name in entry.tests:
        found = documented(ROOT / "tests" / file)
        assert name in found, f"there is no {name} in {file}"
        assert entry.name in ID.findall(found[name]), f"{name} does not say that it is about {entry.name}"


@pytest.mark.parametrize("entry", [e for e in entries() if e.state != "held"], ids=lambda entry: entry.name)
def test_what_is_not_wholly_held_says_why(entry: Entry) -> None:
    assert re.fullmatch(r"[A-Z`].{10,}\.", entry.reason), f"{entry.name}: {entry.reason!r}"


def test_the_sums_are_those_of_the_tables() -> None:
    counted = Counter((entry.name[0], entry.state) for entry in entries())
    said = re.findall(r"^\| ([A-H]) \| (\d+) \| (\d+) \| (\d+) \| (\d+) \|$", _page(), re.MULTILINE)
    expected = {letter: tuple(counted[letter, state] for state in STATES) for letter in LINES}
    assert {letter: tuple(map(int, figures)) for letter, *figures in said} == {
        letter: (*figures, sum(figures)) for letter, figures in expected.items()
    }
