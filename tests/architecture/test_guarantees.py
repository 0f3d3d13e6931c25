"""docs/guarantees.md names every requirement, and for each that is held the tests that hold it: both are compared.

That a test mentions an id is a hint; that the page names the test is the claim that it would fail without the promise.
"""

from __future__ import annotations

import ast
import re
from collections import Counter
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest
from tests.architecture.requirements import CHECKLIST, REQUIREMENTS
from tests.builders.sources import ROOT
from tests.simulation.test_mayhem import SEEDS

STATES = ("held", "partly", "not held")
SENTENCE = re.compile(r"[A-Z`].{20,}[^.]\.$", re.DOTALL)
ID = re.compile(rf"\b([{''.join(sorted({name[0] for name in REQUIREMENTS}))}][1-9]\d?)\b")
TEST = re.compile(r"`([\w/]+\.py)::(\w+)`")


class Entry(NamedTuple):
    """One line of the page."""

    name: str
    priority: int
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
        return re.sub(r"\s+", " ", TEST.sub("", self.says)).strip(" ,·")


def entries() -> list[Entry]:
    """Every line of every table."""
    rows = re.findall(r"^\| ([A-Z]\d+) \| (\d) \| (.*?) \| (held|partly|not held) \| (.*) \|$", _page(), re.MULTILINE)
    return [Entry(name, int(priority), promise, state, says) for name, priority, promise, state, says in rows]


@cache
def _page() -> str:
    return (ROOT / "docs" / "guarantees.md").read_text()


@cache
def documented(file: Path) -> dict[str, str]:
    """Name -> docstring of every test of a file, be it a function or a class."""
    return {
        node.name: ast.get_docstring(node) or ""
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
        and node.name.lower().startswith("test")
    }


def mentioned() -> dict[str, str]:
    """Every id in the docstring of a test -> one of those that name it."""
    return {
        name: f"{file.name}::{test}"
        for file in sorted((ROOT / "tests").rglob("test_*.py"))
        for test, text in documented(file).items()
        for name in ID.findall(text)
    }


def test_every_requirement_is_on_the_page_once() -> None:
    assert {entry.name: entry.priority for entry in entries()} == REQUIREMENTS
    assert [name for name, times in Counter(entry.name for entry in entries()).items() if times > 1] == []


def test_every_id_that_a_test_names_is_one_of_ours() -> None:
    unknown = {name: test for name, test in mentioned().items() if name not in REQUIREMENTS | dict.fromkeys(CHECKLIST)}
    assert unknown == {}


def test_a_promise_that_is_held_or_partly_so_is_mentioned_by_a_test() -> None:
    """A page that claims less than the tests do is out of date as well."""
    apart = CHECKLIST  # because what a test says of these may be meant of the other list
    claimed = {entry.name for entry in entries() if entry.state != "not held"}
    assert {name for name in mentioned() if name in REQUIREMENTS} - apart <= claimed


@pytest.mark.parametrize("entry", entries(), ids=lambda entry: entry.name)
def test_what_is_held_is_held_by_tests_that_say_so(entry: Entry) -> None:
    assert SENTENCE.fullmatch(entry.promise), entry.promise
    assert entry.tests or entry.state != "held", "nothing holds it"
    for file, name in entry.tests:
        found = documented(ROOT / "tests" / file)
        assert name in found, f"there is no {name} in {file}"
        assert entry.name in ID.findall(found[name]), f"{name} does not say that it is about {entry.name}"


@pytest.mark.parametrize("entry", [e for e in entries() if e.state != "held"], ids=lambda entry: entry.name)
def test_what_is_not_wholly_held_says_why(entry: Entry) -> None:
    assert SENTENCE.search(entry.reason), f"{entry.name}: {entry.reason!r}"


def test_the_sums_are_those_of_the_tables() -> None:
    counted = Counter((entry.priority, entry.state) for entry in entries())
    rows = re.findall(r"^\| P(\d) \| (\d+) \| (\d+) \| (\d+) \| (\d+) \|$", _page(), re.MULTILINE)
    said = {int(p): tuple(map(int, figures)) for p, *figures in rows}
    expected = {p: tuple(counted[p, state] for state in STATES) for p in (0, 1, 2)}
    assert said == {p: (*figures, sum(figures)) for p, figures in expected.items()}


def test_the_figures_of_the_gates_are_those_of_the_gates() -> None:
    said = re.sub(r"\s+", " ", _page().partition("## How strong the tests are")[2])
    assert f"{len(list((ROOT / 'tests' / 'mutants').glob('*.patch')))} bugs" in said
    assert f"each of {len(SEEDS)} seeds" in said


def test_an_id_and_a_test_are_read_as_they_are_written() -> None:
    entry = Entry(
        "Q1", 0, "", "held", "`unit/test_a.py::test_b` `property/test_c.py::TestD`. It differs in one respect."
    )
    assert entry.tests == [("unit/test_a.py", "test_b"), ("property/test_c.py", "TestD")]
    assert entry.reason == ". It differs in one respect."
    assert ID.findall("Q1, Q14: and S4 (L2), not SQ1 or E2E") == ["Q1", "Q14", "S4", "L2"]
