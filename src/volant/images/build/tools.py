"""The programs of a Debian host that builds use, and one way to run them.

Paths are looked for below sbin too, because an ordinary user's PATH leaves it out and mke2fs needs no root.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from volant.errors import StartupError

TIMEOUT_S: Final = 600.0
SBIN: Final = "/usr/sbin:/sbin"


@dataclass(frozen=True, slots=True)
class Tools:
    """Names or paths."""

    apt_get: str = "apt-get"
    apt_cache: str = "apt-cache"
    dpkg_deb: str = "dpkg-deb"
    mke2fs: str = "mke2fs"
    debugfs: str = "debugfs"
    qemu_img: str = "qemu-img"


DEBIAN: Final = Tools()
_PACKAGES: Final = {
    "apt-get": "apt",
    "apt-cache": "apt",
    "dpkg-deb": "dpkg",
    "mke2fs": "e2fsprogs",
    "debugfs": "e2fsprogs",
    "qemu-img": "qemu-utils",
}


def found(tool: str) -> str:
    """Where the tool is. Raises StartupError with the package that brings it."""
    where = shutil.which(tool) or shutil.which(tool, path=SBIN)
    if where is None:
        package = _PACKAGES.get(tool)
        hint = f" Run: apt-get install {package}" if package else ""
        raise StartupError(f"cannot build an image: there is no {tool} on this host.{hint}")
    return where


def run(
    command: Sequence[str | Path],
    *,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    given: str = "",
    timeout_s: float = TIMEOUT_S,
) -> subprocess.CompletedProcess[str]:
    """Run the tool that `command` begins with and collect what it says, whatever its status.

    `env` is the whole environment; None hands on ours. Raises StartupError when it cannot run or does not end in time.
    """
    tool, *arguments = command
    try:
        return subprocess.run(
            [found(str(tool)), *arguments],
            env=None if env is None else {"PATH": f"/usr/bin:/bin:{SBIN}", "LC_ALL": "C.UTF-8", **env},
            cwd=cwd,
            input=given,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout_s,
            check=False,
        )
    except OSError as error:
        raise StartupError(f"cannot run {tool}: {error.strerror}") from error
    except subprocess.TimeoutExpired as error:
        raise StartupError(f"cannot build an image: {tool} took longer than {timeout_s:.0f} s") from error


def last_words(said: str) -> str:
    """The last line that is not empty."""
    return next((line.strip() for line in reversed(said.splitlines()) if line.strip()), "it said nothing")
