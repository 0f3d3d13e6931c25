"""A row goes last: whatever spoils its end, at no moment is something of it on the host that no row answers for.

The collector would find such remains half a minute later and the end would look the same, so they are looked for with
every commit and around every effect.
"""

from __future__ import annotations

import shutil
from collections.abc import Collection
from pathlib import Path

import pytest
from tests.builders.harm import Fault
from tests.builders.life import Life
from tests.builders.scenarios import SCENARIOS, Scenario
from tests.builders.spoils import How
from tests.builders.world import World, in_world, play

HOWS: tuple[How, ...] = ("crash before", "crash after", "error", "lost answer")


def left_behind(world: World, life: Life) -> Collection[str]:
    """What is on the host of a VM that the log knows and the store does not."""
    names, found = world.oracles.replay.names, {*world.host.networks, *(guest.uid for guest in world.host.guests())}
    remains = (uid for uid in found if uid in names and life.store.find_uid(uid) is None)
    return [f"D2: {names[uid]} is gone, and not all that was made for it" for uid in remains]


def perform(scenario: Scenario, directory: Path, fault: Fault | None = None) -> tuple[int, int]:
    """Play it, look all the time, and say which effects were the story's."""
    found: list[int] = []

    async def test(world: World) -> None:
        world.oracles.closer = lambda life: left_behind(world, life)
        await scenario.begin(world)
        found.append(len(world.record.effects))
        await scenario.told(world)
        await world.rest()
        world.check()
        found.append(len(world.record.effects))

    directory.mkdir()
    try:
        play(test, directory, plan=fault, **scenario.options)
    finally:
        shutil.rmtree(directory)
    return found[0], found[1]


@pytest.mark.parametrize("name", ["delete", "delete_what_is_stopped", "delete_what_has_crashed", "scale_down"])
def test_no_row_goes_before_what_was_made_for_it(name: str, tmp_path: Path) -> None:
    """D2, D3, L2: the daemon ends, or a port fails, at every effect of a deletion."""
    begin, end = perform(SCENARIOS[name], tmp_path / "reference")
    assert begin < end
    for at in range(begin, end):
        for how in HOWS:
            perform(SCENARIOS[name], tmp_path / "play", Fault(at, how))


@in_world()
async def test_a_wrong_look_lets_go_of_nothing(world: World) -> None:
    """D2, V12: a driver that sees no guest where one lives: the row waits until it is gone indeed."""
    await world.users.install()
    await world.users.create("web", grace_s=10.0)
    await world.rest()
    world.oracles.believes_lies = True
    world.oracles.closer = lambda life: left_behind(world, life)
    world.host.lie(world.uid("web"), None)
    await world.users.delete("web")
    await world.rest()
    world.check()
    assert world.host.alive() == []
    await world.quiet()


@in_world()
async def test_an_address_goes_back_with_its_row(world: World) -> None:
    """D2: the next VM is given the lowest one, which is that of the first again."""
    await world.users.install()
    await world.users.create("web")
    await world.users.deploy("api", 2)
    await world.rest()
    first = world.vm("web").spec.address
    await world.users.delete("web")
    await world.users.undeploy("api")
    await world.until(lambda: not world.store.vms())
    await world.users.create("db")
    await world.rest()
    assert world.vm("db").spec.address == first
