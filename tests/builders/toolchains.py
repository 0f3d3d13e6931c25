"""Tools that a machine may lack. A test that needs one says so here, and is reported as not run when it is not there.

This is the only place that may skip, and only for what is no part of Volant: a missing compiler, or a user without
rights, says nothing about the code under test, and a test that passed without it would say something false.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NoReturn

import pytest

ROOT = Path(__file__).resolve().parents[2]
NPM = ROOT / ".cache" / "npm"
NPM_S = 60

PATH = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])
"""Where tools are looked for: those that Python packages bring come first."""


def require(tool: str) -> Path:
    """Where the tool is."""
    found = shutil.which(tool, path=PATH)
    return Path(found) if found else not_run(f"{tool} is not on this machine")


def namespace() -> list[str]:
    """The command before a command that gives it a network and processes of its own, which end with it."""
    user = [] if os.geteuid() == 0 else ["--map-root-user"]
    command = [str(require("unshare")), *user, "--net", "--pid", "--fork", "--kill-child=KILL", "--mount-proc"]
    tried = subprocess.run([*command, "true"], capture_output=True, text=True, timeout=10, check=False)
    return command if tried.returncode == 0 else not_run(f"no namespace on this machine: {tried.stderr.strip()}")


def bridge_namespace() -> list[str]:
    """As `namespace`, where bridges, taps and rules can be made."""
    if os.geteuid() != 0:
        not_run("a bridge needs root")
    for tool in ("nft", "ip", "bridge", "nsenter", "busybox", "curl"):
        require(tool)
    if not Path("/dev/net/tun").exists():
        not_run("no /dev/net/tun on this machine")
    return namespace()


def package_lists() -> None:
    """Have apt know packages. A machine whose lists were removed cannot choose any."""
    if not list(Path("/var/lib/apt/lists").glob("*Packages*")):
        not_run("apt has no lists on this machine")


def node_modules(*wanted: str) -> Path:
    """Where `npm_packages` keeps these packages (`axios@1`): each set has a place of its own."""
    return NPM / "+".join(wanted) / "node_modules"


def npm_packages(*wanted: str) -> Path:
    """The `node_modules` with these packages, fetched once and kept."""
    npm = shutil.which("npm", path=PATH) or not_run("no npm on this machine")
    found = node_modules(*wanted)
    found.parent.mkdir(parents=True, exist_ok=True)
    complete = found.parent / ".complete"
    with (found.parent / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not complete.exists():
            _npm_install(npm, found.parent, wanted)
            complete.touch()
    return found


def _npm_install(npm: str, home: Path, wanted: tuple[str, ...]) -> None:
    command = [npm, "install", "--no-package-lock", "--no-audit", "--no-fund", "--ignore-scripts"]
    command += ["--prefix", str(home)]
    # Without a registry this is to be known soon.
    command += ["--fetch-retries=1", "--fetch-retry-mintimeout=500", "--fetch-retry-maxtimeout=1000"]
    try:
        done = subprocess.run([*command, *wanted], capture_output=True, text=True, timeout=NPM_S, check=False)
    except subprocess.TimeoutExpired:
        not_run(f"no npm: no registry gave {' and '.join(wanted)} within {NPM_S} s")
    if done.returncode != 0:
        not_run(f"no npm: no registry gives {' and '.join(wanted)}")


def require_root(why: str) -> None:
    """Go on as root only: `why` says what takes it."""
    if os.geteuid() != 0:
        not_run(f"it takes root: {why}")


def not_run(why: str) -> NoReturn:
    """The test ends here, and says that it was not run."""
    pytest.skip(f"not run: {why}")
