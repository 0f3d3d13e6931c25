"""What a mutant is: a unified diff against the source with a few words above it that say what is wrong.

    Bug: what the code does wrong, in one sentence
    Breaks: P7 V12
    Gate: tests/simulation/test_vm_lives.py::test_what_hangs_is_killed_at_the_stored_deadline
    --- a/src/volant/...
    +++ b/src/volant/...

A hunk is placed by its text alone, which must be in the file exactly once; its line numbers are for people. So a patch
outlives changes elsewhere in its file, and one that fits no longer, or in two places, is an error and never a guess.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

HERE = Path(__file__).resolve().parent


class Stale(Exception):
    """The patch does not fit the source any more, or is no patch."""


class Hunk(NamedTuple):
    """Lines of one file, as they are and as they become."""

    path: str
    old: str
    new: str


class Mutant(NamedTuple):
    """One seeded bug. `gates` are the tests that have to fail, `breaks` the requirements that it violates."""

    name: str
    bug: str
    breaks: Sequence[str]
    gates: Sequence[str]
    hunks: Sequence[Hunk]


def mutants() -> list[Mutant]:
    """All of them, by name. Raises Stale."""
    return [parse(path.stem, path.read_text()) for path in sorted(HERE.glob("*.patch"))]


def parse(name: str, text: str) -> Mutant:
    """The mutant that a file holds. Raises Stale."""
    head, _, diff = text.partition("--- ")
    words = [line.partition(": ") for line in head.splitlines() if line.strip()]
    said = {key: [value for k, _, value in words if k == key] for key in ("Bug", "Breaks", "Gate")}
    hunks = tuple(_hunks(("--- " + diff).splitlines(keepends=True)))
    if len(said["Bug"]) != 1 or not all(said.values()) or not hunks:
        raise Stale(f"cannot read {name}.patch: it must say Bug, Breaks and Gate, and hold a hunk")
    return Mutant(name, said["Bug"][0], " ".join(said["Breaks"]).split(), tuple(said["Gate"]), hunks)


def _hunks(lines: Sequence[str]) -> Iterator[Hunk]:
    path, old, new = "", list[str](), list[str]()
    for line in [*lines, "@@"]:
        if line.startswith(("@@", "--- ", "+++ ")):
            if old or new:
                yield Hunk(path, "".join(old), "".join(new))
            old, new = [], []
            if line.startswith("+++ "):
                path = line.split()[1].removeprefix("b/")
        elif line[0] in " -+":
            old += [line[1:]] if line[0] != "+" else []
            new += [line[1:]] if line[0] != "-" else []
        else:
            raise Stale(f"cannot read a patch of {path}: {line!r}")


def changed(mutant: Mutant, root: Path) -> dict[str, str]:
    """The text of each file that the mutant changes, by path, as it becomes. Nothing is written. Raises Stale."""
    texts: dict[str, str] = {}
    for path, old, new in mutant.hunks:
        text = "\n" + (texts[path] if path in texts else (root / path).read_text())
        if (found := text.count("\n" + old)) != 1:
            raise Stale(f"cannot apply {mutant.name}.patch: {path} holds these lines {found} times:\n{old}")
        texts[path] = text.replace("\n" + old, "\n" + new)[1:]
    return texts


def apply(mutant: Mutant, root: Path) -> None:
    """Make `root` the mutant's. Raises Stale, in which case nothing is changed."""
    for path, text in changed(mutant, root).items():
        (root / path).write_text(text)
