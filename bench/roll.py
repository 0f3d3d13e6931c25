"""`roll`: three real guests are replaced one after another, as the event log tells of it.

    PATCH ──▶ new replica: created ──boots──▶ ready ──▶ the next one created ──▶ ... ──▶ RolloutComplete

With one more and none less a roll can be no faster than the boots that it consists of. What is measured is what comes
on top: from one replica's being ready to the next one's creation, and the whole beside the sum of the boots.
"""

from __future__ import annotations

import json
import time
from typing import Any

from bench.figures import Spread
from bench.guests import hello, hypervisor
from bench.run import Run
from bench.servers import Daemon
from bench.streams import Readers, event_type

REPLICAS = 3
BOUND_S = 120.0
CHECK = {"path": "/", "startup": {"period_s": 0.25, "failure_threshold": 400}, "readiness": {"period_s": 1}}
STRATEGY = {"max_surge": 1, "max_unavailable": 0}


class Roll:
    """When each new replica was created and ready, and when the rollout was complete."""

    def __init__(self) -> None:
        self.created: dict[str, float] = {}
        self.ready: dict[str, float] = {}
        self.complete: float | None = None

    def see(self, frame: bytes, now: float) -> None:
        """Note what the frame tells."""
        _, _, data = frame.partition(b"\ndata: ")
        said: dict[str, Any] = json.loads(data.splitlines()[0]) if data else {}
        if event_type(frame) == b"vm.created":
            self.created[said["name"]] = now
        if said.get("new", {}).get("ready") is True:
            self.ready.setdefault(said["name"], now)
        if said.get("reason") == "RolloutComplete":
            self.complete = now

    def boots(self) -> list[float]:
        """Seconds from creation to being ready, in order."""
        return [self.ready[name] - at for name, at in self.created.items()]

    def gaps(self) -> list[float]:
        """Seconds from one's being ready to the next one's creation, and to the end."""
        ends = [*list(self.created.values())[1:], self.complete or 0.0]
        return [end - ready for ready, end in zip(self.ready.values(), ends, strict=True)]


def measure(run: Run) -> None:
    """Print it."""
    plugin = {**hello(run), "health_check": CHECK}
    with hypervisor(run, plugin) as (daemon, _):
        body = {"name": "web", "plugin": plugin["name"], "replicas": REPLICAS, "strategy": STRATEGY}
        daemon.call("POST", f"/deployments?wait=available&timeout={BOUND_S:.0f}s", body, bound_s=BOUND_S + 10)
        rolls = [_roll(daemon, version) for version in range(run.pick(4, 2))]
    out, each = run.out, [(end - began) / REPLICAS for _, began, end in rolls]
    out.row("a replica of the roll", Spread.of(each).text("s"))
    out.row("  from its creation to being ready", Spread.of(s for roll, *_ in rolls for s in roll.boots()).text("s"))
    gaps = Spread.of(1e3 * s for roll, *_ in rolls for s in roll.gaps())
    out.row("  from one that is ready to the next one", gaps.text("ms"))
    whole = Spread.of((end - began) / sum(roll.boots()) for roll, began, end in rolls)
    out.goal("the roll / its boots in a row", whole, 1.1, "<=")


def _roll(daemon: Daemon, version: int) -> tuple[Roll, float, float]:
    """One roll: what was told of it, when it was asked for and when it was complete."""
    roll, readers = Roll(), Readers()
    try:
        readers.open(daemon.address, "/events", [roll.see])
        began = time.perf_counter()
        daemon.call("PATCH", "/deployments/web", {"config": {"env": {"VERSION": str(version)}}})
        readers.until("the rollout is complete", lambda: roll.complete is not None, BOUND_S)
        # The old ones still end: the next roll would compete with them.
        readers.settle(3.0)
    finally:
        readers.close()
    return roll, began, roll.complete or 0.0
