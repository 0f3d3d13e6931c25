"""The daemon dies, ends or starts blind: guests run on, are found again, and nobody is started or ended for it."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.builders.world import World, in_world, play

from volant.model.event import Committed


async def a_fleet(world: World) -> dict[str, int]:
    """Two VMs and three replicas, at rest; their pids."""
    await world.users.install()
    await world.users.create("web")
    await world.users.create("off")
    await world.users.deploy("api", 3)
    await world.rest()
    await world.users.stop("off")
    await world.rest()
    return pids(world)


def pids(world: World) -> dict[str, int]:
    """Who runs, as which process."""
    return {world.oracles.name(guest.uid): guest.pid for guest in world.host.alive()}


@in_world()
async def test_a_killed_daemon_finds_its_guests_again(world: World) -> None:
    """P10: the same processes, no restart, and not a single write, however often."""
    before = await a_fleet(world)
    assert before.keys() == {"web", "api-1", "api-2", "api-3"}
    revision, births, asked = world.store.revision, len(world.host.births), len(world.host.log)
    for _ in range(10):
        await world.restart()
        await world.passes(30.0)
    assert pids(world) == before
    assert (world.store.revision, len(world.host.births), len(world.host.log)) == (revision, births, asked)
    assert {vm.status.restarts for vm in world.store.vms()} == {0}
    await world.quiet()


@in_world()
async def test_a_daemon_that_is_told_to_end_leaves_its_guests(world: World) -> None:
    """P13, S1: in order or not, the end of the daemon is not the end of a VM."""
    before = await a_fleet(world)
    revision = world.store.revision
    await world.stop()
    await world.passes(3600.0)
    assert pids(world) == before
    await world.start()
    await world.passes(120.0)
    assert pids(world) == before
    assert world.store.revision == revision


@in_world()
async def test_what_died_meanwhile_is_reported_and_replaced(world: World) -> None:
    """P10: with its reason where a record tells of it, as unknown where nothing is left. The others are adopted."""
    before = await a_fleet(world)
    crashed, vanished = world.uid("api-1"), world.uid("api-2")
    await world.crash()
    world.host.crash(crashed)
    world.host.vanish(vanished)
    await world.passes(60.0)
    await world.start()
    await world.until(lambda: world.vm("api-1").status.exit and world.vm("api-2").status.exit, within_s=1.0)
    ends = {name: world.vm(name).status.exit for name in ("api-1", "api-2")}
    assert {name: end.reason for name, end in ends.items() if end} == {"api-1": "guest_panic", "api-2": "unknown"}
    await world.rest()
    after = pids(world)
    assert {name for name in before if after[name] != before[name]} == {"api-1", "api-2"}
    await world.quiet()


@in_world()
async def test_nothing_is_done_before_the_first_full_look(world: World) -> None:
    """L4: a daemon that cannot see the host does nothing to it, and nothing to the store."""
    before = await a_fleet(world)
    died = world.uid("api-1")
    await world.crash()
    world.host.crash(died)
    world.senses.is_blind = True
    await world.start()
    await world.users.scale("api", 1)
    await world.users.delete("web")
    revision, effects = world.store.revision, len(world.record.effects)
    await world.passes(300.0)
    assert (world.store.revision, len(world.record.effects)) == (revision, effects)
    assert pids(world).keys() == before.keys() - {"api-1"}
    world.senses.is_blind = False
    await world.rest()
    await world.quiet()


@in_world()
async def test_a_daemon_that_dies_all_the_time_gets_there(world: World) -> None:
    """P10, R1: sixty lives of a third of a second, and not a guest too many."""
    await world.users.install()
    await world.users.create("web")
    await world.users.deploy("api", 4)
    for _ in range(60):
        await world.clock.sleep(0.3)
        await world.restart(0.1)
    await world.rest()
    assert len(world.host.births) == 5
    assert len(world.lives) == 61
    await world.quiet()


@pytest.mark.parametrize("lives", [1, 5])
def test_the_log_tells_everything_once(lives: int, tmp_path: Path) -> None:
    """E3, V1, W1: revisions without a hole over all lives, each committed write once, and the tables agree."""

    async def test(world: World) -> None:
        await a_fleet(world)
        for _ in range(lives):
            await world.users.scale("api", 5)
            await world.clock.sleep(0.2)
            await world.restart()
            await world.users.scale("api", 2)
            world.host.crash(world.uid("web"))
            await world.rest()
        log: list[Committed] = world.store.events_after(0, 100_000)
        assert [event.revision for event in log] == list(range(1, world.store.revision + 1))
        assert log == world.oracles.replay.events
        assert world.oracles.replay.differences(world.store) == []

    play(test, tmp_path)
