"""A VM is deleted in whatever state it is: it always goes, once, with everything that was made for it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from msgspec.structs import replace
from tests.builders.world import CALM, World, in_world, play

State = Callable[[World], Awaitable[None]]


async def running(world: World) -> None:
    """It runs."""


async def hanging(world: World) -> None:
    """It hears no request to stop."""
    world.host.hang(world.uid("web"))


async def silent(world: World) -> None:
    """Its VMM does not answer."""
    world.host.mute(world.uid("web"))


async def stopped(world: World) -> None:
    """It is stopped."""
    await world.users.stop("web")
    await world.until(lambda: world.word("web") == "stopped")


async def stopping(world: World) -> None:
    """It is about to stop, and hangs."""
    world.host.hang(world.uid("web"))
    await world.users.stop("web")
    await world.passes(2.0)


async def restarting(world: World) -> None:
    """It is being restarted."""
    await world.users.start("web")
    await world.passes(0.2)


async def starting(world: World) -> None:
    """Its VMM is up, its guest does not run yet."""
    world.host.behaviour = replace(CALM, boot_s=60.0)
    await world.users.start("web")
    await world.until(lambda: len(world.births("web")) == 2)


async def crash_looping(world: World) -> None:
    """It waits for its next start."""
    world.host.behaviour = replace(CALM, ends_after_s=0.6)
    world.host.crash(world.uid("web"))
    await world.until(lambda: world.vm("web").status.failures == 4)


async def refused(world: World) -> None:
    """The host refuses to start it."""
    world.host.behaviour = replace(CALM, launch="refused")
    world.host.crash(world.uid("web"))
    await world.until(lambda: world.word("web") == "error")


async def vanished(world: World) -> None:
    """Its process and its record have just gone."""
    world.host.vanish(world.uid("web"))


STATES = [running, hanging, silent, stopped, stopping, restarting, starting, crash_looping, refused, vanished]


@pytest.mark.parametrize("with_daemon", [True, False], ids=["up", "down at first"])
@pytest.mark.parametrize("state", STATES, ids=lambda state: state.__name__)
def test_a_vm_in_any_state_goes_with_all_that_was_made_for_it(state: State, with_daemon: bool, tmp_path: Path) -> None:
    """D1, D2, D3: gone within its grace period and a little, told once, nothing of it left, its address free again."""

    async def test(world: World) -> None:
        await world.users.install()
        await world.users.create("web", grace_s=10.0)
        await world.rest()
        await state(world)
        uid, births = world.uid("web"), len(world.births("web"))
        await world.users.delete("web")
        if not with_daemon:
            await world.restart(3.0)
        await world.until(lambda: not world.exists("web"), within_s=15.0)
        assert world.host.guest(uid) is None
        assert uid not in world.host.networks
        assert world.told("web").count("vm.deleting") == 1
        assert world.told("web").count("vm.deleted") == 1
        assert len(world.births("web")) == births
        await world.users.create("next")
        assert world.vm("next").spec.address == "127.88.0.10"
        world.host.behaviour = CALM
        await world.rest()
        await world.quiet()

    play(test, tmp_path)


@in_world()
async def test_a_new_vm_of_the_same_name_inherits_nothing(world: World) -> None:
    """D5, V11: it is another object: its guest runs although its predecessor was deleted a moment ago."""
    await world.users.install()
    await world.users.create("web", grace_s=10.0)
    await world.rest()
    first = world.uid("web")
    for _ in range(3):
        await world.users.delete("web")
        await world.until(lambda: not world.exists("web"))
        await world.users.create("web", grace_s=10.0)
    await world.rest()
    assert world.uid("web") != first
    assert len(world.host.alive()) == 1
    assert world.told("web").count("vm.deleted") == 3
    await world.quiet()


@in_world()
async def test_deleting_again_with_force_does_not_wait(world: World) -> None:
    """D1: the time of the deletion stays, the guest goes at once."""
    await world.users.install()
    await world.users.create("web", grace_s=300.0)
    await world.rest()
    world.host.hang(world.uid("web"))
    await world.users.delete("web")
    await world.passes(5.0)
    assert world.exists("web")
    await world.users.delete("web", force=True)
    await world.until(lambda: not world.exists("web"), within_s=1.0)


@in_world()
async def test_a_network_in_trouble_holds_the_row(world: World) -> None:
    """D2, D3: the row stays until everything that was made for it is gone, and goes then by itself."""
    await world.users.install()
    await world.users.create("web")
    await world.rest()
    world.host.network_fault = "the kernel says no"
    await world.users.delete("web")
    await world.passes(60.0)
    assert world.exists("web")
    assert not world.host.alive()
    world.host.network_fault = None
    await world.rest()
    assert not world.host.networks
    await world.quiet()
