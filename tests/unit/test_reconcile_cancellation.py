"""Cancelled once, everything ends: also a turn, a watcher or a fetch that makes another error of its cancellation."""

from __future__ import annotations

import asyncio

from tests.builders.controllers import a_controller, running
from tests.builders.virtual_time import VirtualClock, settle, virtual

from volant.controllers.plugin.wanted import while_wanted
from volant.errors import DriverUnavailable, Unavailable
from volant.reconcile import Beat, Health, Outcome, supervise


class Stubborn:
    """Waits, and raises something else when it is cancelled, as cleaning up may do."""

    def __init__(self, clock: VirtualClock) -> None:
        self._clock = clock
        self.begun = 0

    async def reconcile(self, _key: str) -> Outcome:
        """A turn."""
        return await self._wait()

    async def watch(self, _beat: Beat) -> None:
        """A watcher."""
        await self._wait()

    async def _wait(self) -> Outcome:
        self.begun += 1
        try:
            await self._clock.sleep(1e6)
        except asyncio.CancelledError as error:
            raise DriverUnavailable("cannot clean up") from error
        raise AssertionError("nobody waits so long")


@virtual
async def test_a_turn_that_fails_when_it_is_cancelled_does_not_keep_its_worker(clock: VirtualClock) -> None:
    """Q11, S1: the controller ends, and begins no other turn."""
    stubborn = Stubborn(clock)
    controller = a_controller(clock, stubborn.reconcile, workers=1)
    async with asyncio.timeout(10.0), running(controller):
        controller.add("a")
        controller.add("b")
        await settle()
    assert stubborn.begun == 1


@virtual
async def test_a_watcher_that_fails_when_it_is_cancelled_is_not_started_again(clock: VirtualClock) -> None:
    """L8, S1: it is supervised until the supervisor is told to end."""
    stubborn = Stubborn(clock)
    supervisor = asyncio.create_task(supervise("stubborn", stubborn.watch, clock, Health(clock)))
    await settle()
    supervisor.cancel()
    await asyncio.wait([supervisor], timeout=10.0)
    assert supervisor.cancelled()
    assert stubborn.begun == 1


@virtual
async def test_a_fetch_goes_on_while_nobody_can_say_whether_it_is_wanted(clock: VirtualClock) -> None:
    """S4: a store that cannot be read is no reason to give a download up."""

    def is_wanted() -> bool:
        raise Unavailable("cannot read: the disk reports an I/O error.")

    async def work() -> str:
        await clock.sleep(5.0)
        return "there"

    assert await while_wanted(work, is_wanted, clock) == "there"
