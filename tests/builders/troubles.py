"""More stories of a world: those in which something else than a guest is in trouble, or two users are at odds.

They stand beside those of `scenarios`, and are played in the same way.
"""

from __future__ import annotations

from msgspec.structs import replace
from tests.builders.objects import a_manifest
from tests.builders.scenarios import (
    CHECK,
    SCENARIOS,
    a_plugin_is_ready,
    a_vm_runs,
    scenario,
    three_replicas_run,
    two_replicas_run,
)
from tests.builders.world import CALM, World

from volant.model.health import Probe

__all__ = ["SCENARIOS"]

CHILDREN = ("vm.created", "vm.started", "vm.deleted", "births")


async def an_impatient_vm_runs(world: World) -> None:
    """One whose plugin gives up on a guest that is not well within ten seconds."""
    startup = Probe(period_s=2.0, failure_threshold=5)
    await world.users.install(manifest=a_manifest(health_check=replace(CHECK, startup=startup)))
    await world.users.create("web", grace_s=10.0)


async def a_vm_has_a_disk(world: World) -> None:
    """One that runs, with a disk beside what its plugin brings."""
    await world.users.install()
    await world.users.create("web", grace_s=10.0, disks=["data"])


@scenario(three_replicas_run)
async def scale_up(world: World) -> None:
    await world.users.scale("api", 5)


@scenario(two_replicas_run, varies=(*CHILDREN, "vms", "guests", "networks"), in_pairs=False)
async def scale_to_nothing_and_back(world: World) -> None:
    """Which of them are gone before they are wanted again, and so who is there, depends on who is faster."""
    await world.users.scale("api", 0)
    await world.clock.sleep(0.2)
    await world.users.scale("api", 2)


@scenario(a_plugin_is_ready, varies=CHILDREN, in_pairs=False)
async def disable_during_create(world: World) -> None:
    """Nothing new is made of it meanwhile; whatever is there already stays."""
    await world.users.deploy("api", 3)
    await world.users.enable(enabled=False)
    await world.clock.sleep(2.0)
    await world.users.enable()


@scenario(a_vm_runs, varies=("plugins",))
async def remove_the_plugin_after_its_vm(world: World) -> None:
    """Refused for as long as the row is there."""
    await world.users.delete("web")
    while not await world.users.try_to(world.users.remove()):
        await world.clock.sleep(0.2)


@scenario(an_impatient_vm_runs, with_probes=True, varies=("vm.started", "births"), in_pairs=False)
async def never_healthy(world: World) -> None:
    """Its replacements are no better, until somebody mends them: how many there are depends on who is faster."""
    world.host.behaviour = replace(CALM, answers="unhealthy")
    world.oracles.sick.add(world.uid("web"))
    world.sicken("web")
    await world.until(lambda: len(world.births("web")) >= 2, within_s=900.0)
    world.host.behaviour = CALM
    for guest in world.host.alive():
        guest.answers = "healthy"


@scenario(a_vm_runs)
async def lose_the_network(world: World) -> None:
    """Removed by hand: the next guest has its own again."""
    world.host.networks.clear()
    world.host.crash(world.uid("web"))


@scenario(a_vm_runs, varies=("births", "vm.started"))
async def recycle_the_pid(world: World) -> None:
    """Another VM's process is given the number that this one had. Who is first depends on who is faster."""
    pid = world.pid("web")
    world.host.vanish(world.uid("web"))
    world.host.next_pid = pid
    await world.users.create("db")


@scenario(a_plugin_is_ready)
async def create_with_a_disk(world: World) -> None:
    await world.users.create("web", disks=["data"])


@scenario(a_vm_has_a_disk)
async def restart_with_a_disk(world: World) -> None:
    """What was on it is there again."""
    await world.users.start("web")


@scenario(a_vm_has_a_disk)
async def delete_with_a_disk(world: World) -> None:
    await world.users.delete("web")


@scenario(a_plugin_is_ready, in_pairs=False)
async def disks_in_trouble(world: World) -> None:
    world.host.disk_fault = "there is no room for them"
    await world.users.create("web", disks=["data"])
    await world.clock.sleep(3.0)
    world.host.disk_fault = None


@scenario(a_plugin_is_ready)
async def disk_full(world: World) -> None:
    """Nothing can be written for a while, in the middle of a start."""
    await world.users.create("web")
    with world.no_writes():
        await world.clock.sleep(5.0)


@scenario(a_vm_runs)
async def clock_put_forward(world: World) -> None:
    await world.users.stop("web")
    world.jump(3600.0)


@scenario(a_vm_runs)
async def clock_put_back(world: World) -> None:
    world.host.crash(world.uid("web"))
    world.jump(-3600.0)


@scenario(a_vm_runs)
async def restart_of_the_daemon(world: World) -> None:
    """While a guest is on its way down."""
    await world.users.stop("web")
    await world.restart()


@scenario(three_replicas_run, in_pairs=False)
async def delete_of_the_parent_while_a_replica_is_down(world: World) -> None:
    world.host.crash(world.uid("api-2"))
    await world.users.undeploy("api")
