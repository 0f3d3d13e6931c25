"""S4: while the store cannot be written nobody acts, and everybody goes on alone when it can."""

from __future__ import annotations

from itertools import pairwise

from structlog.testing import capture_logs
from tests.builders.controllers import Turns, a_controller, running
from tests.builders.virtual_time import VirtualClock, virtual

from volant.errors import Unavailable
from volant.reconcile import DONE, Gate, Outcome


@virtual
async def test_a_store_that_cannot_write_stops_every_controller_of_the_gate(clock: VirtualClock) -> None:
    """S4: controllers stop acting while the store is unavailable, and recover alone."""
    gate = Gate(clock)
    is_full = True
    attempts: list[float] = []
    ended: list[str] = []

    async def reconcile(key: str) -> Outcome:
        assert gate.is_open
        attempts.append(clock.monotonic())
        if is_full:
            raise Unavailable("cannot write: the disk is full")
        ended.append(key)
        return DONE

    first, second = (a_controller(clock, reconcile, gate=gate) for _ in range(2))
    keys = [f"k{number}" for number in range(50)]
    async with running(first, second):
        for key in keys:
            first.add(key)
            second.add(key)
        await clock.sleep(600)
        assert len(attempts) < 600, "one look a pause, not one a key"
        gaps = [later - earlier for earlier, later in pairwise(attempts)]
        assert all(3.9 < gap < 6.1 for gap in gaps[-50:]), "the pause grows to a few seconds and no further"
        is_full = False
        await clock.sleep(10)
        assert sorted(ended) == sorted(keys * 2)
        assert gate.is_open
        await clock.sleep(600)
        assert len(ended) == 100


@virtual
async def test_each_outage_is_an_outage_of_its_own(clock: VirtualClock) -> None:
    """S4: after a recovery the next pause is short again, and is told again."""
    down = Unavailable("cannot write")
    turns = Turns(clock, *[down] * 6, DONE, down, DONE)
    controller = a_controller(clock, turns)
    with capture_logs() as logs:
        async with running(controller):
            controller.add("a")
            await clock.sleep(100)
            controller.add("a")
            await clock.sleep(100)
    assert turns.gaps[-1] < 1
    assert [entry["event"] for entry in logs] == ["controller.paused", "controller.resumed"] * 2


@virtual
async def test_turns_that_fail_together_make_one_pause(clock: VirtualClock) -> None:
    """S4: sixteen workers that meet the same full disk do not double the pause sixteen times."""
    gate = Gate(clock)
    is_full = True

    async def reconcile(key: str) -> Outcome:
        await clock.sleep(0.01)
        if is_full:
            raise Unavailable("cannot write: the disk is full")
        return DONE

    controller = a_controller(clock, reconcile, gate=gate, workers=16)
    async with running(controller):
        for number in range(16):
            controller.add(f"k{number}")
        await clock.sleep(0.02)
        is_full = False
        assert not gate.is_open
        await clock.sleep(0.7)
        assert gate.is_open
        assert controller.stats().failures == 16
        assert (controller.stats().depth, controller.stats().delayed) == (0, 0)


@virtual
async def test_an_unavailable_store_is_logged_once(clock: VirtualClock) -> None:
    """S4: once when it starts and once when it ends, whoever succeeds without writing in between."""
    down = [Unavailable("cannot write")] * 40
    turns = Turns(clock, *down)

    async def reconcile(key: str) -> Outcome:
        return await turns(key) if key == "writes" else DONE

    controller = a_controller(clock, reconcile)
    with capture_logs() as logs:
        async with running(controller):
            controller.add("writes")
            for _ in range(300):
                controller.add("reads")
                await clock.sleep(1)
    assert [entry["event"] for entry in logs] == ["controller.paused", "controller.resumed"]
