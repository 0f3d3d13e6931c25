"""`compaction`: status writes without end into a store that keeps the last events only, beside one that keeps them all.

    64 writers ──update_status──▶ Store (thread, synchronous=FULL, group commit) ──▶ events ▸ compacted while they come

Slices of writes alternate between the two stores, some to a round. Both are real and in this process: what HTTP costs
is measured elsewhere. After the rounds the compacting store is written to until `--writes` are done, by more writers;
then it is dropped as a killed process drops it, and a real daemon starts on what it left.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from array import array
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from bench.figures import Spread, percentile, ratios
from bench.host import SERVER_CORES, on_cores
from bench.report import NotMeasured
from bench.run import Run
from bench.servers import Daemon, temporary
from volant.bus import Bus
from volant.clock import SystemClock, random_uid
from volant.drivers.simulated.network import POOL
from volant.model.conditions import Condition
from volant.model.event import Happening
from volant.model.meta import Meta
from volant.model.vm import READY, VM, VMSpec, VMStatus
from volant.store import Sizes, Store, StoreSettings

VMS = 1_000
WRITERS = 64
MANY_WRITERS = 256
ROUNDS, SLICES = 7, 4
EVENTS_KEPT = 20_000
ALL = 1 << 60
STATUS = Happening(type="vm.updated", actor="vm")
CREATED = Happening(type="vm.created", actor="api")
MIB = 1 << 20


@dataclass
class Side:
    """A store that is written to, and what was seen of it: rates, percentiles in ms, the largest sizes."""

    store: Store
    vms: list[VM]
    written: int = 0
    rates: list[float] = field(default_factory=list)
    p50: list[float] = field(default_factory=list)
    p99: list[float] = field(default_factory=list)
    worst: float = 0.0
    sizes: list[Sizes] = field(default_factory=list)
    _latencies: array[float] = field(default_factory=lambda: array("d"))
    _seconds: float = 0.0

    async def slice(self, writes: int, by: int = WRITERS) -> None:
        """So many writes by all writers together, each on VMs of its own."""
        before, numbers = len(self._latencies), itertools.count(self.written)
        began = time.perf_counter()
        async with asyncio.TaskGroup() as writers:
            for first in range(by):
                writers.create_task(self._write(range(first, VMS, by), writes // by, lambda: next(numbers)))
        self._seconds += time.perf_counter() - began
        self.written += len(self._latencies) - before
        self.sizes.append(self.store.sizes())

    def end_round(self) -> None:
        """What was written since the last one, in one figure each."""
        latencies, self._latencies = self._latencies, array("d")
        self.rates.append(len(latencies) / self._seconds)
        self._seconds = 0.0
        self.p50.append(percentile(latencies, 0.5) * 1e3)
        self.p99.append(percentile(latencies, 0.99) * 1e3)
        self.worst = max(self.worst, max(latencies) * 1e3)

    async def _write(self, vms: range, writes: int, number: Callable[[], int]) -> None:
        for at in itertools.islice(itertools.cycle(vms), writes):
            status = _status(number())
            began = time.perf_counter()
            self.vms[at] = await self.store.update_status(self.vms[at], status, STATUS)
            self._latencies.append(time.perf_counter() - began)


def measure(run: Run) -> None:
    """Print it."""
    with temporary() as home:
        (home / "data").mkdir()
        with on_cores(SERVER_CORES):
            asyncio.run(_measure(run, home))
        _restart(run, home)


async def _measure(run: Run, home: Path) -> None:
    # A longer run keeps as much as a daemon does by default; a short one would never come to compact.
    keep = StoreSettings().event_keep if (run.writes or 0) >= 20 * StoreSettings().event_keep else EVENTS_KEPT
    size = run.pick(4_096, 1_024)
    compacting = await _side(home / "data" / "volant.db", keep)
    keeping = await _side(home / "keeping.db", ALL)
    while compacting.written < keep + 2 * size:
        await compacting.slice(size, MANY_WRITERS)
    compacting.end_round()
    plateau = compacting.sizes[-1].database
    compacting.rates, compacting.p50, compacting.p99 = [], [], []
    for _ in range(ROUNDS):
        for _ in range(SLICES):
            await keeping.slice(size)
            await compacting.slice(size)
        keeping.end_round()
        compacting.end_round()
    _show(run, compacting, keeping)
    await keeping.store.close()
    await _write_on(run, compacting)
    compacting.store.abandon()
    _show_sizes(run, compacting, plateau, keep)


async def _write_on(run: Run, side: Side) -> None:
    """Until as many writes are done as were asked for. A tenth of them at a time is told of."""
    writes = run.writes or 0
    for tenth in range(1, 11):
        if side.written >= writes * tenth / 10:
            continue
        while side.written < writes * tenth / 10:
            await side.slice(20 * MANY_WRITERS, MANY_WRITERS)
        side.end_round()
        sizes = " and ".join(f"{size / MIB:.1f} MiB" for size in side.store.sizes())
        run.out.row(f"{side.written:,} writes", f"{side.rates[-1]:,.0f}/s, p99 {side.p99[-1]:.1f} ms, {sizes} of log")


async def _side(path: Path, keep: int) -> Side:
    clock = SystemClock()
    store = Store.open(
        path, bus=Bus(), clock=clock, uids=random_uid, pool=POOL, settings=StoreSettings(event_keep=keep)
    )
    now = clock.now()
    names = [f"vm-{n}" for n in range(VMS)]
    metas = [Meta(name=name, uid=random_uid(), kind="VM", created_at=now) for name in names]
    vms = [VM(meta=meta, spec=VMSpec(plugin="none")) for meta in metas]
    return Side(store, [await store.create(vm, CREATED) for vm in vms])


def _status(number: int) -> VMStatus:
    """About as large as that of a VM that runs; no two are the same."""
    ready = Condition(type=READY, status="true", reason="Running", last_update=float(number))
    return VMStatus(pid=number + 1, observed_generation=1, node="host-1", conditions=(ready,))


def _show(run: Run, compacting: Side, keeping: Side) -> None:
    out = run.out
    for label, side in (("compacting", compacting), ("keeping all events", keeping)):
        out.row(label, Spread.of(side.rates).text("writes/s"))
        out.row("", f"p50 {Spread.of(side.p50).text()} p99 {Spread.of(side.p99).text()} ms")
    out.goal("p99 with compaction over without", ratios(compacting.p99, keeping.p99), 1.5, "<=")
    out.goal("rate with compaction over without", ratios(compacting.rates, keeping.rates), 0.8, ">=")


def _show_sizes(run: Run, side: Side, plateau: int, keep: int) -> None:
    largest, log = (max(sizes) for sizes in zip(*side.sizes, strict=True))
    out = run.out
    out.row("status writes in all", f"{side.written:,}, {keep:,} events kept, worst write {side.worst:.0f} ms")
    out.row("database when it was full first, and largest", f"{plateau / MIB:.1f} MiB, {largest / MIB:.1f} MiB")
    out.goal("largest over first full", Spread.of([largest / plateau]), 1.1, "<=")
    out.goal("write-ahead log at its largest", Spread.of([log / MIB]), 64, "<=", "MiB")


def _restart(run: Run, home: Path) -> None:
    """A daemon on what a killed one left, until it answers."""
    times = []
    for _ in range(run.pick(3, 1)):
        (home / "data" / "api.url").unlink(missing_ok=True)  # because a killed daemon leaves it
        began = time.perf_counter()
        daemon = Daemon(home, "simulated", SERVER_CORES)
        try:
            found = daemon.call("GET", "/system/info")["stats"]["total_vms"]
            times.append(time.perf_counter() - began)
        finally:
            daemon.kill()
        if found != VMS:
            raise NotMeasured(f"{found} of {VMS} VMs are there after the restart")
    run.out.goal("restart after a kill, to the first answer", Spread.of(times), 2.0, "<=", "s")
