"""Who this daemon is to its successor, and whether a predecessor may still live.

A process is named by its pid, its start time and the boot it belongs to, as guests are: a recycled pid is somebody
else's.
"""

from __future__ import annotations

import os
import platform

from volant.drivers.processes import Identity, boot_id, identity, stat
from volant.errors import StartupError
from volant.store import Holder


def myself() -> Holder:
    """This process."""
    found = identity(os.getpid())
    if found is None:
        raise StartupError("cannot start: /proc does not show this process. Mount it.")
    return Holder(node=platform.node(), pid=found.pid, start_ticks=found.start_ticks, boot_id=found.boot_id)


def may_live(holder: Holder) -> bool:
    """Whether that daemon may still be acting: it lives here, or is of another host, of which nothing is known here."""
    if holder.node != platform.node():
        return True
    if holder.boot_id != boot_id():
        return False
    known = Identity(pid=holder.pid, start_ticks=holder.start_ticks, boot_id=holder.boot_id)
    seen = stat(holder.pid)
    return seen is not None and not seen.is_dead and identity(holder.pid) == known
