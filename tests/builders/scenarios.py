"""Stories of a world, each short enough to be played again for every effect in it and every way to spoil one.

    given ── to rest, never spoiled ──▶ told ── spoiled at one effect ──▶ rest ──▶ the same end

A story waits for what it needs and for nothing else, because with a fault everything takes longer. What may come out
differently when a fault shifts the timing is said in `varies`; everything else has to come out the same.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from msgspec.structs import replace
from tests.builders.objects import a_manifest, a_vm
from tests.builders.world import CALM, Test, World

from volant.clock import Uid
from volant.drivers import Boot
from volant.drivers.simulated import Behaviour
from volant.errors import ArtifactUnavailable
from volant.model.event import Happening
from volant.model.health import HealthCheck, Probe
from volant.model.meta import Owner
from volant.model.plugin import KernelSource
from volant.store import Transaction

ORPHAN = Uid("f" * 32)
CHECK = HealthCheck(startup=Probe(period_s=2.0, failure_threshold=30), readiness=Probe(), liveness=Probe())
"""Two probes every ten seconds once it has started; three failures in a row are one too many."""


@dataclass(frozen=True)
class Scenario:
    """A story. `options` are those of its World; `varies` are parts of portrait and counts.

    Without `in_pairs` the daemon ends once a play, and not twice: a long story would cost as much as ten short ones.
    """

    name: str
    given: Test
    told: Test
    options: dict[str, Any] = field(default_factory=dict)
    varies: frozenset[str] = frozenset()
    in_pairs: bool = True

    async def begin(self, world: World) -> None:
        """What is so before the story begins, at rest."""
        await self.given(world)
        await world.rest()


SCENARIOS: dict[str, Scenario] = {}


async def nothing(world: World) -> None:
    """An empty world."""


async def a_plugin_is_ready(world: World) -> None:
    """A plugin that VMs can be made of."""
    await world.users.install()


async def a_vm_runs(world: World) -> None:
    """One VM with ten seconds of grace."""
    await world.users.install()
    await world.users.create("web", grace_s=10.0)


async def a_vm_hangs(world: World) -> None:
    """The same, and it hears no request to stop."""
    await a_vm_runs(world)
    await world.running("web")
    world.host.hang(world.uid("web"))


async def a_vm_is_stopped(world: World) -> None:
    """The same, stopped."""
    await a_vm_runs(world)
    await world.running("web")
    await world.users.stop("web")


async def a_probed_vm_runs(world: World) -> None:
    """One whose plugin says how to tell that it is well."""
    await world.users.install(manifest=a_manifest(health_check=CHECK))
    await world.users.create("web", grace_s=10.0)


async def two_replicas_run(world: World) -> None:
    """A deployment of two."""
    await world.users.install()
    await world.users.deploy("api", 2)


async def three_replicas_run(world: World) -> None:
    """A deployment of three."""
    await world.users.install()
    await world.users.deploy("api", 3)


def scenario(
    given: Test, *, varies: tuple[str, ...] = (), in_pairs: bool = True, **options: Any
) -> Callable[[Test], Test]:
    """Put a story into SCENARIOS under its own name."""

    def keep(told: Test) -> Test:
        name: str = told.__name__
        SCENARIOS[name] = Scenario(name, given, told, options, frozenset(varies), in_pairs)
        return told

    return keep


def at_first(*behaviours: Behaviour) -> Callable[[Boot, int], Behaviour | None]:
    """A script: each guest's first launches go like this, the others are calm."""
    return lambda _, nth: behaviours[nth] if nth < len(behaviours) else None


@scenario(a_plugin_is_ready)
async def create(world: World) -> None:
    await world.users.create("web")


@scenario(nothing)
async def create_before_the_plugin_is_ready(world: World) -> None:
    await world.users.install()
    await world.users.create("web")


@scenario(a_vm_runs)
async def stop(world: World) -> None:
    await world.users.stop("web")


@scenario(a_vm_hangs)
async def stop_that_hangs(world: World) -> None:
    await world.users.stop("web")


@scenario(a_vm_hangs)
async def stop_by_force(world: World) -> None:
    await world.users.stop("web", force=True)


@scenario(a_vm_runs, behaviour=replace(CALM, loses_stops=1))
async def stop_that_is_lost(world: World) -> None:
    await world.users.stop("web")


@scenario(a_vm_runs)
async def restart(world: World) -> None:
    await world.users.start("web")


@scenario(a_vm_is_stopped)
async def start(world: World) -> None:
    await world.users.start("web")


@scenario(a_vm_runs)
async def stop_and_start_in_one_breath(world: World) -> None:
    """Whether the guest has to go in between depends on who is faster."""
    await world.users.stop("web")
    await world.clock.sleep(0.1)
    await world.users.start("web")


@scenario(a_vm_runs)
async def crash(world: World) -> None:
    world.host.crash(world.uid("web"))


@scenario(
    a_plugin_is_ready,
    varies=("vm.started",),
    in_pairs=False,
    script=at_first(*[replace(CALM, ends_after_s=2.0)] * 3),
)
async def crash_three_times(world: World) -> None:
    """Whether it is seen to run before it ends depends on who is faster."""
    await world.users.create("web")
    await world.until(lambda: len(world.births("web")) == 4, within_s=600.0)


