"""`boot`: from `POST /vms` to the first page of a real guest, beside the same QEMU command started bare.

A guest takes seconds to boot under emulation and its time moves by hundreds of milliseconds with the machine's load,
so the difference of two boots is a coarse figure for what the daemon adds. Beside it stands the same thing without the
guest: from the POST to the start of the QEMU process, as the kernel has recorded it (to 10 ms).
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any, NamedTuple

from bench.figures import Spread, differences, ratios
from bench.guests import BOOT_S, Recipe, bare, first_page, hypervisor, recipe
from bench.host import stat_fields
from bench.run import Run
from bench.servers import Daemon, temporary, until

_TICK_S = 1 / os.sysconf("SC_CLK_TCK")


class Boot(NamedTuple):
    """Seconds from the POST to the first page, and to the start of the process."""

    page_s: float
    spawn_s: float


def measure(run: Run) -> None:
    """Print it."""
    ours: list[Boot] = []
    theirs: list[float] = []
    with hypervisor(run) as (daemon, manifest), temporary() as home:
        how = first_recipe(daemon, manifest["name"], home)  # both sides read the same files: this warms them for both
        for n in range(run.pick(6, 3)):
            # The order changes every round, so that neither side always has the fresher machine.
            for side in ((0, 1), (1, 0))[n % 2]:
                if side:
                    ours.append(_boot(daemon, f"vm-{n}", manifest))
                else:
                    theirs.append(_bare(how, home))
    out, pages = run.out, [boot.page_s for boot in ours]
    out.row("POST -> first page", Spread.of(pages).text("s"))
    out.row("bare QEMU -> first page", Spread.of(theirs).text("s"))
    out.row("ratio", ratios(pages, theirs).text("x"))
    out.row("POST -> the QEMU process starts", Spread.of(boot.spawn_s * 1e3 for boot in ours).text("ms"))
    out.goal("overhead until the first page", Spread.of(d * 1e3 for d in differences(pages, theirs)), 50, "<=", "ms")


def first_recipe(daemon: Daemon, plugin: str, home: Path) -> Recipe:
    """Start one guest, learn its command line, and end it."""
    daemon.call("POST", "/vms", {"name": "first", "plugin": plugin})

    def is_running() -> Recipe | None:
        vm = daemon.call("GET", "/vms/first")
        return recipe(vm["pid"], vm, home) if vm["status"] == "running" and vm.get("endpoints") else None

    how = until("the first guest runs", is_running, BOOT_S)
    daemon.call("DELETE", "/vms/first?force=true")
    return how


def _boot(daemon: Daemon, name: str, plugin: dict[str, Any]) -> Boot:
    began, on_clock = time.perf_counter(), time.clock_gettime(time.CLOCK_BOOTTIME)
    vm = daemon.call("POST", "/vms", {"name": name, "plugin": plugin["name"]})
    at = first_page((vm["ip"], plugin["workload"]["port"]))
    vm = daemon.call("GET", f"/vms/{name}")
    spawned = int(stat_fields(vm["pid"])[19]) * _TICK_S
    daemon.call("DELETE", f"/vms/{name}?force=true")
    return Boot(at - began, spawned - on_clock)


def _bare(how: Recipe, home: Path) -> float:
    began = time.perf_counter()
    with bare(how, home):
        return first_page(how.page) - began
