"""One mutant tried: a copy of the tree, the patch, the gate, and if that lets it pass all the others.

    copy ──gates──▶ green ──▶ copy of the copy ──patch──▶ gate ──▶ red: killed
                                                            └────▶ green ──▶ every simulation ──▶ killed, or it survived

Only a failing test kills. A test that cannot be collected, or a run that ends in any other way, proves that the patch
is broken and not that it is found.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from tests.mutants.patches import Mutant, apply

ROOT = Path(__file__).resolve().parents[2]
COPIED = ("src", "tests", "pyproject.toml")
EVERYTHING = ("tests/simulation", "tests/unit", "tests/property")
PYTEST = ("-m", "pytest", "-q", "-x", "--tb=no", *(f"-pno:{name}" for name in ("cacheprovider", "xdist", "anyio")))
TEST_S = 60
GATE_S = 150.0
EVERYTHING_S = 600.0
PASSED, FAILED = 0, 1


class Run(NamedTuple):
    """One run of pytest: its exit status, None when it was ended, and what it printed."""

    status: int | None
    said: str

    @property
    def first_failure(self) -> str:
        """The first test that failed, without the path of its directory."""
        found = re.search(r"^(?:FAILED|ERROR) (.+?)(?: - .*)?$", self.said, re.MULTILINE)
        return found[1].removeprefix("tests/") if found else "a run without an end"


class Verdict(NamedTuple):
    """What became of a mutant. `killer` is None when it survived; `trouble` says what else is wrong."""

    mutant: Mutant
    killer: str | None
    seconds: float
    trouble: str = ""


def copy_tree(source: Path, target: Path) -> None:
    """What the tests need, with the times of the files: compiled ones stay valid."""
    ignored = shutil.ignore_patterns("conformance", "e2e", "soak")
    for name in COPIED:
        if (source / name).is_dir():
            shutil.copytree(source / name, target / name, ignore=ignored)
        else:
            target.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source / name, target / name)


def run(tree: Path, tests: Sequence[str], within_s: float) -> Run:
    """These tests against that tree. What they have started ends with them."""
    command = (sys.executable, *PYTEST, "-pno:schemathesis", f"--timeout={TEST_S}", *tests)
    environment = {**os.environ, "PYTHONPATH": str(tree / "src")}
    with subprocess.Popen(
        command, cwd=tree, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True
    ) as process:
        try:
            said, _ = process.communicate(timeout=within_s)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            said, _ = process.communicate()
            return Run(None, said.decode(errors="replace"))
        return Run(process.returncode, said.decode(errors="replace"))


def tried(mutant: Mutant, clean: Path, scratch: Path) -> Verdict:
    """Try one mutant of the clean tree. Raises Stale."""
    began = time.monotonic()
    tree = scratch / mutant.name
    copy_tree(clean, tree)
    try:
        apply(mutant, tree)
        killer, trouble = _killer(mutant, tree)
    finally:
        shutil.rmtree(tree)
    return Verdict(mutant, killer, time.monotonic() - began, trouble)


def _killer(mutant: Mutant, tree: Path) -> tuple[str | None, str]:
    gate = run(tree, mutant.gates, GATE_S)
    if gate.status == FAILED:
        return gate.first_failure, ""
    if gate.status != PASSED:
        return None, gate.said[-2000:]
    found = run(tree, EVERYTHING, EVERYTHING_S)
    if found.status == FAILED:
        return found.first_failure, "its gate let it pass"
    return None, "" if found.status == PASSED else found.said[-2000:]
