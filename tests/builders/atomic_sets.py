"""Atomic sets in a world: one that is healthy, and what is said of everything."""

from __future__ import annotations

from tests.builders.applying import applied, deployment, plugin, revision, vm
from tests.builders.world import World

from volant.model.apply.documents import live
from volant.model.meta import Key
from volant.model.objects import Object


def specs(world: World) -> dict[Key, object]:
    """What is said of every object that users may say something of, and whose it is."""
    store = world.store
    vms = [vm for vm in store.vms() if vm.meta.owner is None]
    found: list[Object] = [*store.plugins(), *vms, *store.deployments()]
    return {obj.meta.key: (live(obj), store.fields(obj.meta.uid)) for obj in found}


async def healthy(world: World, *, within_s: float = 300.0) -> None:
    """The set is healthy."""
    await world.until(lambda: revision(world).state == "healthy", within_s=within_s)


async def a_healthy_set(world: World) -> None:
    """A plugin, a VM and a deployment of two, as revision 1."""
    await applied(world, plugin(), vm("db"), deployment("web", replicas=2), atomic=True)
    world.users.plugins["hello"], world.users.vms["db"], world.users.deployments["web"] = True, "running", 2
    await healthy(world)
    await world.rest()
