"""Taking a set back where objects are in each other's way: ports that changed hands, and plugins that are gone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from tests.builders.applying import applied, broken, deployment, plugin, revision, vm
from tests.builders.rolls import breaks
from tests.builders.world import World, in_world

from volant.errors import Conflict
from volant.model.apply.sets import ENDING as DELETING
from volant.model.conditions import condition
from volant.model.deployment import PROGRESSING, template_of
from volant.model.event import Happening
from volant.model.meta import Key
from volant.model.rollout import digest_of
from volant.store import Transaction


def at(*ports: int, **more: Any) -> dict[str, Any]:
    """A config that publishes these."""
    return {"network": {"publish": [{"guest_port": 80, "host_port": port} for port in ports]}, **more}


def ports(world: World, name: str) -> list[int]:
    """What a VM publishes."""
    return [one.host_port for one in world.vm(name).spec.config.network.publish]


async def healthy(world: World, *objects: dict[str, Any]) -> None:
    """The set of these is healthy, and they are what users want."""
    await applied(world, plugin(), *objects, atomic=True)
    world.users.plugins["hello"] = True
    for one in objects:
        if one["kind"] == "VM":
            world.users.vms[one["metadata"]["name"]] = "running"
        else:
            world.users.deployments[one["metadata"]["name"]] = one["spec"].get("replicas", 1)
    await world.until(lambda: revision(world).state == "healthy", within_s=300.0)


async def taken_back(world: World) -> str:
    """What is said of the set, once it was."""
    await world.until(lambda: revision(world).state == "reverted", within_s=100.0)
    await world.rest()
    return revision(world).message or ""


def removed(key: Key) -> Callable[[Transaction], None]:
    """Somebody deletes it."""

    def job(tx: Transaction) -> None:
        tx.mark_deleting(tx.get(key), Happening(type=DELETING[key.kind]))

    return job


async def gone(world: World, name: str) -> None:
    """Nobody uses the plugin any more, and it is deleted."""
    await world.until(lambda: all(one.spec.plugin != name for one in world.store.vms()))
    await world.users.ask(removed(Key("Plugin", name)))
    await world.until(lambda: not world.exists(name, "Plugin"))


@in_world(script=breaks)
async def test_ports_that_changed_hands_go_back_with_their_set(world: World) -> None:
    """From one that was made, and between two that were changed; what was made can be restored."""
    await healthy(world, vm("a", config=at(8081)), vm("b", config=at(8082)), vm("c", config=at(8083)))
    moved = vm("a", config=at(8082)), vm("b", config=at(8081)), vm("c"), vm("taker", config=at(8083, **broken()))
    await applied(world, plugin(), *moved, atomic=True, deadline_seconds=20)
    message = await taken_back(world)
    assert [ports(world, name) for name in "abc"] == [[8081], [8082], [8083]]
    assert not world.exists("taker")
    assert message.endswith("; what it made goes, and can be restored: VM taker")
    assert [one.name for one in world.store.pruned("infra", world.clock.now())] == ["taker"]
    await world.quiet()


@in_world(script=breaks)
async def test_who_waits_for_what_cannot_go_back_stays_as_well(world: World) -> None:
    """A port that is a stranger's by now keeps its VM where it is, and that one the next; the rest goes back."""
    await healthy(world, vm("a", config=at(8081)), vm("b", config=at(8082)), vm("c", grace_s=5))
    bad = vm("bad", config=broken())
    moved = vm("a", config=at(8082)), vm("b"), vm("c", grace_s=9), bad
    await applied(world, plugin(), *moved, atomic=True, deadline_seconds=20)
    await applied(world, vm("stranger", config=at(8081)), set="other")
    world.users.vms["stranger"] = "running"
    message = await taken_back(world)
    assert [ports(world, name) for name in ("a", "b", "stranger")] == [[8082], [], [8081]]
    assert world.vm("c").spec.grace_s == 5
    assert "VM a stays as it is: cannot publish 127.0.0.1:8081: VM stranger has" in message
    assert "VM b stays as it is: cannot publish 127.0.0.1:8082: VM a has" in message
    assert sum(event.key.name == "a" for event in world.oracles.replay.events if event.actor == "set") == 0


