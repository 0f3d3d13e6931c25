"""qemu-img, for the two things it is needed for: an empty layer, and a larger one.

It runs as an ordinary user without capabilities, with no environment and within limits, and it is handed the one file
as a descriptor. It opens nothing else: the image below a new layer is named and not looked at, and a layer that grows
is opened without what is below it. So what a guest has written into its disk, or a hostile VMM into the file around
it, leads nowhere. A file whose header names a data file outside is refused before qemu-img sees it.

All functions block. They raise OSError, DriverUnavailable, or DriverRefused for a file that is no layer of ours, with
half a sentence: whoever asked knows which disk it is about.
"""

from __future__ import annotations

import json
import os
import shutil
import struct
import subprocess
from pathlib import Path

from msgspec import Struct

from volant.errors import DriverRefused, DriverUnavailable

TIMEOUT_S = 30.0

_ROOM_BYTES = 64 << 20
"""How much a file may grow by tables alone: those of the largest disk are a hundredth of it."""
_MEMORY_BYTES = 1 << 30
_CPU_S = 10
_HEADER = struct.Struct(">4sI16xQ40xQ")
_MAGIC = b"QFI\xfb"
_VERSION = 3
_NEEDS_REPAIR = 0b11
"""Incompatible features "dirty" and "corrupt". All others are none that our layers have."""


class QemuImg(Struct, frozen=True, kw_only=True):
    """`program` is its name or path; `uid` (and gid) is who it runs as when the daemon is root."""

    program: str
    uid: int

    def create(self, descriptor: int, size_bytes: int, base: Path | None, base_format: str | None) -> None:
        """Make the empty file a layer of that size, over `base` if there is one."""
        below = [] if base is None else ["-u", "-b", str(base), "-F", str(base_format)]
        self._run(descriptor, ["create", "-q", "-f", "qcow2", *below, _name(descriptor), str(size_bytes)])

    def grow(self, descriptor: int, size_bytes: int) -> None:
        """Make the layer larger; its content stays. DriverUnavailable while a VMM has it open."""
        opened = {
            "driver": "qcow2",
            "file": {"driver": "file", "filename": _name(descriptor), "locking": "on"},
            "backing": None,
        }
        self._run(descriptor, ["resize", "-q", "json:" + json.dumps(opened), str(size_bytes)])

    def _run(self, descriptor: int, arguments: list[str]) -> None:
        facts = os.fstat(descriptor)
        command = [*_limits(facts.st_size + _ROOM_BYTES), *self._unprivileged(), _found(self.program), *arguments]
        is_root = os.geteuid() == 0
        if is_root:
            os.fchown(descriptor, self.uid, self.uid)
        try:
            done = subprocess.run(
                command,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                pass_fds=[descriptor],
                cwd="/",
                env={},
                timeout=TIMEOUT_S,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise DriverUnavailable(f"qemu-img took over {TIMEOUT_S:g} s") from error
        finally:
            if is_root:
                os.fchown(descriptor, facts.st_uid, facts.st_gid)
        if done.returncode != 0:
            raise DriverUnavailable(_complaint(done))

    def _unprivileged(self) -> list[str]:
        words = [_found("setpriv"), "--no-new-privs", "--inh-caps=-all", "--ambient-caps=-all"]
        if os.geteuid() == 0:
            who = str(self.uid)
            words += ["--reuid", who, "--regid", who, "--clear-groups", "--bounding-set=-all"]
        return words


def layer_size(descriptor: int) -> int:
    """How large the disk is that the layer stands for, in bytes, as its header says."""
    head = os.pread(descriptor, _HEADER.size, 0)
    if len(head) < _HEADER.size:
        raise DriverRefused("its file is cut short")
    magic, version, size_bytes, features = _HEADER.unpack(head)
    if magic != _MAGIC or version != _VERSION or features & ~_NEEDS_REPAIR:
        raise DriverRefused("its file is not one that Volant made")
    return int(size_bytes)


def _name(descriptor: int) -> str:
    return f"/proc/self/fd/{descriptor}"


def _limits(file_bytes: int) -> list[str]:
    limits = {"fsize": file_bytes, "as": _MEMORY_BYTES, "cpu": _CPU_S, "core": 0}
    return [_found("prlimit"), *(f"--{name}={limit}:{limit}" for name, limit in limits.items())]


def _found(program: str) -> str:
    path = shutil.which(program)
    if path is None:
        package = "util-linux" if program in ("setpriv", "prlimit") else "qemu-utils"
        raise DriverRefused(f"cannot find {program}: install {package}")
    return path


def _complaint(done: subprocess.CompletedProcess[bytes]) -> str:
    lines = (line.removeprefix("qemu-img: ") for line in done.stderr.decode(errors="replace").splitlines())
    said = "; ".join(line for line in lines if line.strip() and not line.startswith("warning: "))
    # It may repeat what was in the file: nothing of it may steer a terminal.
    return "".join(c if c.isprintable() else "?" for c in said)[:400] or f"qemu-img ended with {done.returncode}"
