"""Stories of rollouts: another template, one that takes over from another, and one that never gets up.

They stand beside those of `scenarios` and `troubles`, and are played in the same way. Which names and addresses new
replicas get depends on which of the old ones have gone by then, and how often one that is broken is tried on who is
faster: what has to come out the same is what they are made of, and how many there are. The bounds hold at every event,
because the oracles ask.
"""

from __future__ import annotations

from msgspec.structs import replace
from tests.builders.scenarios import scenario, two_replicas_run
from tests.builders.troubles import SCENARIOS
from tests.builders.world import CALM, World

from volant.drivers import Boot
from volant.drivers.simulated import Behaviour
from volant.model.rollout import Strategy
from volant.model.vm import VMConfig

__all__ = ["ROLLS", "SCENARIOS"]

BROKEN = VMConfig(env={"BROKEN": "yes"})
GOOD = VMConfig(env={"LEVEL": "2"})
VARIES = ("vms", "guests", "networks", "disks", "vm.created", "vm.started", "vm.deleted", "births")
ROLLS = ("roll_over", "roll_back_halfway", "roll_that_is_taken_back")
"""Long stories, of which only the ends of the daemon are played: the ways of its effects are those of `roll`."""


def breaks(boot: Boot, _nth: int) -> Behaviour | None:
    """A guest that is told to be broken ends before it runs."""
    return replace(CALM, launch="dies") if "BROKEN" in boot.booted.config.env else None


def levels(world: World) -> set[str | None]:
    """What the replicas that are to stay were told."""
    return {vm.spec.config.env.get("LEVEL") for vm in world.store.vms() if not vm.meta.is_deleting}


@scenario(two_replicas_run, varies=VARIES, in_pairs=False)
async def roll(world: World) -> None:
    await world.users.roll("api")


@scenario(two_replicas_run, varies=VARIES, in_pairs=False, script=breaks)
async def roll_over(world: World) -> None:
    """A third template takes over from a second one that does not get up (U9)."""
    await world.users.roll("api", config=BROKEN)
    await world.clock.sleep(0.3)
    await world.users.roll("api", config=GOOD)
    await world.until(lambda: levels(world) == {"2"}, within_s=600.0)


@scenario(two_replicas_run, varies=VARIES, in_pairs=False, script=breaks)
async def roll_back_halfway(world: World) -> None:
    """By hand (U7)."""
    config = world.store.deployment("api").spec.config
    await world.users.roll("api", config=BROKEN)
    await world.clock.sleep(0.3)
    await world.users.roll("api", config=config)


@scenario(two_replicas_run, varies=VARIES, in_pairs=False, script=breaks)
async def roll_that_is_taken_back(world: World) -> None:
    """By itself, once, and then it is remembered (U10)."""
    config = world.store.deployment("api").spec.config
    strategy = Strategy(progress_deadline_s=2.0, auto_revert=True)
    await world.users.roll("api", config=BROKEN, strategy=strategy)
    await world.until(lambda: world.store.deployment("api").spec.config == config, within_s=600.0)
    assert world.store.deployment("api").status.reverted is not None
