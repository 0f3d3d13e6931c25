"""The bound on what a guest can write to its serial console, and through it to the host's disk.

QEMU appends to console.log for as long as it can and knows no bound. Two are put on it: `tend`, called whenever the
driver looks at its VMs, moves a log past `KEEP_BYTES` aside to console.log.1 and empties it; and every VMM runs under
a file size limit (`FILE_LIMIT_BYTES`), at which the kernel refuses QEMU's writes and QEMU drops the text. So a VM
never holds more than the limit and one log aside, whether or not a daemon is there, and the newest text is kept
unless the guest writes more between two looks than the limit holds.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from pathlib import Path

from volant.drivers.qemu.rundir import CONSOLE_LOG

KEEP_BYTES = 1 << 20
FILE_LIMIT_BYTES = 4 << 20


def tend(directory: Path) -> None:
    """Move a long console log of one VM aside. Harmless when there is none. What is written meanwhile may be lost."""
    log = directory / CONSOLE_LOG
    with contextlib.suppress(OSError):
        if log.stat().st_size > KEEP_BYTES:
            beside = directory / f".{CONSOLE_LOG}.new"
            shutil.copyfile(log, beside)
            beside.replace(directory / f"{CONSOLE_LOG}.1")
            # Emptied in place, not replaced: QEMU goes on writing to the file it has open, at its end.
            os.truncate(log, 0)
