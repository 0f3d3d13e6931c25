"""So many examples of the world machine, in batches that a number names: the same number, the same examples.

    make gate-b EXAMPLES=100000 [FIRST=0]      every core, batch after batch; stops at the first that fails

A batch is one run of hypothesis with its number as the seed and no database, so that a run depends on nothing but the
code. A failure is shrunk and told with its steps, the stories of the keys and the last requests.
"""

from __future__ import annotations

import logging
import os
import sys
import time
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from itertools import count, islice

import structlog
from hypothesis import HealthCheck, seed, settings
from hypothesis.stateful import run_state_machine_as_test
from tests.builders.machine import ProbedMachine, WorldMachine
from tests.builders.machine_stage import Machine

BATCH = 100
STEPS = 30


def run_batch(number: int, *, examples: int = BATCH, with_probes: bool = False) -> int:
    """Play a batch; how many examples there were. Raises what the machine raises, with the steps that lead to it."""
    kind = ProbedMachine if with_probes else WorldMachine
    # A class of its own, because a seed is kept in it.
    batch: type[Machine] = type(kind.__name__, (kind,), {"__module__": kind.__module__})
    seed(number)(batch)
    run_state_machine_as_test(
        batch,
        settings=settings(
            max_examples=examples,
            stateful_step_count=STEPS,
            deadline=None,
            database=None,
            derandomize=True,
            print_blob=True,
            report_multiple_bugs=False,
            suppress_health_check=list(HealthCheck),
        ),
    )
    return batch.played


def _quietly(number: int) -> int:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    return run_batch(number, with_probes=number % 2 == 1)


def main(examples: int, first: int = 0) -> None:
    """Play at least so many examples, from batch `first` on, and say how it goes. Raises what a batch raises."""
    began, played = time.monotonic(), 0
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        numbers = count(first)
        running = [(n, pool.submit(_quietly, n)) for n in islice(numbers, 2 * (os.cpu_count() or 1))]
        for number, batch in _in_order(running):
            try:
                played += batch.result()
            except BaseException:
                print(f"batch {number} fails", flush=True)
                pool.shutdown(wait=False, cancel_futures=True)
                raise
            print(f"batch {number}: {played} examples, {time.monotonic() - began:.0f} s", flush=True)
            if played + BATCH * len(running) < examples:
                following = next(numbers)
                running.append((following, pool.submit(_quietly, following)))


def _in_order(running: list[tuple[int, Future[int]]]) -> Iterator[tuple[int, Future[int]]]:
    while running:
        yield running.pop(0)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