@scenario(a_vm_runs)
async def vanish(world: World) -> None:
    world.host.vanish(world.uid("web"))


@scenario(a_vm_runs)
async def lose_the_record(world: World) -> None:
    world.host.lose_record(world.uid("web"))
    await world.users.start("web")


@scenario(a_vm_runs)
async def fall_silent(world: World) -> None:
    """The VMM does not answer: nobody can tell, until it is to stop."""
    world.host.mute(world.uid("web"))
    await world.users.stop("web")


@scenario(a_probed_vm_runs, with_probes=True, in_pairs=False)
async def fall_sick(world: World) -> None:
    """Its liveness probe fails, and it is replaced by one that is well."""
    world.sicken("web")
    await world.until(lambda: len(world.births("web")) == 2, within_s=600.0)


@scenario(a_plugin_is_ready, script=at_first(replace(CALM, launch="refused")))
async def launch_refused(world: World) -> None:
    await world.users.create("web")


@scenario(a_plugin_is_ready, script=at_first(*[replace(CALM, launch="unavailable")] * 2))
async def launch_unavailable(world: World) -> None:
    await world.users.create("web")


@scenario(a_plugin_is_ready, script=at_first(replace(CALM, launch="dies")))
async def launch_that_dies(world: World) -> None:
    await world.users.create("web")


@scenario(a_plugin_is_ready, in_pairs=False)
async def network_in_trouble(world: World) -> None:
    world.host.network_fault = "somebody else has the port"
    await world.users.create("web")
    await world.clock.sleep(3.0)
    world.host.network_fault = None


@scenario(a_vm_runs)
async def delete(world: World) -> None:
    await world.users.delete("web")


@scenario(a_vm_hangs)
async def delete_what_hangs(world: World) -> None:
    await world.users.delete("web")


@scenario(a_vm_is_stopped)
async def delete_what_is_stopped(world: World) -> None:
    await world.users.delete("web")


@scenario(a_plugin_is_ready, varies=("vm.started", "births"), behaviour=replace(CALM, launch_s=0.4, boot_s=5.0))
async def delete_what_starts(world: World) -> None:
    """How far the start gets depends on who is faster."""
    await world.users.create("web")
    await world.clock.sleep(0.5)
    await world.users.delete("web")


@scenario(a_vm_runs, varies=("vm.started", "births"))
async def delete_what_has_crashed(world: World) -> None:
    """Whether it is started once more depends on who is faster."""
    world.host.crash(world.uid("web"))
    await world.clock.sleep(0.3)
    await world.users.delete("web")


@scenario(a_plugin_is_ready)
async def deploy_three(world: World) -> None:
    await world.users.deploy("api", 3)


@scenario(three_replicas_run, varies=("vm.created", "vm.started", "vm.deleted", "births"), in_pairs=False)
async def scale_up_and_down(world: World) -> None:
    """How many of the ten are made before it is to be two depends on who is faster."""
    await world.users.scale("api", 10)
    await world.users.scale("api", 2)


@scenario(three_replicas_run)
async def scale_down(world: World) -> None:
    await world.users.scale("api", 1)


@scenario(a_plugin_is_ready, varies=("vm.created", "vm.started", "vm.deleted", "births"), in_pairs=False)
async def undeploy_during_create(world: World) -> None:
    """How many are made before nobody wants them depends on who is faster."""
    await world.users.deploy("api", 2)
    await world.clock.sleep(0.03)
    await world.users.undeploy("api")


@scenario(three_replicas_run)
async def replica_crashes(world: World) -> None:
    world.host.crash(world.uid("api-2"))


@scenario(
    three_replicas_run,
    varies=("vms", "guests", "networks", "vm.created", "vm.started", "births"),
    in_pairs=False,
)
async def replica_deleted_by_hand(world: World) -> None:
    """Which name and address the new one gets depends on whether the old one has gone by then."""
    await world.users.delete("api-2")


@scenario(nothing, in_pairs=False)
async def artifact_comes_late(world: World) -> None:
    manifest = a_manifest()
    assert isinstance(manifest.kernel, KernelSource)
    world.cache.failing[manifest.kernel.url] = ArtifactUnavailable("cannot fetch: the server does not answer")
    await world.users.install(manifest=manifest)
    await world.users.create("web")
    await world.clock.sleep(2.0)
    world.cache.failing.clear()


@scenario(a_plugin_is_ready)
async def remove_the_plugin(world: World) -> None:
    await world.users.remove()


@scenario(a_vm_runs)
async def orphan_process(world: World) -> None:
    """A guest with our mark whose row nobody ever saw, as from a database that was put back to an older day."""
    world.oracles.orphans.add(ORPHAN)
    world.host.orphan(ORPHAN)


@scenario(a_vm_runs, varies=("vm.started", "births"))
async def orphan_row(world: World) -> None:
    """A VM whose owner is not there, as from a database that was repaired by hand. It may run for a moment."""
    owner = Owner(kind="Deployment", name="api", uid=Uid("e" * 32))

    def job(tx: Transaction) -> None:
        vm = a_vm("api-1", owner=owner, uid="d" * 32)
        tx.insert(vm, Happening(type="vm.created", actor="api"))

    world.oracles.replay.strays.add(owner.uid)
    await (await world.up()).store.write(job)
    await world.until(lambda: not world.exists("api-1"), within_s=600.0)
