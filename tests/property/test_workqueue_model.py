"""The workqueue against its model, and queues that are wrong on purpose against the same model.

A machine that accepts one of the wrong queues would prove nothing about the real one.
"""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test
from tests.builders.queue_machine import QueueMachine

from volant.clock import Clock
from volant.reconcile import Gate, Priority, ShutDown, Workqueue

FRESH = Priority.FRESH


class TestWorkqueue(QueueMachine.TestCase):  # type: ignore[valid-type,misc]
    """Q1, Q2, Q3, Q9, Q10, Q11, S4: the queue does what the model does, in whichever order things happen."""

    settings = settings(max_examples=150, stateful_step_count=50, deadline=None)


class LosesWhatIsAddedDuringWork(Workqueue[str]):
    def add(self, key: str, priority: Priority = FRESH) -> None:
        if key not in self._working:
            super().add(key, priority)


class HandsOutTwice(Workqueue[str]):
    def add(self, key: str, priority: Priority = FRESH) -> None:
        since = self._working.pop(key, None)
        super().add(key, priority)
        if since is not None:
            self._working[key] = since


class DropsTheDone(Workqueue[str]):
    def done(self, key: str) -> None:
        self._once_more.pop(key, None)
        super().done(key)


class NeverEndsTheWork(Workqueue[str]):
    def done(self, key: str) -> None:
        since = self._working[key]
        super().done(key)
        self._working.setdefault(key, since)


class ForgetsTheHigherPriority(Workqueue[str]):
    def add(self, key: str, priority: Priority = FRESH) -> None:
        if key not in self._routine:
            super().add(key, priority)


class KeepsTheLatestDueTime(Workqueue[str]):
    def add_after(self, key: str, seconds: float, priority: Priority = FRESH) -> None:
        self._due.discard(key)
        super().add_after(key, seconds, priority)


class LooksTwiceForOneWish(Workqueue[str]):
    def _take(self) -> str:
        wishes = dict(self._due._live)
        key = super()._take()
        if key in wishes:
            self._due.put(key, wishes[key][0], wishes[key][3])
        return key


class NeverAges(Workqueue[str]):
    def __init__(self, clock: Clock, *, gate: Gate | None = None, aging_s: float = 0.0) -> None:
        super().__init__(clock, gate=gate, aging_s=1e9)


class StarvesFreshKeys(Workqueue[str]):
    def _next_line(self, now: float):  # type: ignore[no-untyped-def]
        self._is_routine_turn = False
        return super()._next_line(now)


class SwallowsTheWakeOfACancelledGetter(Workqueue[str]):
    async def _nap(self) -> None:
        getter = asyncio.get_running_loop().create_future()
        self._getters.append(getter)
        await getter


class IgnoresTheGate(Workqueue[str]):
    async def get(self) -> str:
        while not (self._fresh or self._routine):
            if self._is_shut:
                raise ShutDown
            await self._nap()
        return self._take()


class SleepsThroughTheOpening(Workqueue[str]):
    def _wake_all(self) -> None:
        self._wake_one()


class TakesWhenShut(Workqueue[str]):
    def add(self, key: str, priority: Priority = FRESH) -> None:
        was_shut, self._is_shut = self._is_shut, False
        super().add(key, priority)
        self._is_shut = was_shut


@pytest.mark.parametrize(
    "broken",
    [
        LosesWhatIsAddedDuringWork,
        HandsOutTwice,
        DropsTheDone,
        NeverEndsTheWork,
        ForgetsTheHigherPriority,
        KeepsTheLatestDueTime,
        LooksTwiceForOneWish,
        NeverAges,
        StarvesFreshKeys,
        SwallowsTheWakeOfACancelledGetter,
        IgnoresTheGate,
        SleepsThroughTheOpening,
        TakesWhenShut,
    ],
)
def test_the_machine_finds_a_queue_that_breaks_a_promise(broken: type[Workqueue[str]]) -> None:
    """Q1, Q2, Q3, Q9, Q10, Q11, S4: a queue that loses a key, hands one out twice or drops a `done` is caught."""
    machine = type("BrokenQueueMachine", (QueueMachine,), {"queue_type": broken})
    search = settings(
        max_examples=1000,
        stateful_step_count=50,
        deadline=None,
        database=None,
        derandomize=True,
        phases=(Phase.generate,),
        print_blob=False,
        suppress_health_check=list(HealthCheck),
    )
    with pytest.raises((AssertionError, RuntimeError)):
        run_state_machine_as_test(machine, settings=search)
