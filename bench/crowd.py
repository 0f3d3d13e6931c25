"""`crowd`: fifty guests of the demo image that are asked for at once, until all are ready.

Ready is what the health check says: each guest has answered with its page. A failure is a guest that ended, was
started again, or is not ready when time is up. Then, with all of them idle: what each holds of the host's memory, and
what all take of its cores.
"""

from __future__ import annotations

import time
from typing import Any

from bench.figures import Spread
from bench.guests import hello, hypervisor
from bench.host import pss_mib, usage
from bench.report import NotMeasured
from bench.run import Run
from bench.servers import Daemon
from bench.streams import Readers, event_type

READY_S = {False: 300.0, True: 90.0}
IDLE_S = 5.0
PATIENT = {"path": "/", "startup": {"period_s": 2, "timeout_s": 5, "failure_threshold": 150}}
"""Fifty boots share the cores: a guest may take as long to start as all of them together."""


def measure(run: Run) -> None:
    """Print it."""
    count = run.guests or run.pick(50, 10)
    plugin = {**hello(run), "health_check": PATIENT}
    with hypervisor(run, plugin) as (daemon, _):
        crowd = Crowd(daemon)
        try:
            ready_s = crowd.gather(plugin["name"], count, READY_S[run.quick])
        finally:
            crowd.close()
        vms = daemon.call("GET", "/vms")
        _show(run, count, ready_s, crowd, vms)
        _idle(run, daemon, [vm["pid"] for vm in vms if vm.get("pid")])


class Crowd:
    """The replicas of one deployment, and what the event stream says of them."""

    def __init__(self, daemon: Daemon) -> None:
        self._daemon = daemon
        self._readers = Readers()
        self._readers.open(daemon.address, "/events/vms", [self._see])
        self.started: list[float] = []
        self.errors = 0

    def close(self) -> None:
        """Hang up."""
        self._readers.close()

    def _see(self, frame: bytes, now: float) -> None:
        if event_type(frame) == b"vm.started":
            self.started.append(now)
        elif event_type(frame) == b"vm.error":
            self.errors += 1

    def gather(self, plugin: str, count: int, bound_s: float) -> list[float]:
        """Ask for all; seconds until the first and each further one was ready. Those that were not are not in it."""
        began = time.perf_counter()
        self._daemon.call("POST", "/deployments", {"name": "crowd", "plugin": plugin, "replicas": count})
        ready: list[float] = []
        while len(ready) < count and (now := time.perf_counter()) < began + bound_s:
            self._readers.turn(0.1)
            found = int(self._daemon.call("GET", "/deployments/crowd")["ready_replicas"])
            ready = [*ready[:found], *[now - began] * (found - len(ready))]
        self.started = [at - began for at in self.started]
        if not ready:
            raise NotMeasured(f"none of {count} guests was ready within {bound_s:.0f} s")
        return ready


def _show(run: Run, count: int, ready_s: list[float], crowd: Crowd, vms: list[dict[str, Any]]) -> None:
    restarts = sum(vm["restarts"] for vm in vms)
    failures = count - len(ready_s) + crowd.errors + restarts
    out = run.out
    out.row("guests asked for at once, ready", f"{count}, {len(ready_s)}")
    if crowd.started:
        out.row("POST -> the first, the last VMM runs", f"{crowd.started[0]:.2f} s, {crowd.started[-1]:.1f} s")
    out.row("POST -> the first, half, the last ready", _parts(ready_s))
    out.row("one guest at a time, on average", f"{ready_s[-1] / len(ready_s):.2f} s")
    out.goal("not ready, ended or started again", Spread.of([failures]), 0, "<=", "guests")


def _parts(ready_s: list[float]) -> str:
    return f"{ready_s[0]:.1f} s, {ready_s[len(ready_s) // 2]:.1f} s, {ready_s[-1]:.1f} s"


def _idle(run: Run, daemon: Daemon, pids: list[int]) -> None:
    before, began = sum(usage(pid).cpu_s for pid in pids), time.perf_counter()
    time.sleep(IDLE_S)
    share = (sum(usage(pid).cpu_s for pid in pids) - before) / (time.perf_counter() - began)
    held = [pss_mib(pid) for pid in pids]
    run.out.row("memory of an idle VM (PSS)", Spread.of(held).text("MiB"))
    run.out.row("of all of them", f"{sum(held):,.0f} MiB; the daemon {usage(daemon.pid).rss_mib:.0f} MiB resident")
    run.out.row("CPU of all of them, idle but for probes", f"{share:.1%} of one core")
