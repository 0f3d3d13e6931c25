"""A row goes last, and takes with it all that was made for it.

That nothing is left at the moment when a row goes is an oracle, on in every simulation. Here is what it cannot tell.
"""

from __future__ import annotations

from tests.builders.world import World, in_world


@in_world()
async def test_a_wrong_look_lets_go_of_nothing(world: World) -> None:
    """D2, V12: a driver that sees no guest where one lives: the row waits until it is gone indeed."""
    await world.users.install()
    await world.users.create("web", grace_s=10.0)
    await world.rest()
    world.oracles.believes_lies = True
    world.host.lie(world.uid("web"), None)
    await world.users.delete("web")
    await world.rest()
    assert world.host.alive() == []
    await world.quiet()


@in_world()
async def test_an_address_goes_back_with_its_row(world: World) -> None:
    """D2: the next VM is given the lowest one, which is that of the first again."""
    await world.users.install()
    await world.users.create("web")
    await world.users.deploy("api", 2)
    await world.rest()
    first = world.vm("web").spec.address
    await world.users.delete("web")
    await world.users.undeploy("api")
    await world.until(lambda: not world.store.vms())
    await world.users.create("db")
    await world.rest()
    assert world.vm("db").spec.address == first
