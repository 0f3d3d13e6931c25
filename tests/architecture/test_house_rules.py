"""Rules that no linter knows, read off the source itself."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SOURCES = sorted((ROOT / "src" / "volant").rglob("*.py"))
BANNED_NAMES = {"utils", "helpers", "common", "core", "manager", "service", "base", "misc"}


def test_no_file_passes_400_lines() -> None:
    long = {str(f.relative_to(ROOT)): n for f in SOURCES if (n := len(f.read_text().splitlines())) > 400}
    assert not long


def test_every_module_says_what_it_is() -> None:
    silent = [str(f.relative_to(ROOT)) for f in SOURCES if not ast.get_docstring(ast.parse(f.read_text()))]
    assert not silent


def test_no_file_is_named_after_nothing() -> None:
    assert not [str(f.relative_to(ROOT)) for f in SOURCES if f.stem in BANNED_NAMES or f.parent.name in BANNED_NAMES]


@pytest.mark.parametrize(
    ("pattern", "because"),
    [
        (r"""["']-drive["']""", "B2: -drive splits its value at commas and probes formats"),
        (r"shell\s*=\s*True", "B2: argv is a list, never a line for a shell"),
        (r"os\.system|subprocess\.getoutput", "B2"),
        (r"\bpickle\b|yaml\.load\(|\beval\(", "G13: what users send is decoded, never run"),
        (r"mock\.patch|monkeypatch\.setattr", "a seam that needs patching is missing a parameter"),
        (r"TODO|FIXME|XXX", "nothing is left half done"),
    ],
)
def test_source_does_not_hold(pattern: str, because: str) -> None:
    found = [str(f.relative_to(ROOT)) for f in SOURCES if re.search(pattern, f.read_text())]
    assert not found, because


def test_tests_patch_nothing_and_skip_nothing() -> None:
    me = Path(__file__)
    # A tool that a machine lacks is said to be missing there, in one place, and only there.
    toolchains = ROOT / "tests" / "builders" / "toolchains.py"
    banned = re.compile(r"mock\.patch|pytest\.skip\(|mark\.skip|mark\.xfail|importorskip|SkipTest")
    tests = [f for f in (ROOT / "tests").rglob("*.py") if f not in (me, toolchains)]
    assert not [str(f.relative_to(ROOT)) for f in tests if banned.search(f.read_text())]


def test_only_a_missing_tool_skips_a_test() -> None:
    """One call, behind a reason that begins with "not run"; nothing is patched or expected to fail there either."""
    text = (ROOT / "tests" / "builders" / "toolchains.py").read_text()
    assert re.findall(r"(?:pytest|mark)\.(?:skip|xfail).*", text) == ['pytest.skip(f"not run: {why}")']
    assert not re.search(r"mock\.patch|importorskip|SkipTest", text)
