"""What the command loads before it has something to do: a shell asks it at every press of the tab key."""

from __future__ import annotations

import subprocess
import sys

import pytest

SLOW = {"asyncio", "httpx2", "msgspec", "pyroute2", "peewee", "rich", "ssl", "starlette", "uvicorn", "yaml"}
"""Each takes as long as the whole interpreter, or several times that."""

PROGRAM = """
import sys
from volant.cli import volant
try:
    volant(sys.argv[1:], prog_name="volant")
except SystemExit:
    pass
print(*{name.partition(".")[0] for name in sys.modules})
"""


def loaded(*words: str) -> set[str]:
    """The packages that are there when the command ends."""
    command = [sys.executable, "-c", PROGRAM, *words]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    return set(done.stdout.splitlines()[-1].split())


def test_the_overview_loads_nothing_but_click() -> None:
    assert not loaded("--help") & SLOW
    assert not loaded("--version") & SLOW


@pytest.mark.parametrize("noun", ["vms", "deployments", "plugins"])
def test_help_of_a_noun_needs_neither_http_nor_a_terminal(noun: str) -> None:
    assert not loaded(noun, "--help") & {"httpx2", "pyroute2", "peewee", "rich", "ssl", "starlette", "uvicorn", "yaml"}


def test_a_list_for_a_program_needs_no_terminal() -> None:
    # Nobody listens there: what is needed to ask and to be refused.
    found = loaded("vms", "list", "--url", "http://127.0.0.1:1")
    assert "httpx2" in found
    assert not found & {"pyroute2", "peewee", "rich", "starlette", "uvicorn", "yaml"}
