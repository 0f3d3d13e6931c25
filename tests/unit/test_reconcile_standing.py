"""How one key stands with its controller: for whoever asks why nothing comes of it."""

from __future__ import annotations

import asyncio

from tests.builders.controllers import Turns, a_controller, plain_backoff, running
from tests.builders.virtual_time import VirtualClock, settle, virtual

from volant.errors import DriverRefused, DriverUnavailable
from volant.reconcile import DONE, Again, Outcome


@virtual
async def test_a_key_waits_is_worked_on_waits_again_and_rests(clock: VirtualClock) -> None:
    go_on = asyncio.Event()

    async def reconcile(key: str) -> Outcome:
        await go_on.wait()
        return Again(7.0) if clock.monotonic() < 5 else DONE

    controller = a_controller(clock, reconcile, workers=1, resync_s=100.0)
    async with running(controller):
        assert controller.standing("b").place == "idle"
        await clock.sleep(1)
        controller.add("a")
        controller.add("b")
        await settle()
        assert [(s.place, s.since) for s in map(controller.standing, "ab")] == [("working", 1.0), ("waiting", 1.0)]
        go_on.set()
        await clock.sleep(1)
        assert [(s.place, s.next_at) for s in map(controller.standing, "ab")] == [("delayed", 8.0), ("delayed", 8.0)]
        await clock.sleep(10)
        standing = controller.standing("a")
        assert (standing.place, standing.failures, standing.reason) == ("idle", 0, None)
        assert standing.next_at is not None
        assert 80 <= standing.next_at <= 120


@virtual
async def test_failures_in_a_row_are_counted_until_one_turn_does_not_fail(clock: VirtualClock) -> None:
    """Q5, Q8: with the time of the next try."""
    down = DriverUnavailable("cannot connect")
    controller = a_controller(clock, Turns(clock, down, down, down), backoff=plain_backoff(clock))
    async with running(controller):
        controller.add("a")
        await clock.sleep(3.5)
        standing = controller.standing("a")
        assert (standing.failures, standing.reason, standing.message) == (3, "DriverUnavailable", "cannot connect")
        assert (standing.place, standing.next_at) == ("delayed", 7.0)
        assert standing.turns[-1].times == 3
        await clock.sleep(10)
        assert (controller.standing("a").failures, controller.standing("a").reason) == (0, None)


@virtual
async def test_a_final_failure_waits_for_the_next_resync(clock: VirtualClock) -> None:
    controller = a_controller(clock, Turns(clock, DriverRefused("cannot, ever")), resync_s=100.0)
    async with running(controller):
        controller.add("a")
        await clock.sleep(1)
        standing = controller.standing("a")
        assert (standing.place, standing.failures, standing.reason) == ("idle", 1, "DriverRefused")
        assert standing.next_at is not None
        assert 80 <= standing.next_at <= 120


@virtual
async def test_the_text_of_a_fault_of_the_program_is_marked_and_told_to_nobody(clock: VirtualClock) -> None:
    """Nobody knows what it quotes."""
    controller = a_controller(clock, Turns(clock, ValueError("cannot decode TOPSECRET")))
    async with running(controller):
        controller.add("a")
        await settle()
        standing = controller.standing("a")
        assert (standing.reason, standing.message) == ("ValueError", "")
        assert [turn.is_internal for turn in standing.turns] == [True]


@virtual
async def test_a_turn_that_takes_too_long_says_so(clock: VirtualClock) -> None:
    """Q12"""
    controller = a_controller(clock, Turns(clock, takes_s=1e6), timeout_s=5.0)
    async with running(controller):
        controller.add("a")
        await clock.sleep(5.001)
        assert controller.standing("a").message == "it took longer than 5 s"
