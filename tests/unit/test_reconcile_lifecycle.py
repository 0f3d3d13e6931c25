"""A controller from its start to its end: ready, resync, figures, drain, cancel."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable

import pytest
from structlog.testing import capture_logs
from tests.builders.controllers import Turns, a_controller, running
from tests.builders.virtual_time import VirtualClock, settle, virtual

from volant.errors import DriverRefused, DriverUnavailable, Unavailable
from volant.reconcile import DONE, Controller, Outcome, Priority


@virtual
async def test_no_turn_begins_before_the_observers_are_ready(clock: VirtualClock) -> None:
    """L4: no reconcile acts until all observers have completed a first full pass."""
    ready = asyncio.Event()
    turns = Turns(clock)
    controller = a_controller(clock, turns, ready=ready, resync_keys=lambda: ["a", "b"])
    async with running(controller):
        controller.add("c")
        controller.add_after("d", 10)
        await clock.sleep(300)
        assert turns.at == []
        ready.set()
        await settle()
        assert len(turns.at) == 4


@virtual
async def test_every_key_comes_round_at_each_resync(clock: VirtualClock) -> None:
    """L5: periodic resync with jitter ± 20 %, the first at once."""
    turns = Turns(clock)
    controller = a_controller(clock, turns, resync_keys=lambda: ["a"], resync_s=45.0)
    async with running(controller):
        await clock.sleep(10_000)
    assert turns.at[0] == 0
    assert all(36 <= gap <= 54 for gap in turns.gaps)
    assert max(turns.gaps) - min(turns.gaps) > 9, "the period varies"


@virtual
async def test_fresh_changes_overtake_the_resync(clock: VirtualClock) -> None:
    """L5, Q10: resync and start-up are routine work."""
    order: list[str] = []

    async def reconcile(key: str) -> Outcome:
        order.append(key)
        await clock.sleep(0.01)
        return DONE

    controller = a_controller(
        clock, reconcile, workers=1, resync_keys=lambda: [f"old-{n}" for n in range(100)], resync_s=1e6
    )
    async with running(controller):
        await clock.sleep(0.1)
        controller.add("changed")
        await clock.sleep(10)
    assert order.index("changed") < 15
    assert len(order) == 101


@virtual
async def test_a_resync_that_cannot_list_is_tried_again_soon(clock: VirtualClock) -> None:
    """L5, S4: without resync every lost event would stay lost."""
    turns = Turns(clock)
    answers: list[BaseException | list[str]] = [Unavailable("cannot read"), OSError("odd"), ["a"]]

    def keys() -> list[str]:
        answer = answers.pop(0)
        if isinstance(answer, BaseException):
            raise answer
        return answer

    controller = a_controller(clock, turns, resync_keys=keys, resync_s=45.0)
    with capture_logs() as logs:
        async with running(controller):
            await clock.sleep(10)
            assert len(turns.at) == 1
            answers += [OSError("odd"), ["a"], ["a"]]
            await clock.sleep(100)
            assert len(turns.at) == 3
    assert [entry["event"] for entry in logs] == ["resync.failing", "resync.recovered"] * 2


@virtual
async def test_cancelling_a_controller_ends_it_and_its_turns(clock: VirtualClock) -> None:
    """S1: CancelledError propagates, also out of a turn under way."""
    ends: list[str] = []

    async def reconcile(key: str) -> Outcome:
        try:
            await clock.sleep(1e6)
        except asyncio.CancelledError:
            ends.append(key)
            raise
        return DONE

    controller = a_controller(clock, reconcile)
    run = asyncio.create_task(controller.run())
    controller.add("a")
    await clock.sleep(5)
    run.cancel()
    with pytest.raises(asyncio.CancelledError):
        await run
    assert ends == ["a"]
    assert controller.stats().in_flight == 0


@virtual
async def test_drain_lets_turns_end_and_begins_no_more(clock: VirtualClock) -> None:
    """Q11, S1: drain with a deadline."""
    turns = Turns(clock, DriverUnavailable("cannot"), takes_s=3)
    controller = a_controller(clock, turns, workers=1, resync_keys=lambda: ["a", "b", "c"], resync_s=10.0)
    async with running(controller):
        await clock.sleep(1)
        assert await controller.drain(deadline_s=5)
        assert clock.monotonic() == 3
        await clock.sleep(1000)
        assert turns.at == [0.0]


@virtual
async def test_drain_says_when_turns_outlive_its_deadline(clock: VirtualClock) -> None:
    """Q11: with a deadline; the stragglers end when `run` is cancelled."""
    controller = a_controller(clock, Turns(clock, takes_s=100))
    async with running(controller):
        controller.add("a")
        await settle()
        assert not await controller.drain(deadline_s=1)
        assert controller.stats().in_flight == 1
    assert controller.stats().in_flight == 0


@virtual
async def test_figures_of_a_controller(clock: VirtualClock) -> None:
    """Q13: depth, oldest age, queue latency, work time, retries, unfinished seconds, longest running."""
    turns = Turns(clock, DONE, DriverRefused("cannot"), takes_s=4)
    controller = a_controller(clock, turns, workers=2)
    async with running(controller):
        for key in ("a", "b", "c", "d", "e"):
            controller.add(key)
        controller.add_after("f", 1000)
        await clock.sleep(1)
        controller.add("g", Priority.ROUTINE)
        await clock.sleep(2)
        stats = controller.stats()
        assert (stats.name, stats.depth, stats.delayed, stats.in_flight) == ("test", 4, 1, 2)
        assert (stats.oldest_age_s, stats.longest_running_s, stats.unfinished_s) == (3, 3, 6)
        assert (stats.reconciles, stats.failures, stats.retries) == (0, 0, 0)
        await clock.sleep(100)
        later = controller.stats()
        assert (later.depth, later.in_flight, later.oldest_age_s, later.longest_running_s) == (0, 0, 0, 0)
        assert (later.reconciles, later.failures, later.retries, later.failing) == (6, 1, 0, 1)
        assert (later.work.count, later.work.sum_s, later.work.max_s) == (6, 24, 4)
        assert (later.latency.count, later.latency.max_s) == (6, 8)
        assert stats.latency.count == 2, "a snapshot does not change"


def test_the_same_seed_replays_the_same_run() -> None:
    """Q7: chance is handed in."""

    def trace(seed: int) -> list[float]:
        at: list[float] = []

        @virtual
        async def scenario(clock: VirtualClock) -> None:
            turns = Turns(clock, *[DriverUnavailable("cannot")] * 5)
            reconcile: Callable[[str], Awaitable[Outcome]] = turns
            controller: Controller[str] = a_controller(
                clock, reconcile, rng=random.Random(seed), resync_keys=lambda: ["a"], resync_s=45.0
            )
            async with running(controller):
                await clock.sleep(200)
            at.extend(turns.at)

        scenario()
        return at

    assert trace(1) == trace(1) != trace(2)
