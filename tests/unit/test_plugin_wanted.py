"""Long work that ends early when nobody wants it."""

from __future__ import annotations

import asyncio

import pytest
from tests.builders.virtual_time import VirtualClock, virtual

from volant.controllers.plugin.wanted import while_wanted
from volant.errors import ArtifactUnavailable


@virtual
async def test_work_that_is_wanted_gives_its_result_when_it_ends(clock: VirtualClock) -> None:
    async def work() -> str:
        await clock.sleep(60.25)
        return "done"

    assert await while_wanted(work, lambda: True, clock) == "done"
    assert clock.monotonic() == 60.25


@virtual
async def test_work_that_fails_raises_what_it_raised(clock: VirtualClock) -> None:
    async def work() -> str:
        raise ArtifactUnavailable("cannot fetch it")

    with pytest.raises(ArtifactUnavailable):
        await while_wanted(work, lambda: True, clock)


@virtual
async def test_work_that_is_no_longer_wanted_is_cancelled(clock: VirtualClock) -> None:
    async def work() -> str:
        await clock.sleep(1800)
        return "done"

    assert await while_wanted(work, lambda: clock.monotonic() < 7, clock) is None
    assert 7 <= clock.monotonic() < 8


@virtual
async def test_cancelling_whoever_waits_cancels_the_work(clock: VirtualClock) -> None:
    cancelled: list[bool] = []

    async def work() -> str:
        try:
            await clock.sleep(1800)
        except asyncio.CancelledError:
            cancelled.append(True)
            raise
        return "done"

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(5):
            await while_wanted(work, lambda: True, clock)
    assert cancelled == [True]
