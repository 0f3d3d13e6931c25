"""`scale`: from `PATCH {"replicas": n}` to `ready_replicas == n` on the event stream, ten readers, guests simulated.

Ends when the first reader has the event that says so. Afterwards the readers are compared with each other, and with an
eleventh that resumes from the id before the first event: what it is sent has to be what they were sent.
"""

from __future__ import annotations

import re
from collections import Counter
from functools import partial

from bench.figures import Spread
from bench.host import Window
from bench.report import NotMeasured
from bench.run import Run, deploy
from bench.servers import Daemon, simulated
from bench.streams import Call, Reader, Readers, Seen, event_type
from bench.wire import request

READERS = 10
_READY = re.compile(rb'"ready_replicas": ?(\d+)')


class Progress:
    """What the first reader looks out for."""

    def __init__(self) -> None:
        self.types: Counter[bytes] = Counter()
        self.ready_at: dict[int, float] = {}

    def see(self, frame: bytes, now: float) -> None:
        """Note the frame's type, and when how many replicas were ready."""
        kind = event_type(frame)
        self.types[kind] += 1
        if kind.startswith(b"deployment."):
            ready = _READY.search(frame)
            if ready:
                self.ready_at.setdefault(int(ready[1]), now)


def measure(run: Run) -> None:
    """Print it."""
    small, large = 1_000, run.pick(10_000, 3_000)
    seconds: dict[int, list[float]] = {small: [], large: []}
    said: dict[int, str] = {}
    cpu: dict[int, list[float]] = {small: [], large: []}
    for count in run.pick([small, small, large, small, small, large], [small, large, small]):
        took, share, text = _scale(count)
        seconds[count].append(took)
        cpu[count].append(share)
        said[count] = text
    out = run.out
    for count in (small, large):
        out.row(f"replicas 0 -> {count:,}", Spread.of(seconds[count]).text("s"))
        out.row("  daemon's CPU", Spread.of(s / count * 1e6 for s in cpu[count]).text("us a VM"))
        out.note(f"{count:,}: {said[count]}")
    out.goal(f"replicas 0 -> {small:,}", Spread.of(small / s for s in seconds[small]), 1000, ">=", "VM/s")
    each = [Spread.of(cpu[count]).median / count for count in (small, large)]
    out.row(f"CPU a VM, {large:,} / {small:,}", f"{each[1] / each[0]:.2f} x")
    linear = Spread.of(seconds[small]).median * large / small
    out.goal(f"0 -> {large:,} / linear", Spread.of(s / linear for s in seconds[large]), 1.10, "<=")


def _scale(count: int) -> tuple[float, float, str]:
    with simulated() as daemon:
        deploy(daemon, "fleet", 0)
        progress, readers = Progress(), Readers()
        try:
            watch: list[Seen | None] = [progress.see, *[None] * (READERS - 1)]
            readers.open(daemon.address, "/events", watch)
            readers.settle(0.3)
            call = Call(readers, daemon.address)
            window = Window(daemon.pid)
            patch = request(daemon.address, "PATCH", "/deployments/fleet", {"replicas": count})
            began, _, status = call.send(patch)
            if status != 200:
                raise NotMeasured(f"PATCH replicas was answered with {status}")
            readers.until(f"{count} replicas are ready", partial(progress.ready_at.__contains__, count), 120)
            spent = window.close().cpu_s
            readers.settle()
            call.close()
            return progress.ready_at[count] - began, spent, _compare(daemon, readers, progress, count)
        finally:
            readers.close()


def _compare(daemon: Daemon, readers: Readers, progress: Progress, count: int) -> str:
    created, started = progress.types[b"vm.created"], progress.types[b"vm.started"]
    if readers.open_count != READERS:
        raise NotMeasured(f"only {readers.open_count} of {READERS} readers kept up")
    if (created, started) != (count, count):
        raise NotMeasured(f"{count} VMs, but {created} vm.created and {started} vm.started events")
    first = readers.all[0].ids
    again = Reader(daemon.address, "/events", after=first[0] - 1)
    readers.add(again)
    readers.until("the resumed reader has caught up", lambda: len(again.ids) >= len(first), 30)
    return readers.agree()
