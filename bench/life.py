"""`life`: POST -> running -> `DELETE ?force=true` answered, beside spawn -> QMP says running -> SIGKILL -> collected.

Both sides end the guest before it has booted, so no guest is waited for and what is left is the machinery. Besides: how
long after the SIGKILL of a QEMU process the event comes that tells of it and of the time of the next start, decided and
on disk.
"""

from __future__ import annotations

import os
import signal
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
    deaths: list[float] = []
    with hypervisor(run) as (daemon, manifest), temporary() as home:
        how = first_recipe(daemon, manifest["name"], home)
        watched = Watched(daemon)
        try:
            for n in range(run.pick(11, 5)):
                theirs.append(_bare(how, home))
                ours.append(watched.live(f"vm-{n}", manifest["name"]))
                deaths.append(watched.killed(f"victim-{n}", manifest["name"]) * 1e3)
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
    out.goal("SIGKILL -> vm.error on the stream", Spread.of(deaths), 250, "<=", "ms")


class Watched:
    """A daemon and its event stream."""

    def __init__(self, daemon: Daemon) -> None:
        self.daemon = daemon
        self.readers = Readers()
        self.started: dict[bytes, float] = {}
        self.failed: dict[bytes, float] = {}
        self.readers.open(daemon.address, "/events/vms", [self._see])
        self.call = Call(self.readers, daemon.address)

    def _see(self, frame: bytes, now: float) -> None:
        if event_type(frame) == b"vm.started":
            self.started[frame] = now
        elif event_type(frame) == b"vm.error":
            self.failed[frame] = now

    def live(self, name: str, plugin: str) -> Life:
        """One VM's whole life."""
        began, running = self.start(name, plugin)
        _, end = self.delete(name)
        return Life(running - began, end - running)

    def killed(self, name: str, plugin: str) -> float:
        """Seconds from SIGKILL of a VM's QEMU to the event that tells of it, and with it of the next start."""
        self.start(name, plugin)
        self.failed.clear()
        pid = self.daemon.call("GET", f"/vms/{name}")["pid"]
        began = time.perf_counter()
        os.kill(pid, signal.SIGKILL)
        self.readers.until(f"the end of {name} is told", lambda: bool(self.failed), 30)
        self.delete(name)
        return min(self.failed.values()) - began

    def start(self, name: str, plugin: str) -> tuple[float, float]:
        """When the VM was asked for and when it ran."""
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
        return began, min(self.started.values())

    def delete(self, name: str) -> tuple[float, float]:
        """When its end was asked for and when it was answered."""
        began, end, deleted = self.call.send(request(self.daemon.address, "DELETE", f"/vms/{name}?force=true"))
        if deleted != 204:
            raise NotMeasured(f"DELETE was answered with {deleted}")
        return began, end

    def close(self) -> None:
        """Hang up."""
        self.call.close()
        self.readers.close()


def _bare(how: Recipe, home: Path) -> Life:
    began = time.perf_counter()
    with bare(how, home):
        running = until_running(home)
    return Life(running - began, time.perf_counter() - running)
