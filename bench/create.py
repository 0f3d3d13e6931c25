"""`create`: durable `POST /vms` from 64 connections, beside the bare endpoint and beside lone commits of SQLite.

Three figures, because one POST sets off more than itself, and all of it competes for the daemon's one core:

    by itself         API and store without controllers (`bench.admission`): decode, validate, hand out an address,
                      object row and event row, one fsync for the group, answer
    nothing to start  the plugin's artifacts are still being downloaded, from a server that never answers. The
                      same; then the VM controller looks at each VM and writes, once, that it waits
    every VM starts   the controller launches each VM on the simulated hypervisor and writes what it sees

Every round has a new daemon with an empty database, so no round pays for the VMs of the one before.
"""

from __future__ import annotations

import itertools
import socket
import time
from collections.abc import Iterator

from bench.commits import commit
from bench.figures import Spread, ratios
from bench.load import closed
from bench.report import NotMeasured
from bench.rounds import CONNECTIONS, Round, cpu_times, rates, show, slice_of
from bench.run import Run, running, settle, wait_running
from bench.servers import PLUGIN, Server, admission, baseline, simulated, temporary
from bench.wire import request

WARM_UP = 200
SLICES = 4
MOST = 5_000
"""VMs made beforehand as requests, for one slice: more than the daemon can take in its time."""


class Side:
    """The rounds of one kind of creation, each beside its rounds of the bare endpoint."""

    def __init__(self) -> None:
        self.bare: list[Round] = []
        self.ours: list[Round] = []
        self.running_per_s: list[float] = []

    def begin(self) -> None:
        """One more round."""
        self.bare.append(Round())
        self.ours.append(Round())


def measure(run: Run) -> None:
    """Print it."""
    seconds = run.pick(0.5, 0.3)
    alone, waiting, starting = Side(), Side(), Side()
    lone: list[float] = []
    with baseline() as bare, temporary() as directory:
        for _ in range(run.pick(4, 1)):
            _round_alone(bare, alone, seconds)
            _round_waiting(bare, waiting, seconds)
            _round_starting(bare, starting, seconds)
            lone.append(commit(directory, 2 * seconds).rate)
    out = run.out
    show(out, "bare endpoint, POST", alone.bare + waiting.bare + starting.bare)
    for side, what in ((alone, "by itself"), (waiting, "nothing to start"), (starting, "every VM starts")):
        show(out, f"POST /vms, {what}", side.ours)
        out.goal(f"{what} / bare endpoint", ratios(rates(side.ours), rates(side.bare)), 0.40, ">=")
        cpu = ratios(cpu_times(side.bare), cpu_times(side.ours))
        out.row(f"  by CPU time: bare endpoint / {what}", cpu.text("x"))
    out.row("POST -> all of them run", Spread.of(starting.running_per_s).text("VM/s"))
    out.row("SQLite, lone synchronous=FULL commits", Spread.of(lone).text("/s"))
    out.row("by itself / lone commits", ratios(rates(alone.ours), lone).text("x"))


def _round_alone(bare: Server, side: Side, seconds: float) -> None:
    with admission() as server:
        side.begin()
        for n, requests in enumerate(_creates(server, PLUGIN)):
            if n:
                _echo(bare, seconds, side.bare[-1])
                slice_of(server, requests, seconds, 201, side.ours[-1])
            else:
                closed(server.address, requests, connections=CONNECTIONS, seconds=30).check(201)


def _round_waiting(bare: Server, side: Side, seconds: float) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent, simulated("--artifact-allow", "127.0.0.0/8") as daemon:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/rootfs"
        daemon.call("POST", "/plugins", {"name": "slow", "version": "1", "rootfs": {"format": "raw", "url": url}})
        side.begin()
        for n, requests in enumerate(_creates(daemon, "slow")):
            if n:
                _echo(bare, seconds, side.bare[-1])
                slice_of(daemon, requests, seconds, 201, side.ours[-1])
            else:
                closed(daemon.address, requests, connections=CONNECTIONS, seconds=30).check(201)
            settle(daemon, 0.2)
        if running(daemon):
            raise NotMeasured("VMs run whose artifacts are not there")


def _round_starting(bare: Server, side: Side, seconds: float) -> None:
    with simulated() as daemon:
        total, took = 0, 0.0
        side.begin()
        for n, requests in enumerate(_creates(daemon, PLUGIN)):
            if n:
                _echo(bare, seconds, side.bare[-1])
                began = time.perf_counter()
                total += slice_of(daemon, requests, seconds, 201, side.ours[-1])
                wait_running(daemon, WARM_UP + total)
                took += time.perf_counter() - began
            else:
                closed(daemon.address, requests, connections=CONNECTIONS, seconds=30).check(201)
                wait_running(daemon, WARM_UP)
            settle(daemon, 0.2)
        side.running_per_s.append(total / took)


def _creates(daemon: Server, plugin: str) -> Iterator[Iterator[bytes]]:
    """Requests to warm up with, then those of each slice."""
    for n, most in enumerate([WARM_UP] + [MOST] * SLICES):
        bodies = ({"name": f"vm-{n}-{k}", "plugin": plugin} for k in range(most))
        yield iter([request(daemon.address, "POST", "/vms", body) for body in bodies])


def _echo(bare: Server, seconds: float, into: Round) -> None:
    body = {"name": "vm-1-1", "plugin": PLUGIN}
    slice_of(bare, itertools.repeat(request(bare.address, "POST", "//echo", body)), seconds, 201, into)
