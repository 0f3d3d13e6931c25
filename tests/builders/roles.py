"""The stories that a crowd tells: short, and without a word about anybody else."""

from __future__ import annotations

from tests.builders.crowd import Role, replicas
from tests.builders.world import World

GRACE_S = 10.0


async def nobody(world: World, name: str) -> None:
    """Nothing is there yet."""


async def runs(world: World, name: str) -> None:
    """A VM with ten seconds of grace runs."""
    await world.users.create(name, grace_s=GRACE_S)


async def hangs(world: World, name: str) -> None:
    """The same, and it hears no request to stop."""
    await runs(world, name)
    await world.running(name)
    world.host.hang(world.uid(name))


async def is_stopped(world: World, name: str) -> None:
    """It was stopped."""
    await runs(world, name)
    await world.running(name)
    await world.users.stop(name, force=True)


async def two_run(world: World, name: str) -> None:
    """A deployment of two."""
    await world.users.deploy(name, 2)


async def create(world: World, name: str) -> None:
    await world.users.create(name, grace_s=GRACE_S)


async def stop(world: World, name: str) -> None:
    await world.users.stop(name)


async def stop_by_force(world: World, name: str) -> None:
    await world.users.stop(name, force=True)


async def start(world: World, name: str) -> None:
    await world.users.start(name)


async def crash(world: World, name: str) -> None:
    world.host.crash(world.uid(name))


async def vanish(world: World, name: str) -> None:
    world.host.vanish(world.uid(name))


async def lose_the_record(world: World, name: str) -> None:
    world.host.lose_record(world.uid(name))
    await world.users.start(name)


async def fall_silent(world: World, name: str) -> None:
    world.host.mute(world.uid(name))
    await world.users.stop(name)


async def delete(world: World, name: str) -> None:
    await world.users.delete(name)


async def deploy(world: World, name: str) -> None:
    await world.users.deploy(name, 2)


async def grow(world: World, name: str) -> None:
    await world.users.scale(name, 3)


async def shrink(world: World, name: str) -> None:
    await world.users.scale(name, 1)


async def grow_and_shrink(world: World, name: str) -> None:
    await world.users.scale(name, 4)
    await world.users.scale(name, 1)


async def undeploy(world: World, name: str) -> None:
    await world.users.undeploy(name)


async def replica_crashes(world: World, name: str) -> None:
    world.host.crash(min(replicas(world, name), key=lambda vm: vm.meta.name).meta.uid)


ROLES = {
    role.name: role
    for role in (
        Role("create", nobody, create),
        Role("stop", runs, stop),
        Role("stop_that_hangs", hangs, stop),
        Role("stop_by_force", hangs, stop_by_force),
        Role("restart", runs, start),
        Role("start", is_stopped, start),
        Role("crash", runs, crash),
        Role("vanish", runs, vanish),
        Role("lose_the_record", runs, lose_the_record),
        Role("fall_silent", runs, fall_silent),
        Role("delete", runs, delete),
        Role("delete_what_hangs", hangs, delete),
        Role("delete_what_is_stopped", is_stopped, delete),
        Role("deploy", nobody, deploy),
        Role("grow", two_run, grow),
        Role("shrink", two_run, shrink),
        Role("grow_and_shrink", two_run, grow_and_shrink, varies=True),
        Role("undeploy", two_run, undeploy),
        Role("replica_crashes", two_run, replica_crashes),
    )
}
