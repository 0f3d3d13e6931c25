"""What a measurement is given, and what it may ask: how thorough to be, where to print, a fleet of VMs to look at."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from bench.host import usage
from bench.report import NotMeasured, Report
from bench.servers import PLUGIN, Daemon

T = TypeVar("T")


@dataclass(frozen=True)
class Run:
    """One run of the bench.

    `hello` is the directory of the demo guest's artifacts, `plugins` has one for each plugin that is built.
    `writes` and `guests` are how many are asked for where that can be chosen.
    """

    out: Report
    quick: bool
    hello: Path
    plugins: Path
    writes: int | None = None
    guests: int | None = None

    def pick(self, full: T, quick: T) -> T:
        """The one that fits."""
        return quick if self.quick else full


def running(daemon: Daemon) -> int:
    """How many VMs run."""
    return int(daemon.call("GET", "/system/info")["stats"]["running_vms"])


def wait_running(daemon: Daemon, count: int, bound_s: float = 120.0) -> float:
    """Wait until exactly `count` VMs run; how long that took, to 50 ms."""
    began = time.monotonic()
    while (found := running(daemon)) != count:
        if time.monotonic() > began + bound_s:
            raise NotMeasured(f"{found} of {count} VMs run after {bound_s:.0f} s")
        time.sleep(0.05)
    return time.monotonic() - began


def deploy(daemon: Daemon, name: str, replicas: int) -> None:
    """Create a deployment and return at once."""
    daemon.call("POST", "/deployments", {"name": name, "plugin": PLUGIN, "replicas": replicas})


def settle(daemon: Daemon, quiet_s: float = 1.0, bound_s: float = 60.0) -> None:
    """Wait until the daemon has used almost no CPU for so long: what was set off before has ended."""
    deadline = time.monotonic() + bound_s
    while time.monotonic() < deadline:
        before = usage(daemon.pid).cpu_s
        time.sleep(quiet_s)
        if usage(daemon.pid).cpu_s - before <= 0.03 * quiet_s:
            return
    raise NotMeasured(f"the daemon is still busy after {bound_s:.0f} s")
