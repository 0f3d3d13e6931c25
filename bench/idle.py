"""`idle`: what 1,000 VMs cost while nothing changes. One reader listens, so a write would be seen as its event.

The daemon brings every VM round once in a while, whatever happens: the window is long enough to hold that once.
"""

from __future__ import annotations

import time

from bench.figures import Spread
from bench.host import Window, written_bytes
from bench.run import Run, deploy, settle, wait_running
from bench.servers import simulated
from bench.streams import Readers


def measure(run: Run) -> None:
    """Print it."""
    count, seconds = 1_000, run.pick(60, 10)
    with simulated() as daemon:
        deploy(daemon, "fleet", count)
        wait_running(daemon, count)
        settle(daemon)
        readers = Readers()
        try:
            readers.open(daemon.address, "/events", [None])
            readers.settle(1.0)
            before, written = len(readers.all[0].ids), written_bytes(daemon.pid)
            window, until = Window(daemon.pid), time.monotonic() + seconds
            while time.monotonic() < until:
                readers.turn(until - time.monotonic())
            window.close()
            writes = len(readers.all[0].ids) - before
            written = written_bytes(daemon.pid) - written
        finally:
            readers.close()
    run.out.row(
        f"{count:,} VMs at rest for {seconds} s", f"{window.cpu_s * 1e3:.0f} ms of CPU, {written} bytes to disk"
    )
    run.out.goal("writes", Spread.of([writes]), 0, "<=", "writes")
    run.out.goal("share of a core", Spread.of([window.share * 100]), 1, "<=", "%")
