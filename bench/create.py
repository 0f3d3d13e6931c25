"""`create`: durable `POST /vms` from 64 connections, beside the bare endpoint and beside lone commits of SQLite.

Two figures, because one POST sets off more than itself:

    admission        VMs created with `power: stopped`: decode, validate, hand out an address, object row and event row,
                     one fsync for the group, answer. The controllers find nothing to start
    with every start VMs as users create them: the answers compete for the core with controllers that launch each VM
                     on the simulated hypervisor and write what they see

Every round has a new daemon with an empty database, so no round pays for the VMs of the one before.
"""

from __future__ import annotations

import itertools
from typing import Any, NamedTuple

from bench.commits import commit
from bench.figures import Spread, ratios
from bench.host import Window
from bench.load import Load, closed
from bench.report import NotMeasured
from bench.run import Run, wait_running
from bench.servers import PLUGIN, Server, baseline, simulated, temporary
from bench.wire import request

CONNECTIONS = 64
WARM_UP = 200


class Round(NamedTuple):
    """One side of one round."""

    rate: float
    p50: float
    p99: float
    cpu_us: float
    foreign: float
    converged: float = 0.0


def measure(run: Run) -> None:
    """Print it."""
    seconds, most = run.pick(2.0, 1.0), run.pick(8000, 4000)
    bare: list[Round] = []
    admission: list[Round] = []
    started: list[Round] = []
    lone: list[float] = []
    with baseline() as server, temporary() as directory:
        for _ in range(run.pick(5, 2)):
            bare.append(_bare(server, seconds))
            admission.append(_create(seconds, most, power="stopped"))
            started.append(_create(seconds, most))
            lone.append(commit(directory, seconds / 2).rate)
    out = run.out
    _row(run, "bare endpoint, POST", bare)
    _row(run, "POST /vms, admission", admission)
    _row(run, "POST /vms, with every start", started)
    out.row("  of those, until running", Spread.of(r.converged for r in started).text("VM/s"))
    out.row("SQLite, lone synchronous=FULL commits", Spread.of(lone).text("/s"))
    rate = [r.rate for r in bare]
    out.goal("admission / bare endpoint", ratios([r.rate for r in admission], rate), 0.40, ">=")
    out.goal("with every start / bare endpoint", ratios([r.rate for r in started], rate), 0.40, ">=")
    out.row("admission / lone commits", ratios([r.rate for r in admission], lone).text("x"))


def _bare(server: Server, seconds: float) -> Round:
    body = {"name": "vm-1", "plugin": PLUGIN}
    requests = itertools.repeat(request(server.address, "POST", "//echo", body))
    window = Window(server.pid)
    load = closed(server.address, requests, connections=CONNECTIONS, seconds=seconds).check(201)
    return _round(load, window.close())


def _create(seconds: float, most: int, **extra: Any) -> Round:
    with simulated() as daemon:
        bodies = [{"name": f"vm-{n}", "plugin": PLUGIN, **extra} for n in range(WARM_UP + most)]
        requests = [request(daemon.address, "POST", "/vms", body) for body in bodies]
        closed(daemon.address, iter(requests[:WARM_UP]), connections=CONNECTIONS, seconds=30).check(201)
        wait_running(daemon, 0 if extra else WARM_UP)
        window = Window(daemon.pid)
        load = closed(daemon.address, iter(requests[WARM_UP:]), connections=CONNECTIONS, seconds=seconds).check(201)
        result = _round(load, window.close())
        if extra:
            if wait_running(daemon, 0) > 1:
                raise NotMeasured("VMs that were to be stopped have run")
            return result
        took = load.seconds + wait_running(daemon, WARM_UP + load.count)
        return result._replace(converged=load.count / took)


def _round(load: Load, window: Window) -> Round:
    return Round(load.rate, load.ms(0.5), load.ms(0.99), window.cpu_s / load.count * 1e6, window.foreign)


def _row(run: Run, label: str, rounds: list[Round]) -> None:
    p50, p99, cpu = (Spread.of(values).median for values in zip(*[r[1:4] for r in rounds], strict=True))
    foreign = Spread.of(r.foreign for r in rounds).median
    tail = f"p50 {p50:.1f} p99 {p99:.1f} ms, {cpu:.0f} us CPU each, foreign load {foreign:.0%}"
    run.out.row(label, f"{Spread.of(r.rate for r in rounds).text('/s')}, {tail}")
