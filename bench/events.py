"""`events`: from a write to its event at every reader: 100 of them, 1,000, and 1,000 at 100 events a second.

Each write enables or disables one of some plugins, on a connection of that plugin's own, when it is due, whether those
before it are answered or not. The time counts from when the request is sent to when a reader has the whole frame, over
all readers: request, commit, encoding and fan-out, so it is an upper bound of commit -> reader. A write's own answer,
with nobody listening, stands beside it; the difference is what listening costs. The plugin controller writes what it
has seen after each, so readers are sent twice as many events as there are writes. Memory is what the daemon's resident
set grew by while they read, over how many they are: a reader's socket, task and place in the ring, and what was in
flight to it.
"""

from __future__ import annotations

import time
from array import array
from collections.abc import Iterator, Sequence
from functools import partial

from bench.figures import Spread, percentile
from bench.host import Window, usage
from bench.report import NotMeasured
from bench.run import Run
from bench.servers import PLUGIN, Daemon, install, manifest, simulated
from bench.streams import Call, Pipeline, Readers, event_type
from bench.wire import request

LOADS = ((100, 100.0), (1_000, 10.0), (1_000, 50.0))
"""Readers, and writes a second. The last one is 100,000 deliveries a second, beyond what one core of each can do."""

WRITERS = 8
TOGGLED = frozenset({b"plugin.enabled", b"plugin.disabled"})


def measure(run: Run) -> None:
    """Print it."""
    seconds, rounds = run.pick(4.0, 2.0), run.pick(3, 1)
    with simulated() as daemon:
        alone = [_alone(daemon) for _ in range(rounds)]
    run.out.row("the write's answer, nobody listening, p50", Spread.of(alone).text("ms"))
    for count, rate in LOADS:
        results = [_fan_out(count, rate, seconds) for _ in range(rounds)]
        p50, p99, share, client, delivered, grown = (Spread.of(values) for values in zip(*results, strict=True))
        run.out.row(f"write -> event, {count:,} readers, {2 * rate:.0f} events/s, p50", p50.text("ms"))
        run.out.row("  p99", p99.text("ms"))
        run.out.row("  memory a reader", grown.text("KiB"))
        cores = f"daemon {share.median:.0%} of a core, readers {client.median:.0%}"
        run.out.row("  deliveries of all events", f"{delivered.text('/s')}, {cores}")


def _toggle(daemon: Daemon, plugin: str, is_on: bool) -> bytes:
    return request(daemon.address, "POST", f"/plugins/{plugin}/enabled", {"enabled": is_on})


def _alone(daemon: Daemon, count: int = 100) -> float:
    readers = Readers()
    call = Call(readers, daemon.address)
    try:
        times = [call.send(_toggle(daemon, PLUGIN, is_on=k % 2 == 1)) for k in range(count)]
        return percentile((end - began for began, end, _ in times), 0.5) * 1e3
    finally:
        call.close()
        readers.close()


Arrivals = list["array[float]"]
"""When one reader had the events of each writer, in their order."""


def _fan_out(count: int, rate: float, seconds: float) -> tuple[float, ...]:
    """With a daemon of its own, because memory that was used once is not given back."""
    arrivals: list[Arrivals] = [[array("d") for _ in range(WRITERS)] for _ in range(count)]
    with simulated() as daemon:
        for n in range(WRITERS):
            install(daemon, manifest(f"{PLUGIN}-{n}", daemon.data.parent / "artifacts"))
        readers, before = Readers(), usage(daemon.pid).rss_mib
        try:
            readers.open(daemon.address, "/events", [partial(_note, times) for times in arrivals])
            readers.settle(0.3)
            writers = [Pipeline(readers, daemon.address) for _ in range(WRITERS)]
            window, cpu = Window(daemon.pid), time.process_time()
            sent = _write(daemon, readers, writers, rate, seconds)
            _finish(readers, writers, arrivals, sent)
            window.close()
            grown = (usage(daemon.pid).rss_mib - before) * 1024 / count
            delivered = sum(len(reader.ids) for reader in readers.all) / window.seconds
            client = (time.process_time() - cpu) / window.seconds
            for writer in writers:
                writer.close()
        finally:
            readers.close()
    delays = array("d", (at - began for reader in arrivals for at, began in _pairs(reader, sent)))
    return percentile(delays, 0.5) * 1e3, percentile(delays, 0.99) * 1e3, window.share, client, delivered, grown


def _note(times: Arrivals, frame: bytes, now: float) -> None:
    if event_type(frame) in TOGGLED:
        at = frame.index(_NAME) + len(_NAME)
        times[int(frame[at : at + 1])].append(now)


_NAME = b'"name":"%b-' % PLUGIN.encode()


def _pairs(reader: Arrivals, sent: Arrivals) -> Iterator[tuple[float, float]]:
    for seen, began in zip(reader, sent, strict=True):
        if len(seen) != len(began):
            raise NotMeasured("a reader saw more events than there were writes")
        yield from zip(seen, began, strict=True)


def _write(daemon: Daemon, readers: Readers, writers: Sequence[Pipeline], rate: float, seconds: float) -> Arrivals:
    """When each write was sent; at that rate, whatever becomes of those before."""
    sent: Arrivals = [array("d") for _ in range(WRITERS)]
    began = time.perf_counter()
    for k in range(int(rate * seconds)):
        while (wait := began + k / rate - time.perf_counter()) > 0:
            _turn(readers, writers, max(0.0, wait - 0.001))
        turn, n = divmod(k, WRITERS)
        sent[n].append(writers[n].send(_toggle(daemon, f"{PLUGIN}-{n}", is_on=turn % 2 == 1)))
    return sent


def _turn(readers: Readers, writers: Sequence[Pipeline], timeout_s: float) -> None:
    readers.turn(timeout_s)
    for writer in writers:
        writer.read()


def _finish(
    readers: Readers, writers: Sequence[Pipeline], arrivals: Sequence[Arrivals], sent: Arrivals, bound_s: float = 30.0
) -> None:
    """Read until everybody has seen everything."""
    deadline = time.perf_counter() + bound_s
    while any(len(seen) < len(began) for reader in arrivals for seen, began in zip(reader, sent, strict=True)) or any(
        writer.answered < len(began) for writer, began in zip(writers, sent, strict=True)
    ):
        if time.perf_counter() > deadline:
            raise NotMeasured(f"every reader has every event: not within {bound_s:.0f} s")
        _turn(readers, writers, 0.05)
