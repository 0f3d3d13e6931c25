"""Stories of atomic sets: one that is taken back, and one that becomes healthy and loses what it no longer names.

They stand beside those of `scenarios`, `troubles` and `rolls`, and are played in the same way.
"""

from __future__ import annotations

from tests.builders.applying import applied, broken, plugin, revision, vm
from tests.builders.rolls import ROLLS, SCENARIOS, VARIES, breaks
from tests.builders.scenarios import scenario
from tests.builders.world import World

__all__ = ["SCENARIOS", "SETS"]

SETS = (*ROLLS, "set_taken_back")
"""Stories of which only the ends of the daemon are played: a test of its own spoils what is special about them."""


async def a_set_is_healthy(world: World) -> None:
    """A plugin and a VM."""
    await applied(world, plugin(), vm("db", grace_s=5), atomic=True)
    world.users.plugins["hello"], world.users.vms["db"] = True, "running"
    await world.until(lambda: revision(world).state == "healthy", within_s=600.0)


@scenario(a_set_is_healthy, varies=(*VARIES, "vm.error"), in_pairs=False, script=breaks)
async def set_taken_back(world: World) -> None:
    """One of it never gets up: the other is as it was, and what was made is gone."""
    bad = vm("bad", restart_policy="never", config=broken())
    await applied(world, plugin(), vm("db", grace_s=9), bad, atomic=True)
    await world.until(lambda: revision(world).state == "reverted", within_s=600.0)
    assert world.vm("db").spec.grace_s == 5


@scenario(a_set_is_healthy, in_pairs=False)
async def set_settled(world: World) -> None:
    """What it no longer names goes once."""
    await applied(world, plugin(), atomic=True, prune=True)
    del world.users.vms["db"]
    await world.until(lambda: revision(world).state == "healthy", within_s=600.0)
