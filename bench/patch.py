"""`patch`: `PATCH /deployments/{name}` at 200 requests a second, whatever the answers do, beside a lone commit.

Twenty deployments are each scaled between one and two replicas in turn, so every request changes a spec and sets off
the creation or the deletion of a VM: the controllers are at work the whole time. Latencies count from when a request
was due, so a pause of the daemon shows in every request that it delayed.
"""

from __future__ import annotations

from bench.commits import commit
from bench.figures import Spread
from bench.host import Window
from bench.load import Load, paced
from bench.run import Run, deploy, wait_running
from bench.servers import Daemon, simulated, temporary
from bench.wire import request

RATE = 200
DEPLOYMENTS = 20


def measure(run: Run) -> None:
    """Print it."""
    seconds = run.pick(5, 3)
    loads: list[Load] = []
    lone: list[float] = []
    shares: list[float] = []
    with simulated() as daemon, temporary() as directory:
        prepare(daemon)
        for _ in range(run.pick(4, 2)):
            window = Window(daemon.pid)
            loads.append(paced(daemon.address, flips(daemon, seconds * RATE), rate=RATE).check(200))
            shares.append(window.close().share)
            lone.append(commit(directory, 1.0).ms(0.5))
    out = run.out
    p50, p99 = (Spread.of(load.ms(share) for load in loads) for share in (0.5, 0.99))
    out.row(f"PATCH replicas at {RATE}/s, p50", p50.text("ms"))
    out.row("  slowest of all", f"{max(load.ms(1.0) for load in loads):.1f} ms")
    out.row("  daemon's share of a core", Spread.of(share * 100 for share in shares).text("%"))
    out.row("SQLite, one lone commit, p50", Spread.of(lone).text("ms"))
    out.row(
        "PATCH p50 / lone commit",
        Spread.of(load.ms(0.5) / one for load, one in zip(loads, lone, strict=True)).text("x"),
    )
    out.goal(f"PATCH replicas at {RATE}/s, p99", p99, 25, "<=", "ms")


def prepare(daemon: Daemon) -> None:
    """Deployments of one replica each, all running."""
    for n in range(DEPLOYMENTS):
        deploy(daemon, f"flip-{n}", 1)
    wait_running(daemon, DEPLOYMENTS)


def flips(daemon: Daemon, count: int) -> list[bytes]:
    """Requests that each change the replicas of one deployment. Even rounds of all deployments end as they began."""
    return [
        request(daemon.address, "PATCH", f"/deployments/flip-{k % DEPLOYMENTS}", {"replicas": 2 - k // DEPLOYMENTS % 2})
        for k in range(count - count % (2 * DEPLOYMENTS))
    ]
