"""The seeded bugs fit the source of today, are told of in their README, and name gates that there are."""

from __future__ import annotations

import ast
import re

import pytest
from tests.mutants.__main__ import table
from tests.mutants.patches import HERE, Mutant, Stale, changed, mutants, parse
from tests.mutants.trial import ROOT

MUTANTS = mutants()


def test_there_are_enough_of_them() -> None:
    assert len(MUTANTS) >= 20


def test_the_readme_has_the_table_of_the_patches() -> None:
    """Written by `python -m tests.mutants --table`."""
    assert table(MUTANTS) in (HERE / "README.md").read_text()


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_a_patch_fits_and_leaves_a_program(mutant: Mutant) -> None:
    """One that does not is brought up to date with the change that moved it: its bug is what counts, not its lines."""
    for path, text in changed(mutant, ROOT).items():
        assert path.startswith("src/volant/")
        assert ast.dump(ast.parse(text)) != ast.dump(ast.parse((ROOT / path).read_text())), "nothing is wrong with it"


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_a_mutant_names_requirements_and_gates(mutant: Mutant) -> None:
    assert all(re.fullmatch(r"[A-Z]\d{1,2}", requirement) for requirement in mutant.breaks)
    for gate in mutant.gates:
        path, *names = re.sub(r"\[.*\]$", "", gate).split("::")
        text = (ROOT / path).read_text()
        assert all(re.search(rf"(def|class) {name}\b", text) for name in names)


def test_a_patch_that_does_not_fit_is_refused() -> None:
    head = "Bug: it does\nBreaks: Q1\nGate: tests/unit/test_bus.py\n"
    head += "--- a/pyproject.toml\n+++ b/pyproject.toml\n@@ -1 +1 @@\n"
    with pytest.raises(Stale, match="holds these lines 0 times"):
        changed(parse("absent", head + "-[nothing]\n+[something]\n"), ROOT)
    with pytest.raises(Stale, match="must say Bug"):
        parse("mute", head.replace("Bug", "Note") + "-[project]\n+[other]\n")
    with pytest.raises(Stale, match="holds these lines"):
        changed(parse("vague", head + "-\n+# more\n"), ROOT)
