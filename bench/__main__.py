"""`python -m bench [NAME...] [--quick]`: measure, print, and exit 0 unless something could not be measured."""

from __future__ import annotations

import argparse
import importlib
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType

from bench import host
from bench.report import NotMeasured, Report
from bench.run import Run
from bench.servers import ROOT, temporary

TITLES = {
    "create": "durable POST /vms, 64 connections",
    "get": "GET /vms/{name}, 64 connections",
    "lists": "GET /vms of 1,000 VMs, whole and filtered, one connection",
    "patch": "PATCH replicas, open loop",
    "scale": "replicas 0 -> n on the simulated hypervisor, 10 event readers",
    "boot": "POST -> first page of a real guest, beside the same QEMU command started bare",
    "plugins": "the phases of a boot, from POST to the first answer, beside the same QEMU command started bare",
    "crowd": "guests that are all asked for at once",
    "roll": "three real guests replaced one after another, beside their boots",
    "life": "POST -> running -> DELETE answered, beside spawn -> running -> killed of the same QEMU command",
    "idle": "1,000 VMs, nothing changes",
    "events": "write -> event at every reader",
    "memory": "resident memory of the daemon",
    "compaction": "status writes into a store that drops old events, beside one that drops none",
    "hogs": "write latency beside processes that burn CPU",
    "shutdown": "SIGTERM with 100 open event streams",
    "apply": "POST /apply of 1,000 objects, first and second time, beside lone POSTs and one SQLite transaction",
    "command": "start of the volant command, beside python -c pass",
}
WHOLE_S = {False: 600, True: 180}
ONE_S = {False: 150, True: 60}
GUESTS_S = {"plugins": {False: 420, True: 240}, "crowd": {False: 360, True: 120}, "roll": {False: 240, True: 120}}
"""Of those whose guests do real work. They come on top of the whole."""


def main() -> int:
    """Run what was asked for."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"what to measure (everything): {', '.join(TITLES)}")
    parser.add_argument("--quick", action="store_true", help="fewer and shorter rounds: under two minutes, coarser")
    parser.add_argument("--hello", type=Path, default=ROOT / ".cache" / "volant" / "hello", help="the demo guest")
    plugins = ROOT / ".cache" / "volant" / "plugins"
    parser.add_argument("--plugins", type=Path, default=plugins, help="what `make plugins` has built")
    parser.add_argument("--guests", type=int, help="of crowd (50; quick: 10)")
    parser.add_argument("--writes", type=int, help="of compaction, in all; 10000000 takes about ten minutes or more")
    options = parser.parse_args()
    unknown = sorted(set(options.names) - set(TITLES))
    if unknown:
        parser.error(f"cannot measure {', '.join(unknown)}; known: {', '.join(TITLES)}")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    signal.signal(signal.SIGALRM, _too_long)
    run = Run(
        Report(),
        quick=options.quick,
        hello=options.hello.resolve(),
        plugins=options.plugins.resolve(),
        writes=options.writes,
        guests=options.guests,
    )
    _introduce()
    names = options.names or list(TITLES)
    end = time.monotonic() + WHOLE_S[run.quick] + sum(_extra_s(run, name) for name in names)
    for name in names:
        _measure(run, name, end)
    return run.out.summary()


def _introduce() -> None:
    host.raise_descriptor_limit()
    os.sched_setaffinity(0, host.CLIENT_CORES)
    with temporary() as directory:
        kind = file_system_text(directory)
    print("Medians [lowest-highest] of interleaved rounds.")
    print(f"{len(host.ALL_CORES)} cores, Python {sys.version.split()[0]}, database on {kind}.")
    print(f"Server on core {min(host.SERVER_CORES)}, clients on core {max(host.CLIENT_CORES)}.")
    print("Foreign load is what others on this machine took of all cores. Ratios bear some of it, rates none.")
    if host.SERVER_CORES == host.CLIENT_CORES:
        print("One core only: servers and clients share it, and every figure suffers.")


def file_system_text(directory: Path) -> str:
    """Its type, and a warning where commits are not durable."""
    kind = host.file_system(directory)
    return f"{kind} (NOT a disk: commits cost nothing here; set TMPDIR)" if kind in {"tmpfs", "ramfs"} else kind


def _measure(run: Run, name: str, end: float) -> None:
    run.out.open(name, TITLES[name])
    measure: Callable[[Run], None] = importlib.import_module(f"bench.{name}").measure
    try:
        left = end - time.monotonic()
        if left < 5:
            raise NotMeasured("no time is left for it; name it alone")
        signal.setitimer(signal.ITIMER_REAL, min(left, ONE_S[run.quick] + _extra_s(run, name)))
        measure(run)
    except (NotMeasured, OSError, ValueError, KeyError) as exc:
        run.out.fail(str(exc) if isinstance(exc, NotMeasured) else repr(exc))
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        run.out.close()


def _extra_s(run: Run, name: str) -> float:
    """What a measurement may take beyond what all may: by its guests, and by writes at a slow disk's rate."""
    if name == "compaction":
        return (run.writes or 0) / 2_000
    return GUESTS_S[name][run.quick] - ONE_S[run.quick] if name in GUESTS_S else 0


def _too_long(_signal: int, _frame: FrameType | None) -> None:
    raise NotMeasured("it took too long and was given up")


if __name__ == "__main__":
    sys.exit(main())
