"""The plugins of examples/plugins, built, and what their guests are asked.

They are built once into .cache/volant/plugins and are as fresh as their recipes; who comes while they are built waits.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

from tests.builders.daemon import ROOT, RunningDaemon, until

from volant.manifests import read

PLUGINS = ROOT / ".cache" / "volant" / "plugins"
EXAMPLES = ROOT / "examples" / "plugins"
BOOT_S = 110.0


def artifact_root() -> Path:
    """Where they are, or will be."""
    PLUGINS.mkdir(parents=True, exist_ok=True)
    return PLUGINS


@cache
def plugin(name: str) -> dict[str, Any]:
    """The manifest of a plugin that is there now."""
    done = subprocess.run([ROOT / "scripts/plugins.sh", name], capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    manifest: dict[str, Any] = json.loads((PLUGINS / name / f"{name}.json").read_text())
    return manifest


def apply(running: RunningDaemon, path: str) -> None:
    """`volant apply -f` of a manifest of the examples, as a user types it."""
    command = [sys.executable, "-m", "volant", "apply", "--url", running.url, "--set", "shop", "-f", EXAMPLES / path]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def example(path: str) -> dict[str, Any]:
    """A manifest as the examples have it."""
    (said,) = read([str(EXAMPLES / path)], lambda: b"").said
    manifest: dict[str, Any] = said.value
    return manifest


def ready(running: RunningDaemon, name: str, *, other_than: int | None = None) -> dict[str, Any]:
    """The VM, once it runs and its health check says so; with another pid, where one is given."""

    def look() -> dict[str, Any] | None:
        vm: dict[str, Any] = running.get(f"/vms/{name}")
        is_well = vm["status"] == "running" and vm["health"]["status"] == "healthy" and vm["pid"] != other_than
        assert vm["status"] != "error", vm
        return vm if is_well else None

    found: dict[str, Any] = until(f"{name} is well", look, BOOT_S)
    return found


def endpoint(vm: dict[str, Any]) -> tuple[str, int]:
    """Where the workload of a VM is reached."""
    found = vm["endpoints"][0]
    return found["address"], found["port"]


def console(running: RunningDaemon) -> str:
    """What the guests of a daemon have said, as far as it is kept."""
    logs = (path for path in (running.data_dir / "run").glob("*/console.log"))
    return "".join(path.read_text(errors="replace") for path in logs)


def sql(vm: dict[str, Any], statement: str, *, password: str, database: str = "app") -> str:
    """What `psql` prints for a statement, without frames and headings."""
    assert shutil.which("psql"), "psql is missing. Run: apt-get install postgresql-client"
    address, port = endpoint(vm)
    command = [
        "psql",
        "-X",
        "-q",
        "-A",
        "-t",
        "-v",
        "ON_ERROR_STOP=1",
        "-h",
        address,
        "-p",
        str(port),
        "-U",
        "postgres",
    ]
    environment = {"PATH": os.environ["PATH"], "PGPASSWORD": password, "PGCONNECT_TIMEOUT": "20"}
    done = subprocess.run(
        [*command, "-d", database, "-c", statement],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env=environment,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def is_clean(said: str) -> bool:
    """Whether PostgreSQL says that it was shut down well the last time, and had nothing to recover."""
    return "database system was shut down at" in said and "redo starts" not in said
