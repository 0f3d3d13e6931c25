"""`life`: POST -> running -> `DELETE ?force=true` answered, beside spawn -> QMP says running -> SIGKILL -> collected.

Both sides end the guest before it has booted, so no guest is waited for and what is left is the machinery.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import NamedTuple

from bench.boot import first_recipe
from bench.figures import Spread, differences, ratios
from bench.guests import Recipe, bare, hypervisor, until_running
from bench.report import NotMeasured
from bench.run import Run
from bench.servers import Daemon, temporary
from bench.streams import Call, Readers, event_type
from bench.wire import request


class Life(NamedTuple):
    """Seconds until running, and from then to the end."""

    start_s: float
    end_s: float

    def parts(self) -> tuple[float, float, float]:
        """All of it, the start, the end."""
        return self.start_s + self.end_s, self.start_s, self.end_s


def measure(run: Run) -> None:
    """Print it."""
    ours: list[Life] = []
    theirs: list[Life] = []
    with hypervisor(run) as (daemon, manifest), temporary() as home:
        how = first_recipe(daemon, manifest["name"], home)
        watched = Watched(daemon)
        try:
            for n in range(run.pick(11, 5)):
                theirs.append(_bare(how, home))
                ours.append(watched.live(f"vm-{n}", manifest["name"]))
        finally:
            watched.close()
    out = run.out
    for label, lives in (("POST -> running -> gone", ours), ("bare QEMU, spawned -> running -> gone", theirs)):
        whole, start, end = (Spread.of(s * 1e3 for s in part) for part in zip(*map(Life.parts, lives), strict=True))
        out.row(label, f"{whole.text('ms')}: start {start.text()} end {end.text()}")
    for part, what in enumerate(("whole life", "start", "end")):
        sides = [a.parts()[part] * 1e3 for a in ours], [a.parts()[part] * 1e3 for a in theirs]
        if what == "start":
            out.goal("start, overhead", differences(*sides), 50, "<=", "ms")
        else:
            out.row(f"{what}, overhead", differences(*sides).text("ms"))
        out.row("  ratio", ratios(*sides).text("x"))


class Watched:
    """A daemon and its event stream."""

    def __init__(self, daemon: Daemon) -> None:
        self.daemon = daemon
        self.readers = Readers()
        self.started: dict[bytes, float] = {}
        self.readers.open(daemon.address, "/events/vms", [self._see])
        self.call = Call(self.readers, daemon.address)

    def _see(self, frame: bytes, now: float) -> None:
        if event_type(frame) == b"vm.started":
            self.started[frame] = now

    def live(self, name: str, plugin: str) -> Life:
        """One VM's whole life."""
        self.started.clear()
        address = self.daemon.address
        began, _, created = self.call.send(request(address, "POST", "/vms", {"name": name, "plugin": plugin}))
        if created != 201:
            raise NotMeasured(f"POST /vms was answered with {created}")
        try:
            self.readers.until(f"{name} runs", lambda: bool(self.started), 30)
        except NotMeasured as late:
            vm = self.daemon.call("GET", f"/vms/{name}")
            raise NotMeasured(f"{late}; it is {vm['status']}: {vm.get('conditions')}") from late
        running = min(self.started.values())
        _, end, deleted = self.call.send(request(address, "DELETE", f"/vms/{name}?force=true"))
        if deleted != 204:
            raise NotMeasured(f"DELETE was answered with {deleted}")
        return Life(running - began, end - running)

    def close(self) -> None:
        """Hang up."""
        self.call.close()
        self.readers.close()


def _bare(how: Recipe, home: Path) -> Life:
    began = time.perf_counter()
    with bare(how, home):
        running = until_running(home)
    return Life(running - began, time.perf_counter() - running)
