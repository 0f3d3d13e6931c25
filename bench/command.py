"""`command`: how long the `volant` command takes to start, beside the interpreter that does nothing.

    floor     python -c pass
    overview  volant --help: click and the table of commands
    list      volant vms list of an empty host: the client, one connection, one answer

Processor time stands beside the clock, because a busy machine shows in the one and not in the other.
"""

from __future__ import annotations

import resource
import subprocess
import sys
import time

from bench.figures import Spread
from bench.report import NotMeasured
from bench.run import Run
from bench.servers import simulated


def measure(run: Run) -> None:
    """Print it."""
    with simulated() as daemon:
        host, port = daemon.address
        ask = ("vms", "list", "--url", f"http://{host}:{port}")
        commands = {
            "python -c pass": ("-c", "pass"),
            "volant --help": ("-m", "volant", "--help"),
            "volant vms list": ("-m", "volant", *ask),
        }
        walls: dict[str, list[float]] = {name: [] for name in commands}
        cpus: dict[str, list[float]] = {name: [] for name in commands}
        for _ in range(run.pick(15, 5)):
            for name, words in commands.items():
                wall_ms, cpu_ms = _once(words)
                walls[name].append(wall_ms)
                cpus[name].append(cpu_ms)
    for name in commands:
        run.out.row(name, f"{Spread.of(walls[name]).text('ms')}, of the processor {Spread.of(cpus[name]).text('ms')}")
    run.out.goal("volant --help, of the processor", Spread.of(cpus["volant --help"]), 100, "<=", "ms")


def _once(words: tuple[str, ...]) -> tuple[float, float]:
    """Milliseconds of the clock and of the processor."""
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    done = subprocess.run([sys.executable, *words], capture_output=True, timeout=30, check=False)
    wall = time.perf_counter() - began
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode != 0:
        raise NotMeasured(f"{' '.join(words)} ended with {done.returncode}: {done.stderr.decode()[-200:]}")
    return wall * 1e3, (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime) * 1e3
