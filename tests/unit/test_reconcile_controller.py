"""The controller: what becomes of a key after each way a turn can end."""

from __future__ import annotations

import asyncio
import random
from collections import Counter

import pytest
from structlog.testing import capture_logs
from tests.builders.controllers import Turns, a_controller, plain_backoff, running
from tests.builders.virtual_time import VirtualClock, settle, virtual

from volant.errors import Conflict, DriverRefused, DriverUnavailable
from volant.reconcile import DONE, Again, Backoff, Outcome, RetryLimiter
from volant.reconcile.controller import CONFLICTS_FORGIVEN

FAILURES = [
    DriverUnavailable("cannot connect: the socket is busy"),
    ValueError("a fault of the program"),
    ExceptionGroup("several", [ValueError("one"), DriverUnavailable("cannot do the other")]),
    TimeoutError("of something inside"),
    KeyError("gone"),
    asyncio.CancelledError("something it waited for"),
]


@pytest.mark.parametrize("failure", FAILURES, ids=lambda failure: type(failure).__name__)
def test_a_failed_key_is_tried_again_with_backoff(failure: BaseException) -> None:
    """Q4, Q5, Q12: whatever a turn raises, the key is queued again, with backoff, and the worker lives."""

    @virtual
    async def scenario(clock: VirtualClock) -> None:
        turns = Turns(clock, *[failure] * 8)
        controller = a_controller(clock, turns, backoff=plain_backoff(clock), workers=1)
        async with running(controller):
            controller.add("a")
            await clock.sleep(1000)
        assert turns.gaps == [1, 2, 4, 8, 16, 32, 60, 60]

    scenario()


@virtual
async def test_success_ends_the_backoff(clock: VirtualClock) -> None:
    """Q8: after a success the next failure starts again at base; `Again` is a success."""
    down = DriverUnavailable("cannot")
    turns = Turns(clock, down, down, Again(5), down, DONE)
    controller = a_controller(clock, turns, backoff=plain_backoff(clock))
    async with running(controller):
        controller.add("a")
        await clock.sleep(1000)
    assert turns.gaps == [1, 2, 5, 1]


@virtual
async def test_retries_wait_for_the_limiter_and_first_attempts_do_not(clock: VirtualClock) -> None:
    """Q6: a global retry limiter bounds retries without delaying first attempts."""
    first: dict[str, float] = {}
    retries: list[float] = []

    async def reconcile(key: str) -> Outcome:
        if key in first:
            retries.append(clock.monotonic())
            return DONE
        first[key] = clock.monotonic()
        raise DriverUnavailable("cannot")

    backoff: Backoff[str] = Backoff(clock, random.Random(1), base_s=0.01, limiter=RetryLimiter(10, 20))
    controller = a_controller(clock, reconcile, backoff=backoff)
    async with running(controller):
        for number in range(520):
            controller.add(f"k{number}")
        await clock.sleep(120)
        assert set(first.values()) == {0.0}
        assert len(retries) == 520
        assert retries[-1] == pytest.approx(50, abs=0.5)
        controller.add("late")
        await settle()
        assert first["late"] == clock.monotonic()


@virtual
async def test_a_refused_key_waits_for_a_change_or_the_resync(clock: VirtualClock) -> None:
    """Q14: terminal: no retry until somebody adds the key; resync still brings it."""
    turns = Turns(clock, *[DriverRefused("cannot ever")] * 3)
    controller = a_controller(clock, turns, resync_keys=lambda: ["a"], resync_s=1000.0)
    async with running(controller):
        await clock.sleep(500)
        assert turns.at == [0.0]
        controller.add("a")
        await clock.sleep(100)
        assert turns.at == [0.0, 500.0]
        await clock.sleep(650)
        assert len(turns.at) == 3


@virtual
async def test_again_comes_back_when_it_said(clock: VirtualClock) -> None:
    """Q14: retry-after(t)."""
    turns = Turns(clock, Again(2.5), Again(0), Again(7))
    controller = a_controller(clock, turns)
    async with running(controller):
        controller.add("a")
        await clock.sleep(100)
    assert turns.at == [0, 2.5, 2.5, 9.5]


@virtual
async def test_an_add_comes_before_again(clock: VirtualClock) -> None:
    """Q9, Q14: `Again` is an upper bound."""
    turns = Turns(clock, Again(50), Again(50))
    controller = a_controller(clock, turns)
    async with running(controller):
        controller.add("a")
        await clock.sleep(10)
        controller.add("a")
        await clock.sleep(100)
    assert turns.at == [0, 10, 60]


@virtual
async def test_a_conflict_is_looked_at_again_at_once(clock: VirtualClock) -> None:
    """Q14: a lost race is no failure: decided on an old revision, so look again."""
    turns = Turns(clock, *[Conflict("cannot write: the object changed")] * CONFLICTS_FORGIVEN)
    controller = a_controller(clock, turns)
    async with running(controller):
        controller.add("a")
        await settle(100)
        assert turns.at == [0.0] * (CONFLICTS_FORGIVEN + 1)
        assert controller.stats().failures == 0
        assert controller.stats().retries == CONFLICTS_FORGIVEN


@virtual
async def test_conflicts_without_end_back_off(clock: VirtualClock) -> None:
    """Q14, Q5: a key that always conflicts does not spin."""
    turns = Turns(clock, *[Conflict("cannot write")] * (CONFLICTS_FORGIVEN + 4))
    controller = a_controller(clock, turns, backoff=plain_backoff(clock))
    async with running(controller):
        controller.add("a")
        await clock.sleep(100)
    assert turns.gaps == [0.0] * CONFLICTS_FORGIVEN + [1, 2, 4, 8]


