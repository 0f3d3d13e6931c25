"""`boot`: from `POST /vms` to the first page of a real guest, beside the same QEMU command started bare.

A guest takes seconds to boot under emulation and its time moves by hundreds of milliseconds with the machine's load,
so the difference of two boots is a coarse figure for what the daemon adds. `life` has the same without a guest that
boots.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from bench.figures import Spread, differences, ratios
from bench.guests import BOOT_S, Recipe, bare, first_page, hypervisor, recipe
from bench.run import Run
from bench.servers import Daemon, temporary, until


def measure(run: Run) -> None:
    """Print it."""
    ours: list[float] = []
    theirs: list[float] = []
    with hypervisor(run) as (daemon, manifest), temporary() as home:
        how = first_recipe(daemon, manifest["name"], home)  # both sides read the same files: this warms them for both
        for n in range(run.pick(6, 2)):
            # The order changes every round, so that neither side always has the fresher machine.
            for side in ((0, 1), (1, 0))[n % 2]:
                if side:
                    ours.append(_boot(daemon, f"vm-{n}", manifest))
                else:
                    theirs.append(_bare(how, home))
    out = run.out
    out.row("POST -> first page", Spread.of(ours).text("s"))
    out.row("bare QEMU -> first page", Spread.of(theirs).text("s"))
    out.row("ratio", ratios(ours, theirs).text("x"))
    out.row("fastest of each, difference", f"{(min(ours) - min(theirs)) * 1e3:.0f} ms")
    out.goal("overhead until the first page", Spread.of(d * 1e3 for d in differences(ours, theirs)), 50, "<=", "ms")


def first_recipe(daemon: Daemon, plugin: str, home: Path) -> Recipe:
    """Start one guest, learn its command line, and end it."""
    daemon.call("POST", "/vms", {"name": "first", "plugin": plugin})

    def is_running() -> Recipe | None:
        vm = daemon.call("GET", "/vms/first")
        return recipe(vm["pid"], vm, home) if vm["status"] == "running" and vm.get("endpoints") else None

    how = until("the first guest runs", is_running, BOOT_S)
    daemon.call("DELETE", "/vms/first?force=true")
    return how


def _boot(daemon: Daemon, name: str, plugin: dict[str, Any]) -> float:
    began = time.perf_counter()
    vm = daemon.call("POST", "/vms", {"name": name, "plugin": plugin["name"]})
    at = first_page((vm["ip"], plugin["workload"]["port"]))
    daemon.call("DELETE", f"/vms/{name}?force=true")
    return at - began


def _bare(how: Recipe, home: Path) -> float:
    began = time.perf_counter()
    with bare(how, home):
        return first_page(how.page) - began
