"""`get`: `GET /vms/{name}` over 10,000 running VMs from 64 connections, beside the bare endpoint's constant.

Names are asked for in a random order that is the same in every run, so no row is warm because it was the last one.
"""

from __future__ import annotations

import itertools
import random

from bench.figures import Spread, ratios
from bench.host import Window
from bench.load import Load, closed
from bench.run import Run, deploy, settle, wait_running
from bench.servers import Server, baseline, simulated
from bench.wire import request

CONNECTIONS = 64


def measure(run: Run) -> None:
    """Print it."""
    count, seconds = run.pick(10_000, 2_000), run.pick(2.0, 1.0)
    with baseline() as bare, simulated() as daemon:
        deploy(daemon, "fleet", count)
        wait_running(daemon, count)
        settle(daemon)
        names = [f"fleet-{n}" for n in range(1, count + 1)]
        random.Random(1).shuffle(names)
        hello = [request(bare.address, "GET", "//hello")]
        gets = [request(daemon.address, "GET", f"/vms/{name}") for name in names]
        sides: dict[str, list[tuple[Load, Window]]] = {
            "bare endpoint, GET": [],
            f"GET /vms/{{name}}, {count:,} VMs": [],
        }
        bares, ours = sides.values()
        for _ in range(run.pick(5, 3)):
            bares.append(_ask(bare, hello, seconds))
            ours.append(_ask(daemon, gets, seconds))
    for label, rounds in sides.items():
        _row(run, label, rounds)
    figure = ratios([load.rate for load, _ in ours], [load.rate for load, _ in bares])
    run.out.goal("GET / bare endpoint", figure, 0.70, ">=")


def _ask(server: Server, requests: list[bytes], seconds: float) -> tuple[Load, Window]:
    window = Window(server.pid)
    load = closed(server.address, itertools.cycle(requests), connections=CONNECTIONS, seconds=seconds).check(200)
    return load, window.close()


def _row(run: Run, label: str, rounds: list[tuple[Load, Window]]) -> None:
    p50 = Spread.of(load.ms(0.5) for load, _ in rounds).median
    p99 = Spread.of(load.ms(0.99) for load, _ in rounds).median
    cpu = Spread.of(window.cpu_s / load.count * 1e6 for load, window in rounds).median
    client = Spread.of(load.client_cpu_s / load.seconds for load, _ in rounds).median
    foreign = Spread.of(window.foreign for _, window in rounds).median
    rate = Spread.of(load.rate for load, _ in rounds).text("/s")
    tail = f"{cpu:.0f} us CPU each, client share {client:.0%}, foreign load {foreign:.0%}"
    run.out.row(label, f"{rate}, p50 {p50:.1f} p99 {p99:.1f} ms, {tail}")
