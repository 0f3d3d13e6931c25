"""The examples of the reference, sorted by what runs them, and run in a namespace of their own.

    examples of one kind ──run_inside──▶ unshare ──▶ inside ──▶ [Ran]

Each kind has a test file, so that the slow ones run side by side. Every example has a kind.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
from tests.builders.toolchains import ROOT, namespace
from tests.conformance.commands import words
from tests.conformance.inside import Ran
from tests.conformance.reference import Example, reference

INSIDE_S = 110
GENERATOR = "openapi-generator-cli"


def kind_of(example: Example) -> str:
    """Its language, or what it is about: `curl`, `generator`, `python`, `go` or `javascript`."""
    if example.language != "bash":
        return example.language
    return "generator" if GENERATOR in words(example.code) else "curl"


def of_kind(kind: str) -> list[Example]:
    """Every example of that kind, in order."""
    return [example for example in reference().examples if kind_of(example) == kind]


def run_inside(kind: str, work: Path) -> dict[tuple[int, int], Ran]:
    """(line, paragraph) -> what became of it, for every example of that kind."""
    lines = [str(example.line) for example in of_kind(kind)]
    command = [*namespace(), sys.executable, "-m", "tests.conformance.inside", str(work), *lines]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=INSIDE_S, check=False)
    assert done.returncode == 0, done.stderr
    ran = msgspec.json.decode((work / "ran.json").read_bytes(), type=list[Ran])
    return {(one.line, one.part): one for one in ran}


def documents(text: str) -> list[Any]:
    """Every JSON document of a text that holds nothing else."""
    decoder, found, rest = json.JSONDecoder(), [], text.strip()
    while rest:
        document, end = decoder.raw_decode(rest)
        found.append(document)
        rest = rest[end:].strip()
    return found


def assert_lists_and_creates(one: Ran) -> None:
    """A line for every VM there was, and one for the VM that there is now."""
    assert one.exit == 0, one.err
    said = one.out.splitlines()
    assert len(one.vms_before) > 1
    listed = [f"{vm['name']}: {vm['status']} ({vm['ip']})" for vm in one.vms_before]
    new = {vm["name"] for vm in one.vms_after} - {vm["name"] for vm in one.vms_before}
    # Both of a program's requests may be under way at once: then the list may show what is being created.
    assert [line for line in said if line.partition(":")[0] not in {"Created", *new}] == listed
    assert len(new) == 1
    assert f"Created: {new.pop()}" in said
