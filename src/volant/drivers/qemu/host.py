"""What the driver needs of this host: a QEMU with a sandbox, and the programs that take rights away.

Looked at once, when the daemon starts: what is missing then is one sentence to the operator, not a failing VM.
"""

from __future__ import annotations

import asyncio
import re
import shutil
import subprocess
from pathlib import Path

from msgspec import Struct

from volant.drivers.qemu.command import SANDBOX
from volant.errors import DriverRefused, StartupError

QEMU = "qemu-system-x86_64"

_CHECK_S = 20.0
_VERSION = re.compile(r"version (\d+(?:\.\d+)*)")
_PACKAGES = {"sh": "dash", "prlimit": "util-linux", "setpriv": "util-linux", "nice": "coreutils"}


class Host(Struct, frozen=True, kw_only=True):
    """The QEMU found: its path and its version, such as `7.2.22`."""

    qemu: str
    version: str


async def check_host(qemu: str = QEMU) -> Host:
    """Find QEMU and run it once in its sandbox. StartupError says what is missing and what to install."""
    try:
        path = program(qemu, package="qemu-system-x86")
        for name, package in _PACKAGES.items():
            program(name, package=package)
    except DriverRefused as error:
        raise StartupError(error.message) from error
    return await asyncio.to_thread(_try, path)


def program(name: str, *, package: str) -> str:
    """The path of a program. DriverRefused names the Debian package that has it."""
    found = shutil.which(name)
    if found is None:
        raise DriverRefused(f"cannot find {name}: install {package}")
    return str(Path(found).absolute())  # because it is started from another directory than it was found from


def _try(path: str) -> Host:
    # Reaching the monitor proves the sandbox: a QEMU built without one, or a kernel without it, ends before.
    without_machine = ["-machine", "none", "-nodefaults", "-no-user-config", "-display", "none", "-monitor", "stdio"]
    tried = _run([path, *without_machine, "-sandbox", SANDBOX], said="quit\n")
    if tried.returncode != 0:
        complaint = (tried.stderr.strip().splitlines() or [f"status {tried.returncode}"])[0]
        raise StartupError(f"cannot run {path} in its sandbox: {complaint}. Install a QEMU with seccomp.")
    found = _VERSION.search(_run([path, "-version"]).stdout)
    if found is None:
        raise StartupError(f"cannot tell the version of {path}: is it QEMU?")
    return Host(qemu=path, version=found[1])


def _run(argv: list[str], said: str = "") -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(argv, input=said, capture_output=True, text=True, timeout=_CHECK_S, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise StartupError(f"cannot run {argv[0]}: {error}") from error