@virtual
async def test_conflicts_are_counted_in_a_row(clock: VirtualClock) -> None:
    """Q14: a success or another failure in between starts the count of forgiven conflicts again."""
    lost = [Conflict("cannot write")] * CONFLICTS_FORGIVEN
    turns = Turns(clock, *lost, DONE, *lost, DriverUnavailable("cannot"), *lost, DONE)
    controller = a_controller(clock, turns, backoff=plain_backoff(clock))
    async with running(controller):
        controller.add("a")
        await settle(100)
        controller.add("a")
        await clock.sleep(100)
    assert turns.at == [0.0] * (2 * CONFLICTS_FORGIVEN + 2) + [1.0] * (CONFLICTS_FORGIVEN + 1)
    assert controller.stats().failures == 1


@virtual
async def test_a_refusal_ends_the_backoff(clock: VirtualClock) -> None:
    """Q14, Q8: who comes back after a refusal comes back for a new reason."""
    down = DriverUnavailable("cannot")
    turns = Turns(clock, down, down, down, DriverRefused("cannot ever"), down, DONE)
    controller = a_controller(clock, turns, backoff=plain_backoff(clock))
    async with running(controller):
        controller.add("a")
        await clock.sleep(50)
        controller.add("a")
        await clock.sleep(50)
    assert turns.at == [0, 1, 3, 7, 50, 51]


@virtual
async def test_changes_overtake_retries(clock: VirtualClock) -> None:
    """Q10, Q6: a storm of retries does not hold up what somebody asked for."""
    order: list[str] = []
    to_fail = {f"fails-{number}" for number in range(20)}

    async def reconcile(key: str) -> Outcome:
        order.append(key)
        await clock.sleep(0.1)
        if key in to_fail:
            to_fail.remove(key)
            raise DriverUnavailable("cannot")
        return DONE

    controller = a_controller(clock, reconcile, workers=1, backoff=plain_backoff(clock, 0.001))
    async with running(controller):
        for number in range(20):
            controller.add(f"fails-{number}")
        await clock.sleep(2.05)
        assert order[-1] == "fails-0"
        controller.add("changed")
        await clock.sleep(10)
    assert order[21] == "changed"
    assert len(order) == 41


@virtual
async def test_a_hung_turn_is_ended_and_tried_again(clock: VirtualClock) -> None:
    """Q12: per-reconcile timeout."""
    turns = Turns(clock, takes_s=1e6)
    controller = a_controller(clock, turns, timeout_s=30.0, backoff=plain_backoff(clock))
    async with running(controller):
        controller.add("a")
        await clock.sleep(65)
        assert turns.gaps == [31, 32]
    assert "TimeoutError: it took longer than 30 s" in controller.stories.text("a")


@virtual
async def test_a_hung_turn_does_not_hold_up_other_keys(clock: VirtualClock) -> None:
    """Q12: a hung reconcile of one key never stops others."""
    ended: Counter[str] = Counter()

    async def reconcile(key: str) -> Outcome:
        if key == "hangs":
            await asyncio.Event().wait()
        ended[key] += 1
        return DONE

    controller = a_controller(clock, reconcile, workers=2, timeout_s=60.0)
    async with running(controller):
        controller.add("hangs")
        for _ in range(30):
            await clock.sleep(1)
            controller.add("works")
        await settle()
        assert ended == {"works": 30}


@virtual
async def test_the_wall_clock_may_jump(clock: VirtualClock) -> None:
    """Q5, Q12: waits are measured with monotonic time."""
    turns = Turns(clock, DriverUnavailable("cannot"), Again(50))
    controller = a_controller(clock, turns, backoff=plain_backoff(clock))
    async with running(controller):
        controller.add("a")
        await settle()
        clock.jump(-86_400)
        await clock.sleep(2)
        clock.jump(7 * 86_400)
        await clock.sleep(100)
    assert turns.at == [0, 1, 51]


@pytest.mark.parametrize("workers", [1, 3, 16])
def test_one_key_is_reconciled_by_one_worker_at_a_time(workers: int) -> None:
    """Q1, Q2, Q3: alone with its object, and the last change is always looked at."""

    @virtual
    async def scenario(clock: VirtualClock) -> None:
        running_now: Counter[str] = Counter()
        desired: Counter[str] = Counter()
        seen: dict[str, int] = {}

        async def reconcile(key: str) -> Outcome:
            running_now[key] += 1
            assert running_now[key] == 1
            looked = desired[key]
            await clock.sleep(0.3)
            seen[key] = looked
            running_now[key] -= 1
            return DONE

        controller = a_controller(clock, reconcile, workers=workers)
        async with running(controller):
            for number in range(200):
                desired[f"k{number % 5}"] += 1
                controller.add(f"k{number % 5}")
                await clock.sleep(0.07)
            await clock.sleep(60)
        assert seen == desired

    scenario()


@virtual
async def test_a_failure_is_logged_when_it_starts_and_when_it_ends(clock: VirtualClock) -> None:
    """Q12: not once a try; a failure of another kind is another failure."""
    down, fault = DriverUnavailable("cannot"), ValueError("odd")
    turns = Turns(clock, down, down, down, fault, fault, DONE, DONE)
    controller = a_controller(clock, turns, backoff=plain_backoff(clock))
    with capture_logs() as logs:
        async with running(controller):
            controller.add("a")
            await clock.sleep(1000)
    told = [(entry["event"], entry.get("reason")) for entry in logs]
    assert told == [
        ("reconcile.failing", "DriverUnavailable"),
        ("reconcile.failing", "ValueError"),
        ("reconcile.recovered", None),
    ]
    assert [bool(entry.get("exc_info")) for entry in logs] == [False, True, False]
