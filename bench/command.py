"""`command`: how long the `volant` command takes to start, beside the interpreter that does nothing.

    floor     python -c pass, and an interpreter that loads what commands in Python usually ask with: httpx2
    overview  volant --help: click and the table of commands
    list      volant vms list of an empty host: the client, one connection, one answer
    get       volant vms get -o json of one VM
    peers     what kubectl and docker take to say their version, where they are installed: no server is asked

Processor time stands beside the clock, because a busy machine shows in the one and not in the other. Every program has
its bytecode at hand, as after an installation: each is run once before it counts.
"""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping

from bench.figures import Spread, ratios
from bench.report import NotMeasured
from bench.run import Run
from bench.servers import PLUGIN, simulated, temporary

FLOOR, HTTPX = "python -c pass", "python -c 'import httpx2'"
OURS = ("volant --help", "volant vms list", "volant vms get -o json")
GOAL_MS = 100
PEERS = {"kubectl": ("version", "--client"), "docker": ("--version",)}


class Times:
    """Milliseconds of the clock and of the processor, a pair a round."""

    def __init__(self) -> None:
        self.wall_ms: list[float] = []
        self.cpu_ms: list[float] = []


def measure(run: Run) -> None:
    """Print it."""
    with simulated() as daemon, temporary() as place:
        daemon.call("POST", "/vms?wait=ready", {"name": "web", "plugin": PLUGIN})
        environ = {**os.environ, "PYTHONPYCACHEPREFIX": str(place), "VOLANT_URL": daemon.url, "HOME": str(place)}
        environ = {k: v for k, v in environ.items() if k not in ("PYTHONDONTWRITEBYTECODE", "KUBECONFIG")}
        found = {name: Times() for name in _commands()}
        for words in _commands().values():
            _once(words, environ, Times())
        for _ in range(run.pick(15, 5)):
            for name, words in _commands().items():
                _once(words, environ, found[name])
    out = run.out
    for name, times in found.items():
        wall, cpu = Spread.of(times.wall_ms), Spread.of(times.cpu_ms)
        out.row(name, f"{wall.text('ms')}, of the processor {cpu.text('ms')}")
    for name in OURS:
        ours = found[name].cpu_ms
        out.row(f"  {name} / floor", ratios(ours, found[FLOOR].cpu_ms).text("x"))
        out.row(f"  {name} / import httpx2", ratios(ours, found[HTTPX].cpu_ms).text("x"))
        out.goal(f"{name}, of the processor", Spread.of(ours), GOAL_MS, "<=", "ms")


def _commands() -> dict[str, tuple[str, ...]]:
    python = {
        FLOOR: ("-c", "pass"),
        HTTPX: ("-c", "import httpx2"),
        OURS[0]: ("-m", "volant", "--help"),
        OURS[1]: ("-m", "volant", "vms", "list"),
        OURS[2]: ("-m", "volant", "vms", "get", "web", "-o", "json"),
    }
    ours = {name: (sys.executable, *words) for name, words in python.items()}
    peers = {" ".join((name, *words)): (shutil.which(name) or "", *words) for name, words in PEERS.items()}
    return {**ours, **{name: words for name, words in peers.items() if words[0]}}


def _once(words: tuple[str, ...], environ: Mapping[str, str], into: Times) -> None:
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    done = subprocess.run(words, capture_output=True, timeout=30, check=False, env=environ)
    wall = time.perf_counter() - began
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode != 0:
        raise NotMeasured(f"{' '.join(words)} ended with {done.returncode}: {done.stderr.decode()[-200:]}")
    into.wall_ms.append(wall * 1e3)
    into.cpu_ms.append((after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime) * 1e3)
