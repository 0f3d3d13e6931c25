"""How many events trouble costs: bounded by what happens, never by how often something is tried."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from msgspec.structs import replace
from tests.builders.scenarios import at_first
from tests.builders.world import CALM, World, in_world, play

from volant.drivers.simulated.behaviour import LaunchFault

CRASHES = 40


def told(world: World) -> Counter[tuple[str, str]]:
    """How often what was said of whom, from the log."""
    return Counter((event.key.name, event.type) for event in world.store.events_after(0, 100_000))


@in_world(script=at_first(*[replace(CALM, ends_after_s=1.0)] * CRASHES))
async def test_a_crash_and_the_start_after_it_are_five_events_at_most(world: World) -> None:
    """E1, E2: nothing is said twice, so there is nothing to aggregate or to drop, and the backoff bounds the rate."""
    await world.users.install()
    await world.users.deploy("web", 1)
    await world.until(lambda: len(world.births("web-1")) == CRASHES + 1, within_s=CRASHES * 80.0)
    counts = told(world)
    assert counts["web-1", "vm.error"] == CRASHES
    assert sum(count for (name, _), count in counts.items() if name == "web-1") <= 3 * (CRASHES + 1)
    assert sum(count for (name, _), count in counts.items() if name == "web") <= 2 * (CRASHES + 1)


@pytest.mark.parametrize("fault", ["unavailable", "refused"])
def test_trying_again_and_failing_the_same_way_is_no_event(fault: LaunchFault, tmp_path: Path) -> None:
    """E1, L7: what is reported once is not reported by the tries after it."""

    async def test(world: World) -> None:
        await world.users.install()
        await world.users.create("web")
        await world.passes(1200.0)
        assert len(world.ops("launch")) > 20
        assert told(world)["web", "vm.error"] == 1
        assert sum(count for (name, _), count in told(world).items() if name == "web") <= 4

    play(test, tmp_path, script=at_first(*[replace(CALM, launch=fault)] * 1000))
