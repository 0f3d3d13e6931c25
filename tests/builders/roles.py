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


async def delete_by_force(world: World, name: str) -> None:
    await world.users.delete(name, force=True)


async def crash_and_delete(world: World, name: str) -> None:
    await crash(world, name)
    await delete(world, name)


async def crash_and_stop(world: World, name: str) -> None:
    await crash(world, name)
    await stop(world, name)


async def crash_and_restart(world: World, name: str) -> None:
    await crash(world, name)
    await start(world, name)


async def stop_and_start(world: World, name: str) -> None:
    await stop(world, name)
    await start(world, name)


async def start_and_stop(world: World, name: str) -> None:
    await start(world, name)
    await stop(world, name)


async def create_and_delete(world: World, name: str) -> None:
    await create(world, name)
    await delete(world, name)


async def create_and_stop(world: World, name: str) -> None:
    await create(world, name)
    await stop(world, name)


async def fall_silent_and_delete(world: World, name: str) -> None:
    world.host.mute(world.uid(name))
    await delete(world, name)


async def lose_the_record_and_stop(world: World, name: str) -> None:
    world.host.lose_record(world.uid(name))
    await stop(world, name)


async def restart_twice(world: World, name: str) -> None:
    await start(world, name)
    await start(world, name)


async def restart_and_delete(world: World, name: str) -> None:
    await start(world, name)
    await delete(world, name)


async def restart_and_stop(world: World, name: str) -> None:
    await start(world, name)
    await stop(world, name)


async def restart_and_crash(world: World, name: str) -> None:
    await start(world, name)
    await crash(world, name)


async def stop_then_force(world: World, name: str) -> None:
    await stop(world, name)
    await stop_by_force(world, name)


async def stop_and_delete(world: World, name: str) -> None:
    await stop(world, name)
    await delete(world, name)


async def vanish_and_delete(world: World, name: str) -> None:
    await vanish(world, name)
    await delete(world, name)


async def has_a_disk(world: World, name: str) -> None:
    """A VM with a disk of its own runs."""
    await world.users.create(name, grace_s=GRACE_S, disks=["data"])


async def deploy(world: World, name: str) -> None:
    await world.users.deploy(name, 2)


async def grow(world: World, name: str) -> None:
    await world.users.scale(name, 3)


async def shrink(world: World, name: str) -> None:
    await world.users.scale(name, 1)


async def grow_and_shrink(world: World, name: str) -> None:
    await world.users.scale(name, 4)
    await world.users.scale(name, 1)


async def roll(world: World, name: str) -> None:
    await world.users.roll(name)


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
        Role("delete_by_force", hangs, delete_by_force),
        Role("restart_that_hangs", hangs, start),
        Role("crash_and_delete", runs, crash_and_delete, varies=True),
        Role("crash_and_stop", runs, crash_and_stop, varies=True),
        Role("crash_and_restart", runs, crash_and_restart, varies=True),
        Role("stop_and_start", runs, stop_and_start, varies=True),
        Role("start_and_stop", is_stopped, start_and_stop, varies=True),
        Role("create_and_delete", nobody, create_and_delete, varies=True),
        Role("create_and_stop", nobody, create_and_stop, varies=True),
        Role("fall_silent_and_delete", runs, fall_silent_and_delete),
        Role("lose_the_record_and_stop", runs, lose_the_record_and_stop),
        Role("vanish_and_delete", runs, vanish_and_delete, varies=True),
        Role("restart_twice", runs, restart_twice, varies=True),
        Role("restart_and_delete", runs, restart_and_delete, varies=True),
        Role("restart_and_stop", hangs, restart_and_stop, varies=True),
        Role("restart_and_crash", runs, restart_and_crash, varies=True),
        Role("stop_then_force", hangs, stop_then_force),
        Role("stop_and_delete", runs, stop_and_delete),
        Role("create_with_a_disk", nobody, has_a_disk),
        Role("delete_with_a_disk", has_a_disk, delete),
        Role("deploy", nobody, deploy, in_pairs=False),
        Role("grow", two_run, grow),
        Role("shrink", two_run, shrink),
        Role("grow_and_shrink", two_run, grow_and_shrink, varies=True, in_pairs=False),
        Role("undeploy", two_run, undeploy, in_pairs=False),
        Role("roll", two_run, roll, varies=True, in_pairs=False, renames=True),
        Role("replica_crashes", two_run, replica_crashes, in_pairs=False),
    )
}
