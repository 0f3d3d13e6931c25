"""The bound on what a guest can write to its serial console, and through it to the host's disk.

QEMU appends to console.log for as long as it can and knows no bound. Two are put on it:

* Every VMM runs under a file size limit, at which the kernel refuses QEMU's writes and QEMU drops the text. Without
  disks it is `limits.FILE_LIMIT_BYTES` and holds whether or not a daemon is there.
* `tend`, called whenever the driver looks at its VMs and at every beat of its watch, moves a log past `KEEP_BYTES`
  aside to console.log.1 and empties it.

One limit holds for all files of a process, so a VM with disks has one as large as its largest disk: there a log is as
large as what the guest writes between two beats, or until a daemon is there again. Nothing else would hold without
one: what is no file (a pipe, sealed memory) either blocks QEMU when it is full or is gone when QEMU is.

What QEMU itself says (vmm.log) is bounded in the same way.

How much has been moved aside is counted beside the log (console.log.moved), so that whoever follows one (`transcript`)
knows the place of every byte that is left: a log that is emptied and has grown again looks like one that was not.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterable
from pathlib import Path

from volant.drivers.qemu.limits import FILE_LIMIT_BYTES
from volant.drivers.qemu.rundir import CONSOLE_LOG, VMM_LOG

KEEP_BYTES = 1 << 20

MOVED = ".moved"
ASIDE = ".1"

ONE_AT_A_TIME = threading.Lock()
"""Looks and beats come from several threads: two that move the same log would move what the other has just emptied, and
who reads meanwhile would read it twice."""


def tend_all(directories: Iterable[Path]) -> None:
    """Move the long logs of many VMs aside. Blocks for about a millisecond each that is long."""
    for directory in directories:
        tend(directory)


def tend(directory: Path) -> None:
    """Move the long logs of one VM aside. Harmless when there are none. What is written meanwhile may be lost."""
    for name in (CONSOLE_LOG, VMM_LOG):
        with contextlib.suppress(OSError), ONE_AT_A_TIME:
            _tend(directory, name)


def _tend(directory: Path, name: str) -> None:
    log = directory / name
    size = log.stat().st_size
    if size <= KEEP_BYTES:
        return
    beside = directory / f".{name}.new"
    with log.open("rb") as old, beside.open("wb") as new:
        old.seek(max(0, size - FILE_LIMIT_BYTES))  # The newest text, and never more of it than a limit's worth.
        new.write(old.read(FILE_LIMIT_BYTES))
    _count(directory, name, size)
    beside.replace(directory / f"{name}{ASIDE}")
    # Emptied in place, not replaced: QEMU goes on writing to the file it has open, at its end.
    os.truncate(log, 0)


def _count(directory: Path, name: str, size: int) -> None:
    """Add to what has been moved. Before the move: with a full disk, nothing has happened then."""
    count = directory / f"{name}{MOVED}"
    beside = directory / f".{name}{MOVED}.new"
    beside.write_text(str(moved(count) + size), encoding="ascii")
    beside.replace(count)


def moved(count: Path) -> int:
    """Bytes of a log that have been moved aside or dropped so far. Raises OSError but for a file that is not there."""
    try:
        return int(count.read_text(encoding="ascii"))
    except (FileNotFoundError, ValueError):
        return 0
