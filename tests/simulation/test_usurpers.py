"""Two daemons on one database: the first one can do no harm from the moment on that the second has opened it."""

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec.structs import replace
from tests.builders.usurper import usurped
from tests.builders.world import CALM, World, in_world, play

from volant.clock import Uid
from volant.daemon import HESITATION_S
from volant.daemon.storewatch import LOOK_S


async def a_fleet(world: World) -> None:
    """A VM and three replicas, at rest."""
    await world.users.install()
    await world.users.create("web")
    await world.users.deploy("api", 3)
    await world.rest()


@in_world()
async def test_a_daemon_with_nothing_to_do_finds_out_and_ends(world: World) -> None:
    """S3: no guest is touched by the change, nobody is started or ended, nothing is written."""
    await a_fleet(world)
    old, asked, revision = world.lives[-1], len(world.host.log), world.store.revision
    async with usurped(world) as new:
        await world.passes(LOOK_S + 1.0)
        assert old.is_dead
        assert old.fault is None
        await world.passes(60.0)
        assert (len(world.host.log), new.store.revision) == (asked, revision)
        assert new.engine.is_ready
        await world.quiet()


@in_world()
async def test_a_deposed_daemon_starts_and_ends_nobody(world: World) -> None:
    """S3: a guest that has crashed, one that is to go: its successor sees to them, once."""
    await a_fleet(world)
    old = world.lives[-1]
    asked = len(world.host.log)
    async with usurped(world):
        world.host.crash(world.uid("web"))
        await world.users.scale("api", 2)
        await world.passes(0.5)
        assert len(world.host.log) == asked
        assert old.is_dead
        await world.rest()
        assert len(world.births("web")) == 2
        assert world.children("api") == ["api-1", "api-2"]


@in_world()
async def test_a_kill_that_falls_due_is_left_to_the_successor(world: World) -> None:
    """S3: the deposed one has nothing to write first, and does not know yet; the check before the kill stops it."""
    await world.users.install()
    await world.users.create("web", grace_s=20.0)
    await world.running("web")
    world.host.hang(world.uid("web"))
    await world.users.stop("web")
    await world.until(lambda: world.vm("web").status.stop_deadline is not None)
    deadline = world.vm("web").status.stop_deadline
    assert deadline is not None
    await world.passes(deadline - world.clock.now() - 0.1)
    old = world.lives[-1]
    async with usurped(world) as new:
        assert not old.is_dead
        await world.passes(HESITATION_S - 0.2)
        assert old.is_dead
        assert not new.engine.observed.is_set()
        assert ("kill", "web") not in world.ops()
        await world.until(lambda: world.word("web") == "stopped", within_s=10.0)
        assert world.ops("kill") == [("kill", "web")]


@in_world()
async def test_what_is_nobodys_is_left_to_the_successor(world: World) -> None:
    """S3, P11: a process in quarantine falls due just after the change."""
    await world.users.install()
    await world.rest()
    uid = Uid("f" * 32)
    world.oracles.orphans.add(uid)
    world.host.spawn(uid, CALM)
    old = world.lives[-1]
    await world.until(lambda: old.engine.controllers[3].stats().delayed > 0)
    garbage = old.engine.controllers[3]
    assert garbage.name == "garbage"
    await world.passes(29.5)
    async with usurped(world):
        await world.passes(HESITATION_S - 0.2)
        assert old.is_dead
        assert world.host.alive(uid)
        await world.until(lambda: not world.host.alive(uid))


@pytest.mark.parametrize("after_s", [0.0, 0.01, 0.03, 0.05, 0.07, 0.3, 0.6, 1.0])
def test_a_change_of_daemon_in_the_middle_of_anything_makes_no_second_guest(after_s: float, tmp_path: Path) -> None:
    """S3, R1, P10: launches and stops that are under way come to their end before the successor looks."""

    async def test(world: World) -> None:
        await a_fleet(world)
        world.host.hang(world.uid("web"))
        await world.users.stop("web")
        await world.users.scale("api", 6)
        await world.clock.sleep(after_s)
        async with usurped(world):
            await world.users.scale("api", 5)
            await world.rest()
            assert len(world.host.alive()) == 5
            assert len(world.births("web")) == 1
            assert all(len(world.births(name)) == 1 for name in world.children("api"))

    play(test, tmp_path, behaviour=replace(CALM, launch_s=2.0))


@in_world()
async def test_deposing_goes_on_for_as_long_as_there_are_usurpers(world: World) -> None:
    """S3: each one's successor takes over from it, and what users asked for is done by the last."""
    await a_fleet(world)
    async with usurped(world) as second:
        await world.passes(7.0)
        async with usurped(world) as third:
            await world.users.scale("api", 5)
            await world.rest()
            assert second.is_dead
            assert third.store.epoch == second.store.epoch + 1
    await world.start()
    await world.rest()
    assert len(world.host.alive()) == 6
