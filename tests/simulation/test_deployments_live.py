"""Deployments under the whole daemon: replicas come, go, die and are replaced, and there are never too many."""

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec.structs import replace
from tests.builders.world import CALM, World, in_world, play

from volant.model.vm import is_ready


async def three(world: World) -> None:
    """Three replicas, at rest."""
    await world.users.install()
    await world.users.deploy("api", 3)
    await world.rest()


@in_world()
async def test_three_replicas_come_and_rest(world: World) -> None:
    """R1, L7: api-1, api-2, api-3, each with an address and a guest of its own, and then quiet."""
    await three(world)
    assert world.children("api") == ["api-1", "api-2", "api-3"]
    assert len({world.vm(name).spec.address for name in world.children("api")}) == 3
    assert len({world.pid(name) for name in world.children("api")}) == 3
    assert world.told("api")[-1] == "deployment.available"
    await world.quiet()


@pytest.mark.parametrize("pause_s", [0.0, 0.01, 0.03, 0.06, 0.3, 0.6, 5.0])
def test_three_ten_two_ends_at_two(pause_s: float, tmp_path: Path) -> None:
    """R7, L3: in any timing; once it is to be two no replica is made, and none starts that has to go."""

    async def test(world: World) -> None:
        await three(world)
        first = {name: world.pid(name) for name in ("api-1", "api-2")}
        await world.users.scale("api", 10)
        await world.clock.sleep(pause_s)
        await world.users.scale("api", 2)
        made, begun = len(world.oracles.replay.names), world.ops("launch")
        await world.rest()
        assert world.children("api") == ["api-1", "api-2"]
        assert {name: world.pid(name) for name in first} == first
        assert len(world.oracles.replay.names) == made
        assert world.ops("launch") == begun
        await world.quiet()

    play(test, tmp_path)


@in_world()
async def test_replicas_go_in_the_order_of_the_rules(world: World) -> None:
    """R1: what does not run goes first, then the highest ordinal."""
    await world.users.install()
    await world.users.deploy("api", 4)
    await world.rest()
    world.host.behaviour = replace(CALM, launch="unavailable")
    world.host.crash(world.uid("api-2"))
    await world.passes(1.0)
    await world.users.scale("api", 2)
    await world.rest()
    assert world.children("api") == ["api-1", "api-3"]


@in_world()
async def test_a_killed_replica_comes_back_under_its_name(world: World) -> None:
    """L6, P1: its row stays, its guest is another; the others are left alone."""
    await three(world)
    before = {name: world.pid(name) for name in world.children("api")}
    world.host.crash(world.uid("api-2"), "killed")
    await world.until(lambda: not is_ready(world.vm("api-2")), within_s=1.0)
    await world.until(lambda: world.store.deployment("api").status.ready_replicas == 2, within_s=1.0)
    await world.rest()
    after = {name: world.pid(name) for name in world.children("api")}
    assert after.keys() == before.keys()
    assert {name for name in before if after[name] != before[name]} == {"api-2"}
    await world.quiet()


@in_world()
async def test_a_replica_deleted_by_hand_is_replaced(world: World) -> None:
    """R1, R4: at once, by another row, while the old one is still on its way out."""
    await three(world)
    old = world.uid("api-2")
    world.host.hang(old)
    await world.users.delete("api-2")
    await world.until(lambda: len(world.children("api")) == 3, within_s=1.0)
    assert world.children("api") == ["api-1", "api-3", "api-4"]
    await world.rest()
    assert world.store.find_uid(old) is None
    await world.quiet()


@pytest.mark.parametrize("after_s", [0.0, 0.01, 0.02, 0.05, 0.1, 0.4, 0.8])
@pytest.mark.parametrize("with_crash", [False, True], ids=["", "and the daemon dies"])
def test_a_deployment_deleted_while_it_is_made_leaves_nothing(with_crash: bool, after_s: float, tmp_path: Path) -> None:
    """D10, D2: no child is left, and the deployment goes last."""

    async def test(world: World) -> None:
        await world.users.install()
        await world.rest()
        await world.users.deploy("api", 8)
        await world.clock.sleep(after_s)
        await world.users.undeploy("api")
        if with_crash:
            await world.restart()
        await world.rest()
        assert not world.store.vms()
        assert not world.host.guests()
        kinds = [e.type for e in world.oracles.replay.events if e.type in ("vm.deleted", "deployment.deleted")]
        assert kinds[-1] == "deployment.deleted"
        await world.quiet()

    play(test, tmp_path)


@in_world()
async def test_a_deployment_of_the_same_name_has_its_own_children(world: World) -> None:
    """D5: it owns by uid: what its predecessor made is not its own, and goes."""
    await three(world)
    old = {world.uid(name) for name in world.children("api")}
    await world.users.undeploy("api")
    await world.until(lambda: not world.exists("api", "Deployment"))
    await world.users.deploy("api", 3)
    await world.rest()
    assert not old & {world.uid(name) for name in world.children("api")}
    await world.quiet()


@in_world()
async def test_a_name_that_is_taken_is_passed_over(world: World) -> None:
    """D5, D7: a VM that was there under a replica's name stays what it is."""
    await world.users.install()
    await world.users.create("api-2")
    await world.rest()
    before = world.pid("api-2")
    await world.users.deploy("api", 3)
    await world.rest()
    assert world.children("api") == ["api-1", "api-3", "api-4"]
    await world.users.undeploy("api")
    await world.rest()
    assert world.pid("api-2") == before


@in_world()
async def test_a_disabled_plugin_makes_no_replicas_and_ends_none(world: World) -> None:
    """L3: scaling up waits until it is enabled again."""
    await three(world)
    await world.users.enable(enabled=False)
    await world.users.scale("api", 5)
    await world.passes(60.0)
    assert world.children("api") == ["api-1", "api-2", "api-3"]
    assert len(world.host.alive()) == 3
    await world.users.enable()
    await world.rest()
    await world.quiet()


@in_world(behaviour=replace(CALM, launch_s=0.3, boot_s=2.0))
async def test_replicas_that_change_all_the_time_end_at_the_last(world: World) -> None:
    """L3, R1, R7: 5, 1, 7, 0, 4, 2, 6, 3 within two seconds."""
    await three(world)
    for replicas in (5, 1, 7, 0, 4, 2, 6, 3):
        await world.users.scale("api", replicas)
        await world.clock.sleep(0.25)
    await world.rest()
    await world.quiet()
