"""docs/python.md: its examples run, and what it lists is what the clients have."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.builders.daemon import RunningDaemon, daemon
from tests.builders.sources import ROOT

from volant.client import AsyncClient, Client

PAGE = (ROOT / "docs" / "python.md").read_text()
EXAMPLES = re.findall(r"^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
ASYNC_ONLY = {"vms": {"console"}}


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningDaemon]:
    """A daemon with the plugin of the examples."""
    place = tmp_path_factory.mktemp("python")
    (place / "files").mkdir()
    (place / "files" / "a").write_bytes(b"artifact")
    source = {"url": f"file://{place}/files/a"}
    with daemon(place / "data", "--hypervisor", "simulated", artifact_root=place / "files") as running:
        running.post("/plugins?wait=ready", {"name": "hello", "version": "1", "kernel": source, "initramfs": source})
        yield running


def documented() -> dict[str, set[str]]:
    """What the page says that each part of a client has; `volant` is the client itself."""
    rows = re.findall(r"^\| `volant(?:\.(\w+))?` \| (.*) \|$", PAGE, re.MULTILINE)
    return {part: set(re.findall(r"`(\w+)`", methods)) for part, methods in rows}


def methods(thing: object) -> set[str]:
    """Its public methods."""
    return {name for name in dir(thing) if not name.startswith("_") and callable(getattr(thing, name))}


@pytest.mark.parametrize("kind", [Client, AsyncClient], ids=lambda kind: str(kind.__name__))
def test_the_page_lists_the_methods_of_both_clients(kind: type[Client] | type[AsyncClient]) -> None:
    client = kind("http://127.0.0.1:1")
    for part, said in documented().items():
        missing = ASYNC_ONLY.get(part, set()) if kind is Client else set()
        assert methods(getattr(client, part) if part else client) == said - missing


def test_the_two_clients_have_the_same_methods() -> None:
    one, other = Client("http://127.0.0.1:1"), AsyncClient("http://127.0.0.1:1")
    assert methods(one) == methods(other)
    for part in documented():
        if part:
            more = methods(getattr(other, part)) - methods(getattr(one, part))
            assert more == ASYNC_ONLY.get(part, set())


def test_every_method_says_what_it_does() -> None:
    for client in (Client("http://127.0.0.1:1"), AsyncClient("http://127.0.0.1:1")):
        for part, names in documented().items():
            thing = getattr(client, part) if part else client
            assert not [name for name in names & methods(thing) if not getattr(thing, name).__doc__]


def test_the_examples_run_one_after_the_other(host: RunningDaemon, tmp_path: Path) -> None:
    assert len(EXAMPLES) >= 5
    script = tmp_path / "examples.py"
    script.write_text("\n".join(EXAMPLES).replace("http://127.0.0.1:8080", host.url))
    command = [sys.executable, "-W", "error", str(script)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert "create Deployment api" in done.stdout
    assert "404 vm_not_found" in done.stdout
