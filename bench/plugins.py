"""`plugins`: the phases of a boot of `hello` and of each built plugin, and the memory that its idle guest holds.

Beside each boot stands the same QEMU command line, started bare over a new disk of the same image. What is not built
is left out and said so.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from bench.figures import Spread, ratios
from bench.guests import Question, Recipe, bare, first_answer, hello, hypervisor, lay, page, recipe, until_running
from bench.host import pss_mib
from bench.phases import PHASES, Console, Moments, durations, spoken
from bench.report import NotMeasured, Report
from bench.run import Run
from bench.servers import Daemon, temporary, until
from bench.streams import Readers, event_type

NAMES = "nginx-alpine", "user-api", "postgres"
CONFIGS: dict[str, Any] = {"postgres": {"env": {"POSTGRES_PASSWORD": "bench"}}}
BOOT_S = 90.0
IDLE_S = 3.0
_LASTS_S = 1.0
_POSTGRES = Question(b"\0\0\0\x08\x04\xd2\x16\x2f", (b"N", b"S"), _LASTS_S)
"""Whether it speaks TLS: what a client asks first. Only a server that takes clients answers it with one letter."""


class Boot(NamedTuple):
    """One boot: seconds from being asked for to the first answer, seconds of each phase, MiB (PSS) when idle."""

    whole_s: float
    phases: dict[str, float]
    pss_mib: float


def measure(run: Run) -> None:
    """Print it."""
    run.out.note("the kernels speak here: both sides are slower than what `boot` measures by what that costs")
    _plugin(run, hello(run))
    for name in NAMES:
        file = run.plugins / name / f"{name}.json"
        if file.exists():
            _plugin(run, json.loads(file.read_text()))
        else:
            run.out.note(f"{name} is not built, so it is left out. Run: make plugins")


def _plugin(run: Run, manifest: dict[str, Any]) -> None:
    ours: list[Boot] = []
    theirs: list[Boot] = []
    with hypervisor(run, spoken(manifest)) as (daemon, plugin), temporary() as home, Started(daemon) as started:
        how = _learn(daemon, plugin, home)  # both sides read the same files: this warms them for both
        for n in range(run.pick(3, 1)):
            # The order changes every round, so that neither side always has the fresher machine.
            for side in ((0, 1), (1, 0))[n % 2]:
                if side:
                    ours.append(_ours(daemon, f"vm-{n}", plugin, started, how.port))
                else:
                    theirs.append(_bare(how, home, plugin))
    _show(run.out, manifest, ours, theirs)


class Started:
    """The daemon's event stream: when which VM was told to have started."""

    def __init__(self, daemon: Daemon) -> None:
        self._readers = Readers()
        self._readers.open(daemon.address, "/events/vms", [self._see])
        self._when: list[tuple[bytes, float]] = []

    def __enter__(self) -> Started:
        return self

    def __exit__(self, *_: object) -> None:
        self._readers.close()

    def _see(self, frame: bytes, now: float) -> None:
        if event_type(frame) == b"vm.started":
            self._when.append((frame, now))

    def look(self, vm: str, moments: Moments) -> None:
        """Read what has come, and note it if it is of that VM."""
        self._readers.turn(0)
        for frame, at in self._when:
            if f'"{vm}"'.encode() in frame:
                moments.setdefault("vmm", at)


def _learn(daemon: Daemon, plugin: dict[str, Any], home: Path) -> Recipe:
    """Start one guest until it answers, learn its command line, and end it."""
    _create(daemon, "first", plugin)

    def is_running() -> Recipe | None:
        vm = daemon.call("GET", "/vms/first")
        return recipe(vm["pid"], vm, home) if vm.get("pid") and vm.get("endpoints") else None

    how = until("the first guest runs", is_running, BOOT_S)
    first_answer((daemon.call("GET", "/vms/first")["ip"], how.port), _question(plugin), BOOT_S)
    daemon.call("DELETE", "/vms/first?force=true")
    return how


def _create(daemon: Daemon, name: str, plugin: dict[str, Any]) -> dict[str, Any]:
    config = CONFIGS.get(plugin["name"], {})
    vm: dict[str, Any] = daemon.call("POST", "/vms", {"name": name, "plugin": plugin["name"], "config": config})
    return vm


def _question(plugin: dict[str, Any]) -> Question:
    if plugin["name"] == "postgres":
        return _POSTGRES
    return page(plugin.get("health_check", {}).get("path", "/"), _LASTS_S)


def _ours(daemon: Daemon, name: str, plugin: dict[str, Any], started: Started, port: int) -> Boot:
    moments: Moments = {}
    began = time.perf_counter()
    vm = _create(daemon, name, plugin)
    moments["accepted"] = time.perf_counter()
    console = Console(daemon.data / "run" / vm["uid"] / "console.log", moments)

    def look() -> None:
        started.look(name, moments)
        console.look()

    moments["answer"] = first_answer((vm["ip"], port), _question(plugin), BOOT_S, look)
    time.sleep(IDLE_S)
    held = pss_mib(daemon.call("GET", f"/vms/{name}")["pid"])
    daemon.call("DELETE", f"/vms/{name}?force=true")
    return Boot(moments["answer"] - began, durations(moments, began), held)


def _bare(how: Recipe, home: Path, plugin: dict[str, Any]) -> Boot:
    lay(how.layers)
    moments: Moments = {}
    console = Console(home / "console.log", moments)
    began = time.perf_counter()
    with bare(how, home) as process:
        moments["vmm"] = until_running(home)
        moments["answer"] = first_answer(how.page, _question(plugin), BOOT_S, console.look)
        time.sleep(IDLE_S)
        held = pss_mib(process.pid)
    return Boot(moments["answer"] - began, durations(moments, began), held)


def _show(out: Report, manifest: dict[str, Any], ours: Sequence[Boot], theirs: Sequence[Boot]) -> None:
    if not ours or not theirs:
        raise NotMeasured(f"no boot of {manifest['name']} was measured")
    out.row(f"{manifest['name']}, {manifest['resources']['memory_mb']} MiB", f"{'with the daemon':<24} bare QEMU")
    for phase, label in PHASES.items():
        out.row(f"  {label}", f"{_spent(ours, phase):<24} {_spent(theirs, phase)}")
    whole = [[boot.whole_s for boot in side] for side in (ours, theirs)]
    out.row("  whole", f"{Spread.of(whole[0]).text('s'):<24} {Spread.of(whole[1]).text('s')}")
    out.row("  ratio", ratios(*whole).text("x"))
    held = [Spread.of(boot.pss_mib for boot in side).text("MiB") for side in (ours, theirs)]
    out.row("  memory of the idle VM (PSS)", f"{held[0]:<24} {held[1]}")


def _spent(side: Sequence[Boot], phase: str) -> str:
    seen = [boot.phases[phase] for boot in side if phase in boot.phases]
    return Spread.of(seen).text("s") if seen else "-"
