"""Control groups (v2) for VMMs: a leaf each, with its limits, below one parent.

    <cgroup2>/<parent>/<mark of the VM>/    memory.max, pids.max, cpu.max, ... and one process: its VMM

A leaf has its limits before anything is in it, and the process that becomes QEMU puts itself into it (`ENTER`) before
it gives up the right to: nothing of QEMU ever runs outside. Nobody else's process is moved, ever, and not ours either.
So controllers are switched on only where the kernel lets us without that, and what a host does not have is said
(`find` returns the sentence) instead of promised.

All methods touch the hierarchy and raise OSError.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import select
from collections.abc import Mapping
from pathlib import Path

CONTROLLERS = ("memory", "pids", "cpu", "io")
DEFAULT_PARENT = "volant"

ENTER = 'echo 0 > "$1" && shift && exec "$@"'
"""For `sh -c ENTER volant <leaf>/cgroup.procs <command...>`: go into the leaf and become the command, or fail."""

_OPTIONAL = frozenset({"memory.swap.max", "memory.oom.group", "io.weight"})
"""Not there on every kernel: without swap accounting, before 4.19, and without a scheduler that knows weights."""

_MOUNT = re.compile(r"^\S+ \S+ \S+ \S+ (\S+) .*? - cgroup2 ", re.MULTILINE)
_EMPTY_S = 0.25


class Cgroups:
    """The groups below `parent`, with the `controllers` that hold there."""

    def __init__(self, parent: Path, controllers: frozenset[str]) -> None:
        self.parent = parent
        self.controllers = controllers

    def make(self, name: str, shares: Mapping[str, str]) -> Path:
        """An empty leaf with those limits, as far as there is a controller for them. One of that name is replaced."""
        leaf = self.parent / name
        self.remove(name)
        self._mkdir(leaf)
        for file, text in shares.items():
            if file.partition(".")[0] in self.controllers:
                _set(leaf / file, text)
        return leaf

    def remove(self, name: str) -> None:
        """Remove a leaf that is empty or about to be. Harmless when there is none; OSError while anybody is in it."""
        leaf = self.parent / name
        try:
            _until_empty(leaf)
            self._rmdir(leaf)
        except FileNotFoundError:
            return

    def _mkdir(self, leaf: Path) -> None:
        leaf.mkdir(mode=0o755)

    def _rmdir(self, leaf: Path) -> None:
        leaf.rmdir()

    def __str__(self) -> str:
        held = [name for name in CONTROLLERS if name in self.controllers]
        return f"{', '.join(held)} below {self.parent}"


def find(parent: str = "", *, root: Path | None = None, own: str | None = None) -> Cgroups | str:
    """The groups to use, made and switched on as far as may be; or a sentence that says why there are none.

    `parent` is relative to the root of the hierarchy; left out, it is `volant` there or, where that is not allowed,
    beside our own group, which is ours if somebody delegated it. `root` and `own` are looked up when left out.
    """
    root = root or _mounted()
    if root is None:
        return "none: no cgroup v2 hierarchy is mounted"
    if not set(_words(root / "cgroup.controllers")) & set(CONTROLLERS):
        return f"none: {root} has none of the controllers {', '.join(CONTROLLERS)} (they are in use by cgroup v1)"
    beside = root / (_own() if own is None else own).strip("/")
    reason = ""
    for place in _places(parent, root, beside):
        try:
            found = _switched_on(root, place)
        except OSError as error:
            reason = reason or f"none: {error.filename or place}: {error.strerror}"
            continue
        if not found.controllers:
            reason = reason or f"none: no controller can be switched on for {place}"
        elif not _may_go(beside, place):
            reason = reason or f"none: processes may not be put into {place} by uid {os.geteuid()}"
        else:
            return found
    return f"{reason}. Delegate a group to the daemon, or name one with --cgroup-parent"


def _places(parent: str, root: Path, beside: Path) -> list[Path]:
    if parent:
        return [root / parent]
    return [root / DEFAULT_PARENT, *([beside.parent / DEFAULT_PARENT] if beside != root else [])]


def _switched_on(root: Path, parent: Path) -> Cgroups:
    parent.mkdir(parents=True, exist_ok=True)
    for level in [*reversed([above for above in parent.parents if above.is_relative_to(root)]), parent]:
        there = set(_words(level / "cgroup.controllers")) - set(_words(level / "cgroup.subtree_control"))
        for name in [one for one in CONTROLLERS if one in there]:
            with contextlib.suppress(OSError):  # Not ours to switch on here: told by what is on in the end.
                _set(level / "cgroup.subtree_control", f"+{name}")
    return Cgroups(parent, frozenset(_words(parent / "cgroup.subtree_control")) & frozenset(CONTROLLERS))


def _may_go(ours: Path, parent: Path) -> bool:
    """Whether a process of ours may go below `parent`: the kernel asks for the right to the group above both."""
    above = Path(os.path.commonpath([ours, parent]))
    return os.access(parent, os.W_OK) and os.access(above / "cgroup.procs", os.W_OK)


def _mounted() -> Path | None:
    found = _MOUNT.search(Path("/proc/self/mountinfo").read_text())
    return Path(found[1].encode().decode("unicode_escape")) if found else None


def _own() -> str:
    lines = Path("/proc/self/cgroup").read_text().splitlines()
    return next((line.removeprefix("0::") for line in lines if line.startswith("0::")), "/")


def _words(file: Path) -> list[str]:
    return [word.removeprefix("+") for word in file.read_text().split()]


def _set(file: Path, text: str) -> None:
    try:
        descriptor = os.open(file, os.O_WRONLY | os.O_CLOEXEC)  # Not created: a file that is not there is no limit.
    except FileNotFoundError:
        if file.name in _OPTIONAL:
            return
        raise
    try:
        os.write(descriptor, text.encode())
    finally:
        os.close(descriptor)


def _until_empty(leaf: Path) -> None:
    """Wait a moment for processes that have ended and are still being put away. OSError if there are others."""
    with (leaf / "cgroup.events").open("rb", buffering=0) as events:
        changes = select.poll()
        changes.register(events, select.POLLPRI)
        for _ in range(4):
            events.seek(0)
            if b"populated 0" in events.read():
                return
            changes.poll(_EMPTY_S * 1000)
    raise OSError(errno.EBUSY, os.strerror(errno.EBUSY), str(leaf))
