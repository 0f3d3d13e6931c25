"""Control groups for tests: of the kernel where it has them, and otherwise a directory tree that stands for them.

A tree of plain files keeps what is written and enforces nothing. What it can show is the order of things: which files
of which group are written with what, and who wrote to `cgroup.procs`. That a kernel takes these very words and keeps to
them is shown on one that does (tests/e2e/test_vmm_shares_kernel.py).
"""

from __future__ import annotations

import os
from collections.abc import Collection
from pathlib import Path

from volant.drivers.qemu.cgroup import CONTROLLERS, Cgroups, find

OF_A_LEAF = ("memory.max", "memory.swap.max", "memory.oom.group", "pids.max", "cpu.max", "cpu.weight", "io.weight")


class StandIn(Cgroups):
    """A tree whose leaves have the files that the kernel would give them, but for those that are `missing`."""

    def __init__(
        self, parent: Path, controllers: Collection[str] = CONTROLLERS, *, missing: Collection[str] = ()
    ) -> None:
        super().__init__(parent, frozenset(controllers))
        self.missing = missing
        parent.mkdir(parents=True, exist_ok=True)

    def _mkdir(self, leaf: Path) -> None:
        super()._mkdir(leaf)
        (leaf / "cgroup.events").write_text("populated 0\nfrozen 0\n")
        for file in {"cgroup.procs", *OF_A_LEAF} - set(self.missing):
            (leaf / file).touch()

    def _rmdir(self, leaf: Path) -> None:
        for file in leaf.iterdir():
            file.unlink()
        super()._rmdir(leaf)


def a_tree(root: Path, *groups: str, has: Collection[str] = CONTROLLERS, passes: Collection[str] = CONTROLLERS) -> Path:
    """A root and groups below it that have the controllers `has` and pass `passes` on to those below."""
    for group in ("", *groups):
        (root / group).mkdir(parents=True, exist_ok=True)
        (root / group / "cgroup.procs").touch()
        (root / group / "cgroup.controllers").write_text(" ".join(has) + "\n")
        (root / group / "cgroup.subtree_control").write_text(" ".join(passes) + "\n")
    return root


def the_kernels() -> Path | None:
    """Where this host has control groups of version 2 that we may make groups in, with or without controllers."""
    mounts = [line.split() for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    found = [Path(words[4]) for words in mounts if words[words.index("-") + 1] == "cgroup2"]
    return next((path for path in found if os.access(path, os.W_OK)), None)


def of_the_kernel(root: Path, parent: str) -> Cgroups:
    """Groups that the kernel holds, with whatever controllers it has left for them."""
    found = find(parent, root=root)
    if isinstance(found, Cgroups):
        return found
    (root / parent).mkdir(exist_ok=True)
    return Cgroups(root / parent, frozenset())
