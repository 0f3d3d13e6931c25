"""`hogs`: write latency beside processes that burn CPU, at the nice value that guests are started with and at nice 0.

The daemon and two burning processes share one core, the client has the other to itself: what is seen is what the
daemon suffers. Writes are `PATCH replicas` at 100 a second; in every round each case is measured once.
"""

from __future__ import annotations

from bench.figures import Spread
from bench.host import SERVER_CORES, hogs
from bench.load import Load, paced
from bench.patch import flips, prepare
from bench.run import Run
from bench.servers import simulated

RATE = 100
GUEST_NICE = 10
HOGS = 2
CASES = {
    "nobody": (0, 0),
    f"{HOGS} at nice {GUEST_NICE}, as guests": (HOGS, GUEST_NICE),
    f"{HOGS} at nice 0": (HOGS, 0),
}


def measure(run: Run) -> None:
    """Print it."""
    seconds = run.pick(4, 2)
    loads: dict[str, list[Load]] = {case: [] for case in CASES}
    with simulated() as daemon:
        prepare(daemon)
        for _ in range(run.pick(3, 2)):
            for case, (count, nice) in CASES.items():
                with hogs(count, nice, SERVER_CORES):
                    loads[case].append(paced(daemon.address, flips(daemon, seconds * RATE), rate=RATE).check(200))
    for case, rounds in loads.items():
        p50, p99 = (Spread.of(load.ms(share) for load in rounds) for share in (0.5, 0.99))
        run.out.row(f"PATCH at {RATE}/s beside {case}", f"p50 {p50.text()} p99 {p99.text('ms')}")
    quiet, *beside = loads.values()
    for case, rounds in zip(list(CASES)[1:], beside, strict=True):
        worse = Spread.of(a.ms(0.99) / b.ms(0.99) for a, b in zip(rounds, quiet, strict=True))
        run.out.row(f"  p99, beside {case} / nobody", worse.text("x"))
