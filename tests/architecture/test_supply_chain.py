"""What is built from is named exactly, and nothing secret is in the tree (security checklist G13)."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = ("src", "tests", "docs", "examples", "bench", "scripts")
SECRET = re.compile(rb"-----BEGIN [A-Z ]*PRIVATE KEY-----|\bAKIA[0-9A-Z]{16}\b|\bgh[pousr]_[A-Za-z0-9]{36}\b")


def locked() -> list[str]:
    """The requirements of the lock file, each with what belongs to it, as one line."""
    text = (ROOT / "requirements.lock").read_text().replace("\\\n", " ")
    return [line for line in text.splitlines() if line.strip() and not line.startswith("#")]


def test_every_package_is_locked_to_a_version_and_hashes() -> None:
    """G13"""
    assert locked()
    exact = re.compile(r"[\w.-]+(\[[\w,-]+\])?==\S+ .*--hash=sha256:[0-9a-f]{64}")
    loose = [line[:60] for line in locked() if not exact.match(line)]
    assert not loose


def test_the_lock_file_names_no_place_to_get_packages_from() -> None:
    """G13: where from is the host's own setting."""
    assert not [line for line in locked() if "://" in line or line.startswith("-")]


def test_no_key_is_in_the_tree() -> None:
    """G13"""
    files = [file for folder in FOLDERS for file in (ROOT / folder).rglob("*") if file.is_file()]
    me = Path(__file__)
    assert not [str(file) for file in files if file != me and SECRET.search(file.read_bytes())]
