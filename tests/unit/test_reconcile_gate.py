"""The gate: closed for as long as there is a reason."""

from __future__ import annotations

import asyncio

from tests.builders.virtual_time import VirtualClock, virtual

from volant.reconcile import Gate


@virtual
async def test_it_is_open_when_the_last_reason_is_gone(clock: VirtualClock) -> None:
    """S4: several may have closed it; each takes back its own reason."""
    gate = Gate(clock)
    opened: list[float] = []
    gate.when_open(lambda: opened.append(clock.monotonic()))
    gate.close("a")
    gate.close("a")
    gate.close("b")
    gate.open("a")
    gate.open("never given")
    assert gate.reasons == ("b",)
    assert not gate.is_open
    gate.open("b")
    gate.open("b")
    assert gate.is_open
    assert opened == [0.0]


@virtual
async def test_it_opens_by_itself_after_a_while(clock: VirtualClock) -> None:
    """S4: recovers alone."""
    gate = Gate(clock)
    gate.close_for(5, "store")
    async with asyncio.timeout(60):
        await gate.wait()
    assert clock.monotonic() == 5


@virtual
async def test_the_latest_end_of_one_reason_counts(clock: VirtualClock) -> None:
    gate = Gate(clock)
    gate.close_for(5, "store")
    gate.close_for(9, "store")
    gate.close_for(2, "store")
    await gate.wait()
    assert clock.monotonic() == 9


@virtual
async def test_an_endless_closure_is_not_ended_by_a_timer(clock: VirtualClock) -> None:
    for first_for_a_while in (True, False):
        gate = Gate(clock)
        if first_for_a_while:
            gate.close_for(1, "store")
        gate.close("store")
        gate.close_for(1, "store")
        await clock.sleep(100)
        assert not gate.is_open


@virtual
async def test_a_reason_taken_back_early_does_not_come_undone_later(clock: VirtualClock) -> None:
    gate = Gate(clock)
    gate.close_for(5, "store")
    gate.open("store")
    gate.close("store")
    await clock.sleep(10)
    assert not gate.is_open


@virtual
async def test_it_says_when_it_opens_by_itself(clock: VirtualClock) -> None:
    gate = Gate(clock)
    assert gate.opens_at is None
    gate.close_for(5, "store")
    gate.close_for(9, "disk")
    assert gate.opens_at == 9
    gate.close("host")
    assert gate.opens_at is None