@in_world()
async def test_the_order_of_manifests_is_nothing(world: World) -> None:
    """A9: ports are handed over and swapped whoever is named first; who has none to give is told of, by name."""
    await applied(world, plugin(), vm("a", config=at(8081)), vm("b", config=at(8082)))
    world.users.plugins["hello"] = True
    world.users.vms |= {"a": "running", "b": "running", "c": "running"}
    await applied(world, vm("a", config=at(8082)), vm("b", config=at(8081)))
    await applied(world, vm("c", config=at(8081)), vm("a", config=at(8082)), vm("b"))
    assert [ports(world, name) for name in "abc"] == [[8082], [], [8081]]
    with pytest.raises(Conflict) as refused:
        await applied(world, vm("d", config=at(8082)), vm("b", config=at(8083)), set="other", force=True)
    (trouble,) = refused.value.details["objects"]
    assert (trouble["path"], trouble["code"], trouble["details"]["name"]) == ("/objects/0", "port_taken", "a")
    assert (world.exists("d"), ports(world, "b")) == (False, [])


@in_world(script=breaks)
async def test_nothing_goes_back_to_a_plugin_that_is_gone(world: World) -> None:
    """The deployment stays with the one that there is, and is named."""
    strategy = {"max_surge": 0, "max_unavailable": "100%"}
    await applied(world, plugin("old"), set="base")
    await healthy(world, deployment("web", of="old", strategy=strategy), vm("db", grace_s=5))
    bad = vm("bad", config=broken()), vm("db", grace_s=9)
    await applied(world, plugin(), deployment("web", strategy=strategy), *bad, atomic=True, deadline_seconds=60)
    await gone(world, "old")
    assert "Deployment web stays as it is: cannot be of plugin old again" in await taken_back(world)
    assert (world.store.deployment("web").spec.plugin, world.vm("db").spec.grace_s) == ("hello", 5)


@in_world(script=breaks)
async def test_auto_revert_does_not_go_to_a_plugin_that_is_gone(world: World) -> None:
    """U10: it says so once, tries on, and does not refuse the template as one that was taken back."""
    strategy = {"max_surge": 1, "max_unavailable": 0, "auto_revert": True, "progress_deadline_s": 30}
    await applied(world, plugin(), plugin("old"), deployment("web", of="old", strategy=strategy))
    await world.until(lambda: world.store.deployment("web").status.completed is not None)
    await applied(world, deployment("web", strategy=strategy, config=broken()))
    await world.passes(5.0)
    for name in [one.meta.name for one in world.store.vms() if one.spec.plugin == "old"]:
        await world.users.ask(removed(Key("VM", name)))
    await gone(world, "old")
    await world.passes(90.0)
    web = world.store.deployment("web")
    said = condition(web.status.conditions, PROGRESSING)
    assert said is not None
    assert (said.reason, web.spec.plugin) == ("ProgressDeadlineExceeded", "hello")
    assert (web.status.reverted, web.status.template) == (None, digest_of(template_of(web.spec)))
    told = [event for event in world.oracles.replay.events if b"RollbackImpossible" in event.data]
    assert len(told) == 1


@in_world()
async def test_an_apply_that_changes_nothing_is_looked_at_soon(world: World) -> None:
    """No event tells of it: what it no longer names goes within seconds, and not with the next resync."""
    await healthy(world, vm("db"), vm("cache"))
    await world.rest()
    await applied(world, plugin(), vm("db"), atomic=True, prune=True)
    del world.users.vms["cache"]
    await world.until(lambda: revision(world).state == "healthy", within_s=3.0)
    await world.rest()
    assert not world.exists("cache")
    await world.quiet()
