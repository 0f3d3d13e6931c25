"""Atomic sets that are applied again, or a part of them, before or after they have ended."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.builders.applying import applied, broken, deployment, plugin, revision, vm
from tests.builders.atomic_sets import a_healthy_set, healthy, specs
from tests.builders.rolls import breaks
from tests.builders.world import World, in_world, play

from volant.errors import Conflict
from volant.model.meta import Key


@in_world(script=breaks)
async def test_a_set_goes_back_behind_every_atomic_apply_that_was_not_healthy(world: World) -> None:
    """In one step, and to what somebody else made of it meanwhile."""
    await a_healthy_set(world)
    before = specs(world)
    bad = deployment("web", replicas=2, config=broken())
    await applied(world, plugin(), vm("db", grace_s=5), bad, vm("one"), atomic=True, deadline_seconds=30)
    await world.passes(5.0)
    await applied(world, plugin(), vm("db", grace_s=7), bad, vm("two"), atomic=True, deadline_seconds=30)
    assert [one.state for one in world.store.set_revisions("infra")] == ["progressing", "superseded", "healthy"]
    await world.until(lambda: revision(world).state == "reverted")
    await world.rest()
    assert specs(world) == before


@in_world(script=breaks)
async def test_what_was_applied_plainly_is_never_taken_back(world: World) -> None:
    """A plain apply of the whole ends the promise of the one before, and promises nothing itself."""
    await a_healthy_set(world)
    bad = deployment("web", replicas=2, config=broken())
    await applied(world, plugin(), vm("db", grace_s=5), bad, atomic=True, deadline_seconds=30)
    world.users.vms["two"] = "running"
    await applied(world, plugin(), vm("db", grace_s=6), bad, vm("two"))
    await world.passes(60.0)
    before = specs(world)
    assert (revision(world).state, revision(world).is_atomic) == ("progressing", False)
    await applied(world, plugin(), vm("db", grace_s=7), bad, vm("two", grace_s=7), atomic=True, deadline_seconds=30)
    await world.until(lambda: revision(world).state == "reverted")
    assert specs(world) == before


@pytest.mark.parametrize("asked", [{}, {"atomic": True, "deadline_seconds": 20}], ids=["plain", "atomic"])
def test_a_part_that_is_applied_meanwhile_breaks_no_promise(asked: dict[str, Any], tmp_path: Path) -> None:
    """What the rest is judged by, its undo, its prunes and its time go on; what the part promised goes along."""

    async def test(world: World) -> None:
        await a_healthy_set(world)
        before, since = specs(world), world.clock.monotonic()
        bad = vm("bad", config=broken())
        said = (plugin(), vm("db", grace_s=5), bad)
        await applied(world, *said, atomic=True, prune=True, deadline_seconds=30)
        await world.passes(10.0)
        label = {"labels": {"tier": "back"}}
        world.users.vms |= {} if asked else {"new": "running"}
        await applied(world, vm("db", grace_s=5, metadata=label), vm("new"), partial=True, **asked)
        assert {one.name for one in revision(world).named} == {"hello", "db", "bad", "new"}
        await world.until(lambda: revision(world).state == "reverted", within_s=60.0)
        assert 29.0 < world.clock.monotonic() - since < 32.0
        await world.rest()
        found = specs(world)
        if not asked:
            assert found.pop(Key("VM", "new"))
            assert world.vm("db").meta.labels == {"tier": "back"}
            assert world.vm("db").spec.grace_s == 30.0
            key = Key("VM", "db")
            before.pop(key), found.pop(key)
        assert found == before, "and nothing was pruned"

    play(test, tmp_path, script=breaks)


@in_world(script=breaks)
async def test_what_goes_once_a_set_is_healthy_goes_although_a_part_was_applied_meanwhile(world: World) -> None:
    """But for what the part names."""
    await a_healthy_set(world)
    await applied(world, plugin(), vm("slow"), atomic=True, prune=True, confirm_delete=2)
    await applied(world, deployment("web", replicas=2), partial=True)
    world.users.vms["slow"] = "running"
    del world.users.vms["db"]
    await healthy(world)
    await world.rest()
    assert not world.exists("db")
    assert not world.store.deployment("web").meta.is_deleting
    await world.quiet()


@in_world(script=breaks)
async def test_a_deployment_that_goes_back_behind_a_plain_apply_takes_its_set_along(world: World) -> None:
    """U10: to a template that no apply of this set has seen go; nothing is pruned for it."""
    strategy = {"auto_revert": True, "progress_deadline_s": 30, "max_surge": 1, "max_unavailable": 0}
    await applied(world, plugin(), vm("old"), deployment("web", replicas=2, strategy=strategy))
    world.users.plugins["hello"], world.users.vms["old"], world.users.deployments["web"] = True, "running", 2
    await world.rest()
    first = deployment("web", replicas=2, strategy=strategy, config=broken("1"))
    second = deployment("web", replicas=2, strategy=strategy, config=broken("2"))
    await applied(world, plugin(), vm("old"), first)
    await applied(world, plugin(), second, atomic=True, prune=True, deadline_seconds=300)
    await world.until(lambda: revision(world).state != "progressing", within_s=90.0)
    assert (revision(world).state, revision(world).reason) == ("reverted", "RolledBack")
    assert not world.vm("old").meta.is_deleting


@in_world(script=breaks)
async def test_what_somebody_deleted_is_tried_again(world: World) -> None:
    """A set that goes back because of that says nothing about its manifests: no `retry` is needed."""
    await a_healthy_set(world)
    said = (plugin(), vm("db"), deployment("web", replicas=2), vm("new"))
    await applied(world, *said, atomic=True)
    await world.users.delete("new")
    await world.until(lambda: revision(world).state == "reverted")
    assert revision(world).reason in {"Deleted", "Deleting"}
    await world.until(lambda: not world.exists("new"))
    await applied(world, *said, atomic=True)
    world.users.vms["new"] = "running"
    await healthy(world)


@in_world(script=breaks)
async def test_what_was_taken_back_is_refused_although_another_part_came_between(world: World) -> None:
    """Looked for among all the revisions that are kept; what was healthy once is not refused."""
    await a_healthy_set(world)
    good = (plugin(), vm("db"), deployment("web", replicas=2))
    bad = (*good, vm("bad", restart_policy="never", config=broken()))
    await applied(world, *bad, atomic=True)
    await world.until(lambda: revision(world).state == "reverted")
    await world.rest()
    await applied(world, vm("db", grace_s=9), atomic=True, partial=True)
    await healthy(world)
    with pytest.raises(Conflict) as refused:
        await applied(world, *bad, atomic=True)
    assert refused.value.details["revision"] == 2
    await applied(world, *good, atomic=True)
    await healthy(world)


@in_world(script=breaks)
async def test_what_it_takes_to_take_a_set_back_does_not_grow(world: World) -> None:
    """Of what somebody deletes over and over nothing is kept, and of others one change each."""
    await a_healthy_set(world)
    said = (plugin(), vm("db", grace_s=5), vm("bad", config=broken()))
    for turn in range(5):
        await applied(world, *said, deployment(f"x-{turn}", replicas=0), atomic=True, deadline_seconds=600)
        undo = await world.users.ask(lambda tx: tx.set_undo(revision(world)))
        theirs = [f"x-{turn - 1}"] if turn else []
        assert sorted(change.after.name for change in undo.changes) == ["bad", "db", *theirs, f"x-{turn}"]
        if turn:
            await world.users.undeploy(f"x-{turn - 1}")
            await world.passes(2.0)
            assert not world.store.find(Key("Deployment", f"x-{turn - 1}"))
    assert (revision(world).state, revision(world).number) == ("progressing", 6)
