"""The database takes no writes for a while: nobody acts blindly meanwhile, nothing is lost, nobody has to help."""

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec.structs import replace
from tests.builders.world import CALM, World, in_world, play

from volant.errors import Unavailable


async def a_fleet(world: World) -> None:
    """A VM and three replicas, at rest."""
    await world.users.install()
    await world.users.create("web")
    await world.users.deploy("api", 3)
    await world.rest()


@in_world()
async def test_users_are_told_at_once_and_nothing_has_changed(world: World) -> None:
    """S4, E3: Unavailable, no row, no event, no revision."""
    await a_fleet(world)
    revision = world.store.revision
    with world.no_writes():
        with pytest.raises(Unavailable):
            await world.store.write(lambda tx: tx.touch())
        assert not world.store.healthy
        await world.passes(60.0)
        assert world.store.revision == revision
        assert not world.lives[-1].engine.is_ready
    await world.until(lambda: world.store.healthy, within_s=10.0)
    assert world.lives[-1].engine.is_ready
    await world.quiet()


@in_world()
async def test_nobody_acts_while_nothing_can_be_written_down(world: World) -> None:
    """S4: a guest that has crashed is not started again, one that is to go is not ended, until it can be reported."""
    await a_fleet(world)
    await world.users.scale("api", 2)
    with world.no_writes():
        world.host.crash(world.uid("web"))
        await world.passes(10.0)
        asked = len(world.host.log)
        await world.passes(300.0)
        assert len(world.host.log) == asked
        assert len(world.births("web")) == 1
    await world.rest()
    assert len(world.births("web")) == 2
    await world.quiet()


@in_world(script=lambda boot, _: replace(CALM, ends_after_s=1.0) if boot.name == "db" else None)
async def test_what_was_due_meanwhile_waits_as_well(world: World) -> None:
    """S4: a stop whose deadline passes, a restart whose time comes: both were decided, neither could be recorded."""
    await world.users.install()
    await world.users.create("web", grace_s=20.0)
    await world.users.create("db")
    await world.until(lambda: world.vm("db").status.failures == 5)
    world.host.hang(world.uid("web"))
    await world.users.stop("web")
    await world.until(lambda: world.vm("web").status.stop_deadline is not None)
    with world.no_writes():
        assert not await world.store.probe()
        await world.passes(3.0)
        asked = len(world.host.log)
        await world.passes(120.0)
        assert len(world.host.log) == asked
    await world.until(lambda: ("kill", "web") in world.ops() and len(world.births("db")) == 6, within_s=20.0)


@pytest.mark.parametrize("after_s", [0.0, 0.02, 0.06, 0.1, 0.4, 0.7, 2.0])
@pytest.mark.parametrize("dies", [False, True], ids=["", "and the daemon dies"])
def test_trouble_at_any_moment_passes_without_a_trace(dies: bool, after_s: float, tmp_path: Path) -> None:
    """S4, P10: in the middle of creating, scaling and stopping; a daemon that starts into it tries again."""

    async def test(world: World) -> None:
        await a_fleet(world)
        world.host.hang(world.uid("web"))
        await world.users.stop("web")
        await world.users.scale("api", 6)
        await world.clock.sleep(after_s)
        with world.no_writes():
            if dies:
                await world.crash()
                world.start_soon()
            await world.clock.sleep(20.0)
        await world.rest()
        assert len(world.host.births) == 7
        await world.quiet()

    play(test, tmp_path)


@in_world()
async def test_trouble_that_comes_and_goes_ends_like_any_other(world: World) -> None:
    """S4: two seconds in every five, over a whole rollout and its end."""
    await world.users.install()
    await world.rest()
    await world.users.deploy("api", 5)
    for _ in range(12):
        with world.no_writes():
            await world.clock.sleep(2.0)
        await world.clock.sleep(3.0)
    await world.rest()
    assert len(world.host.births) == 5
    await world.users.undeploy("api")
    for _ in range(4):
        with world.no_writes():
            await world.clock.sleep(2.0)
        await world.clock.sleep(3.0)
    await world.rest()
    await world.quiet()
