"""`memory`: resident memory of the daemon with 0, 1,000 and 10,000 running simulated VMs.

A simulated guest lives in the daemon, so what is shown per VM is more than a real one costs it.
"""

from __future__ import annotations

from bench.host import usage
from bench.run import Run, deploy, settle, wait_running
from bench.servers import simulated


def measure(run: Run) -> None:
    """Print it."""
    with simulated() as daemon:
        settle(daemon)
        empty = usage(daemon.pid).rss_mib
        run.out.row("no VM", f"{empty:.0f} MiB")
        total = 0
        for name, count in (("small", 1_000), ("large", run.pick(9_000, 2_000))):
            deploy(daemon, name, count)
            total += count
            wait_running(daemon, total)
            settle(daemon)
            rss = usage(daemon.pid).rss_mib
            run.out.row(f"{total:,} VMs", f"{rss:.0f} MiB, {(rss - empty) * 1024 / total:.1f} KiB a VM")
