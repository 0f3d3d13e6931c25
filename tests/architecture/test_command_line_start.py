"""What the command loads before it has something to do: a shell asks it at every press of the tab key."""

from __future__ import annotations

import subprocess
import sys

import pytest

SLOW = {"asyncio", "httpx2", "msgspec", "pyroute2", "peewee", "rich", "ssl", "starlette", "uvicorn", "yaml"}
"""Each takes as long as the whole interpreter, or several times that."""

NOBODY = "http://127.0.0.1:1"

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


def of_volant(*words: str) -> set[str]:
    """The modules of ours that are there when the command ends, without `volant.`."""
    command = [sys.executable, "-c", PROGRAM.replace('name.partition(".")[0]', "name"), *words]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    return {name.removeprefix("volant.") for name in done.stdout.splitlines()[-1].split() if name.startswith("volant.")}


def test_the_overview_loads_nothing_but_click() -> None:
    assert not loaded("--help") & SLOW
    assert not loaded("--version") & SLOW


@pytest.mark.parametrize("noun", ["vms", "deployments", "plugins"])
def test_help_of_a_noun_needs_neither_http_nor_a_terminal(noun: str) -> None:
    assert not loaded(noun, "--help") & {"httpx2", "pyroute2", "peewee", "rich", "ssl", "starlette", "uvicorn", "yaml"}


def test_a_list_for_a_program_needs_no_terminal() -> None:
    # Nobody listens there: what is needed to ask and to be refused.
    assert "msgspec" in loaded("vms", "list", "--url", NOBODY)


@pytest.mark.parametrize(
    "words",
    [
        ("vms", "list"),
        ("vms", "get", "a", "-o", "json"),
        ("vms", "create", "a", "--plugin", "p"),
        ("vms", "stop", "a"),
        ("deployments", "list"),
        ("deployments", "scale", "a", "3"),
        ("plugins", "list", "-o", "name"),
    ],
    ids=" ".join,
)
def test_one_question_needs_no_loop_and_no_library_for_http(words: tuple[str, ...]) -> None:
    # http.client loads ssl, which costs a twentieth of what httpx2 does.
    assert not loaded(*words, "--url", NOBODY) & (SLOW - {"msgspec", "ssl"})


def test_contexts_need_nothing_of_the_daemon() -> None:
    assert not loaded("context", "list") & (SLOW - {"msgspec"})


def test_a_list_of_vms_needs_to_know_of_vms_only() -> None:
    found = of_volant("vms", "list", "--url", NOBODY)
    assert "client.blocking" in found
    assert not found & {"client.aio", "config", "manifests", "model.deployment", "model.plugin", "model.event"}
