"""`events`: from a write to its event at every reader: 100 of them, 1,000, and 1,000 at 100 events a second.

Each write enables or disables a plugin. The time counts from when the request is sent to when a reader has the whole
frame, over all readers: request, commit, encoding and fan-out, so it is an upper bound of commit -> reader. The same
write's own answer, with nobody listening, stands beside it; the difference is what listening costs. The plugin
controller writes what it has seen after each, so readers are sent twice as many events as there are writes. Memory is
what the daemon's resident set grew by while they read, over how many they are: what a reader's socket, task and place
in the ring cost, and what was in flight to it.
"""

from __future__ import annotations

import time
from array import array
from functools import partial

from bench.figures import Spread, percentile
from bench.host import Window, usage
from bench.report import NotMeasured
from bench.run import Run
from bench.servers import PLUGIN, Daemon, simulated
from bench.streams import Call, Readers, event_type
from bench.wire import request

LOADS = ((100, 100.0), (1_000, 10.0), (1_000, 50.0))
"""Readers, and writes a second. The last one is 100,000 deliveries a second, beyond what one core of each can do."""

TOGGLED = frozenset({b"plugin.enabled", b"plugin.disabled"})


def measure(run: Run) -> None:
    """Print it."""
    seconds, rounds = run.pick(4.0, 2.0), run.pick(3, 1)
    with simulated() as daemon:
        alone = [_alone(daemon) for _ in range(rounds)]
        run.out.row("the write's answer, nobody listening, p50", Spread.of(alone).text("ms"))
        for count, rate in LOADS:
            results = [_fan_out(daemon, count, rate, seconds) for _ in range(rounds)]
            p50, p99, share, client, delivered, _ = (Spread.of(values) for values in zip(*results, strict=True))
            run.out.row(f"write -> event, {count:,} readers, {2 * rate:.0f} events/s, p50", p50.text("ms"))
            run.out.row("  p99", p99.text("ms"))
            run.out.row("  memory a reader, first round", f"{results[0][-1]:.1f} KiB")
            cores = f"daemon {share.median:.0%} of a core, readers {client.median:.0%}"
            run.out.row("  deliveries of all events", f"{delivered.text('/s')}, {cores}")


def _toggle(daemon: Daemon, is_on: bool) -> bytes:
    return request(daemon.address, "POST", f"/plugins/{PLUGIN}/enabled", {"enabled": is_on})


def _alone(daemon: Daemon, count: int = 100) -> float:
    readers = Readers()
    call = Call(readers, daemon.address)
    try:
        times = [call.send(_toggle(daemon, is_on=k % 2 == 1)) for k in range(count)]
        return percentile((end - began for began, end, _ in times), 0.5) * 1e3
    finally:
        call.close()
        readers.close()


def _fan_out(daemon: Daemon, count: int, rate: float, seconds: float) -> tuple[float, ...]:
    arrivals = [array("d") for _ in range(count)]
    readers, before = Readers(), usage(daemon.pid).rss_mib
    try:
        readers.open(daemon.address, "/events", [partial(_note, times) for times in arrivals])
        readers.settle(0.3)
        call = Call(readers, daemon.address)
        window, cpu = Window(daemon.pid), time.process_time()
        sent = _write(daemon, readers, call, rate, seconds)
        readers.until("every reader has every event", lambda: all(len(a) >= len(sent) for a in arrivals), 30)
        window.close()
        grown = (usage(daemon.pid).rss_mib - before) * 1024 / count
        delivered = sum(len(reader.ids) for reader in readers.all) / window.seconds
        client = (time.process_time() - cpu) / window.seconds
        call.close()
    finally:
        readers.close()
    if any(len(times) != len(sent) for times in arrivals):
        raise NotMeasured("a reader saw more events than there were writes")
    delays = array("d", (at - began for times in arrivals for at, began in zip(times, sent, strict=True)))
    return percentile(delays, 0.5) * 1e3, percentile(delays, 0.99) * 1e3, window.share, client, delivered, grown


def _note(times: array[float], frame: bytes, now: float) -> None:
    if event_type(frame) in TOGGLED:
        times.append(now)


def _write(daemon: Daemon, readers: Readers, call: Call, rate: float, seconds: float) -> list[float]:
    sent: list[float] = []
    began = time.perf_counter()
    for k in range(int(rate * seconds) & ~1):
        while (wait := began + k / rate - time.perf_counter()) > 0:
            readers.turn(max(0.0, wait - 0.001))
        at, _, status = call.send(_toggle(daemon, is_on=k % 2 == 1))
        if status != 200:
            raise NotMeasured(f"enabling a plugin was answered with {status}")
        sent.append(at)
    return sent
