"""Level-triggering: a toy world that drifts, and a controller that is told little, late, or nothing at all."""

from __future__ import annotations

import asyncio
import random

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.builders.controllers import a_controller, running
from tests.builders.virtual_time import VirtualClock, run_virtual, settle, virtual

from volant.reconcile import DONE, Again, Controller, Health, Outcome, supervise

RESYNC_S = 45.0


class Toy:
    """Numbers that are wanted and numbers that are; a turn makes one of the second equal to one of the first."""

    def __init__(self, clock: VirtualClock, *, resync_s: float = RESYNC_S, step_s: float = 0.1) -> None:
        self._clock = clock
        self._step_s = step_s
        self.wanted: dict[str, int] = {}
        self.world: dict[str, int] = {}
        self.visited: list[int | None] = []
        self.looks = 0
        self.controller: Controller[str] = a_controller(
            clock,
            self.reconcile,
            rng=random.Random(5),
            resync_keys=lambda: sorted(self.wanted | self.world),
            resync_s=resync_s,
        )

    async def reconcile(self, key: str) -> Outcome:
        self.looks += 1
        wanted = self.wanted.get(key)
        if self.world.get(key) == wanted:
            return DONE
        await self._clock.sleep(self._step_s)
        self.visited.append(wanted)
        if wanted is None:
            del self.world[key]
        else:
            self.world[key] = wanted
        return Again(0)


changes = st.lists(
    st.tuples(
        st.sampled_from("abc"),
        st.one_of(st.none(), st.integers(0, 3)),
        st.sampled_from(["wanted", "world"]),
        st.booleans(),
        st.sampled_from([0.0, 0.05, 3.0]),
    ),
    max_size=30,
)


@settings(deadline=None)
@given(changes)
def test_any_lost_events_cost_at_most_one_resync(story: list[tuple[str, int | None, str, bool, float]]) -> None:
    """L2: dropping any subset of events still converges within one resync."""

    async def main(clock: VirtualClock) -> None:
        toy = Toy(clock)
        async with running(toy.controller):
            for key, value, side, is_told, pause_s in story:
                table = getattr(toy, side)
                if value is None:
                    table.pop(key, None)
                else:
                    table[key] = value
                if is_told:
                    toy.controller.add(key)
                await clock.sleep(pause_s)
            await clock.sleep(RESYNC_S * 1.2 + 2)
            assert toy.world == toy.wanted, "\n".join(toy.controller.stories.text(key) for key in "abc")

    run_virtual(main)


@virtual
async def test_what_is_no_longer_wanted_need_not_be_visited(clock: VirtualClock) -> None:
    """L3: spec 2→5→3: the system need not visit 5; ends at 3."""
    toy = Toy(clock, step_s=1.0)
    async with running(toy.controller):
        for wanted in (2, 5, 3):
            toy.wanted["a"] = wanted
            toy.controller.add("a")
            await clock.sleep(0.2)
        await clock.sleep(10)
    assert toy.world == {"a": 3}
    assert toy.visited == [2, 3]


@virtual
async def test_a_change_by_hand_is_repaired_at_once_when_a_watcher_sees_it(clock: VirtualClock) -> None:
    """L6: external change is repaired without API activity: ≤ 1 s by a watcher."""
    toy = Toy(clock, resync_s=1e6)
    toy.wanted["a"] = 1

    async def watch(beat: object) -> None:
        while True:
            await clock.sleep(0.2)
            if toy.world != toy.wanted:
                toy.controller.add("a")

    async with running(toy.controller):
        await clock.sleep(1)
        watching = asyncio.create_task(supervise("toy", watch, clock, Health(clock)))
        del toy.world["a"]
        await clock.sleep(1)
        assert toy.world == {"a": 1}
        watching.cancel()


@virtual
async def test_a_change_by_hand_that_nobody_sees_is_repaired_at_the_resync(clock: VirtualClock) -> None:
    """L6: ≤ resync otherwise."""
    toy = Toy(clock)
    toy.wanted["a"] = 1
    async with running(toy.controller):
        await clock.sleep(100)
        toy.world["a"] = 7
        await clock.sleep(RESYNC_S * 1.2 + 1)
        assert toy.world == {"a": 1}


@virtual
async def test_at_rest_nothing_is_looked_at_but_by_the_resync(clock: VirtualClock) -> None:
    """L7: at the fixed point a turn does nothing, and a turn that did nothing asks for no other."""
    toy = Toy(clock, resync_s=1e6)
    toy.wanted.update(a=1, b=2, c=3)
    async with running(toy.controller):
        await clock.sleep(10)
        assert toy.world == toy.wanted
        looks, writes = toy.looks, len(toy.visited)
        await clock.sleep(10_000)
        assert toy.looks == looks
        toy.controller.add("a")
        await settle()
        assert toy.looks == looks + 1
        assert len(toy.visited) == writes == 3
        assert toy.controller.stats().delayed == 0
