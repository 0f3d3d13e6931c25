"""`shutdown`: SIGTERM with 100 open event streams: how long until it is gone, and whether every stream got `bye`."""

from __future__ import annotations

import signal
import time

from bench.figures import Spread
from bench.report import NotMeasured
from bench.run import Run, deploy, wait_running
from bench.servers import simulated
from bench.streams import Readers

READERS = 100
VMS = 10


def measure(run: Run) -> None:
    """Print it."""
    rounds = [_stop() for _ in range(run.pick(5, 2))]
    run.out.row("exit status", ", ".join(str(status) for _, status, _ in rounds))
    run.out.row(f"streams that ended with bye, of {READERS}", ", ".join(str(byes) for _, _, byes in rounds))
    run.out.goal("SIGTERM -> the process is gone", Spread.of(ms for ms, _, _ in rounds), 1000, "<=", "ms")


def _stop() -> tuple[float, int, int]:
    with simulated() as daemon:
        deploy(daemon, "fleet", VMS)
        wait_running(daemon, VMS)
        readers = Readers()
        try:
            readers.open(daemon.address, "/events", [None] * READERS)
            readers.settle(0.3)
            began = time.perf_counter()
            daemon.process.send_signal(signal.SIGTERM)
            while daemon.process.poll() is None:
                if time.perf_counter() > began + 20:
                    raise NotMeasured("the daemon did not end within 20 s of SIGTERM")
                readers.turn(0.002)
            took = time.perf_counter() - began
            readers.until("every stream has ended", lambda: not readers.open_count, 5)
            byes = sum(reader.last_event == b"bye" for reader in readers.all)
        finally:
            readers.close()
        return took * 1e3, daemon.process.returncode, byes
