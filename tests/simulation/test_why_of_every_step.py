"""Whatever is not ready says why, at every step of every story, whatever is spoiled in it."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from tests.builders.harm import Fault
from tests.builders.rolls import SCENARIOS
from tests.builders.scenarios import Scenario
from tests.builders.spoils import How
from tests.builders.why_judge import everything
from tests.builders.world import World, play

STEP_S = 0.35
"""Between two looks at everything while nothing happens."""
EVERY = 5
"""Of so many effects of a story one is spoiled: the campaigns spoil each, and look at what is committed only."""
HOWS: tuple[How, ...] = ("error", "crash after", "lost answer")


async def watched(world: World, scenario: Scenario) -> range:
    """Play the story, asking everything why it is not ready at every step; which effects are its own."""
    world.oracles.closer = lambda life: everything(life, world.clock)
    watching = asyncio.create_task(watch(world), name="watch")
    try:
        await scenario.begin(world)
        begin = len(world.record.effects)
        await scenario.told(world)
        await world.rest()
    finally:
        watching.cancel()
        await asyncio.wait([watching])
    if not watching.cancelled():
        watching.result()
    return range(begin, len(world.record.effects), EVERY)


async def watch(world: World) -> None:
    """Ask while time passes."""
    while True:
        life = world.lives[-1]
        if not life.is_dead and life.fault is None:
            world.oracles.complaints += everything(life, world.clock)
        await world.clock.sleep(STEP_S)


@pytest.mark.parametrize("name", [name for name in SCENARIOS if name != "roll_over"])  # whose states others have too
def test_what_is_not_ready_has_a_current_reason_at_every_step(name: str, tmp_path: Path) -> None:
    """V6, V9: never empty, never of an older generation, never a try in the past."""
    scenario, found = SCENARIOS[name], list[range]()

    async def test(world: World) -> None:
        found.append(await watched(world, scenario))

    directory = tmp_path / "reference"
    directory.mkdir()
    play(test, directory, **scenario.options)
    for number, at in enumerate(found[0]):
        directory = tmp_path / f"{at}"
        directory.mkdir()
        play(test, directory, plan=Fault(at, HOWS[number % len(HOWS)]), **scenario.options)
