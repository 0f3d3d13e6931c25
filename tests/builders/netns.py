"""Tests in a network namespace of their own: nothing they do to a network is done to that of the machine.

    pytest ──▶ test (wrapper) ──▶ unshare --net --pid ──▶ python -m tests.builders.netns FILE TEST ──▶ test (body)

The body runs in another process, with a namespace of networks and processes that end with it, whatever happens. It may
take a directory (`tmp_path`). Needs root, nftables and /dev/net/tun; elsewhere the test is reported as not run.
"""

from __future__ import annotations

import asyncio
import functools
import importlib.util
import inspect
import os
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from tests.builders.toolchains import ROOT, bridge_namespace

WITHIN_S = 100
_INSIDE = "VOLANT_TEST_NAMESPACE"


def in_a_namespace(body: Callable[..., Awaitable[None]]) -> Callable[..., None]:
    """The test, played in a namespace. It fails with whatever the body said."""

    @functools.wraps(body)
    def test(**given: Any) -> None:
        command = [*bridge_namespace(), sys.executable, "-W", "error", "-m", "tests.builders.netns"]
        command += [inspect.getfile(body), body.__name__, *(str(path) for path in given.values())]
        paths = os.pathsep.join([str(ROOT), str(ROOT / "src")])
        played = subprocess.run(
            command,
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": paths, _INSIDE: "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=WITHIN_S,
            check=False,
        )
        print(played.stdout)
        assert played.returncode == 0, f"{body.__name__} in its namespace:\n{played.stdout}"

    return test


def _play(file: str, name: str, *paths: str) -> None:
    spec = importlib.util.spec_from_file_location("played", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["played"] = module
    spec.loader.exec_module(module)
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    body = inspect.unwrap(getattr(module, name))
    asyncio.run(asyncio.wait_for(body(*(Path(path) for path in paths)), WITHIN_S - 10))


if __name__ == "__main__":
    assert os.environ.get(_INSIDE), "this is no command: it would change the network of the machine"
    _play(*sys.argv[1:])
