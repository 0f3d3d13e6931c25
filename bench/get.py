"""`get`: `GET /vms/{name}` over 10,000 running VMs from 64 connections, beside the bare endpoint's constant.

Names are asked for in a random order that is the same in every run, so no row is warm because it was the last one.
"""

from __future__ import annotations

import itertools
import random

from bench.figures import ratios
from bench.rounds import Round, cpu_times, rates, show, slice_of
from bench.run import Run, deploy, settle, wait_running
from bench.servers import baseline, simulated
from bench.wire import request

SLICES = 6


def measure(run: Run) -> None:
    """Print it."""
    count, seconds = run.pick(10_000, 2_000), run.pick(0.4, 0.2)
    bares: list[Round] = []
    ours: list[Round] = []
    with baseline() as bare, simulated() as daemon:
        deploy(daemon, "fleet", count)
        wait_running(daemon, count)
        settle(daemon)
        names = [f"fleet-{n}" for n in range(1, count + 1)]
        random.Random(1).shuffle(names)
        hello = itertools.repeat(request(bare.address, "GET", "//hello"))
        gets = itertools.cycle([request(daemon.address, "GET", f"/vms/{name}") for name in names])
        for _ in range(run.pick(7, 3)):
            bares.append(Round())
            ours.append(Round())
            for _ in range(SLICES):
                slice_of(bare, hello, seconds, 200, bares[-1])
                slice_of(daemon, gets, seconds, 200, ours[-1])
    out = run.out
    show(out, "bare endpoint, GET", bares)
    show(out, f"GET /vms/{{name}}, {count:,} VMs", ours)
    out.goal("GET / bare endpoint", ratios(rates(ours), rates(bares)), 0.70, ">=")
    out.row("  by CPU time: bare endpoint / GET", ratios(cpu_times(bares), cpu_times(ours)).text("x"))
