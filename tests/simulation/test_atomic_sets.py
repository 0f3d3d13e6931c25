"""Atomic sets under the whole daemon: healthy as a whole, or as they were."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.builders.applying import applied, broken, deployment, plugin, revision, vm
from tests.builders.atomic_sets import a_healthy_set, healthy, specs
from tests.builders.campaign import begin, differences, perform
from tests.builders.harm import Fault
from tests.builders.rolling import judged
from tests.builders.rolls import breaks
from tests.builders.set_stories import SCENARIOS
from tests.builders.spoils import HOWS
from tests.builders.world import World, in_world, play

from volant.errors import Conflict
from volant.model.event import EventData
from volant.model.meta import Key

LEVEL2 = {"env": {"LEVEL": "2"}}


def reasons(world: World, name: str) -> list[str | None]:
    """The reasons of the events of everything that is called so."""
    events = [event for event in world.oracles.replay.events if event.key.name == name]
    return [msgspec.json.decode(event.data, type=EventData).reason for event in events]


@in_world(script=breaks)
async def test_a_set_with_one_bad_member_returns_whole(world: World) -> None:
    """A new VM goes, a good deployment that was changed goes back, and the bad one does."""
    await a_healthy_set(world)
    before = specs(world)
    await applied(
        world,
        plugin(),
        vm("db", grace_s=5),
        vm("extra"),
        deployment("web", replicas=3, config=broken()),
        atomic=True,
        deadline_seconds=60,
    )
    await world.until(lambda: revision(world).state == "reverted", within_s=90.0)
    await world.rest()
    assert specs(world) == before
    last = revision(world)
    assert (last.number, last.reason) == (2, "DeadlineExceeded")
    assert last.message is not None and "Deployment web" in last.message
    assert "SetReverted" in reasons(world, "web") and "SetReverted" in reasons(world, "extra")
    await world.quiet()


@in_world(script=breaks)
async def test_who_has_failed_for_good_is_not_waited_for(world: World) -> None:
    """A VM that is not started again cannot become ready: long before the deadline."""
    await a_healthy_set(world)
    before, since = specs(world), world.clock.monotonic()
    bad = vm("bad", restart_policy="never", config=broken())
    await applied(world, plugin(), vm("db"), deployment("web", replicas=2, config=LEVEL2), bad, atomic=True)
    await world.until(lambda: revision(world).state == "reverted", within_s=30.0)
    assert world.clock.monotonic() - since < 30.0
    await world.rest()
    assert specs(world) == before
    assert (revision(world).message or "").startswith("VM bad: ")
    await world.quiet()


@in_world(script=breaks)
async def test_a_first_apply_that_fails_leaves_nothing(world: World) -> None:
    """What was never healthy goes; the same is refused until it is said otherwise, or with `retry`."""
    said = (plugin(), vm("db"), deployment("web", replicas=2, config=broken()))
    await applied(world, *said, atomic=True, deadline_seconds=20)
    await world.until(lambda: not any(world.store.keys(kind) for kind in ("VM", "Deployment", "Plugin")))
    assert revision(world).state == "reverted"
    with pytest.raises(Conflict) as refused:
        await applied(world, *said, atomic=True)
    assert refused.value.code == "set_reverted"
    again = {**said[1], "metadata": {"name": "db", "annotations": {"volant.sync/commit": "0123"}}}
    with pytest.raises(Conflict):
        await applied(world, again, said[0], said[2], atomic=True)
    assert not world.store.keys("VM"), "a refusal does nothing"
    await applied(world, *said, atomic=True, retry=True, deadline_seconds=20)
    assert revision(world).number == 2
    await world.until(lambda: revision(world).state == "reverted")
    await world.rest()
    assert "infra" in world.store.sets(), "it says for a day why there is nothing"


@in_world(script=breaks)
async def test_what_a_set_no_longer_names_goes_once_it_is_healthy(world: World) -> None:
    """And not before: taken back, its guest has never been touched."""
    await a_healthy_set(world)
    pid = world.pid("db")
    bad = deployment("web", replicas=2, config=broken())
    view = await applied(world, plugin(), bad, atomic=True, prune=True, deadline_seconds=20)
    assert view.summary["delete"] == 1
    again = await applied(world, plugin(), bad, atomic=True, prune=True, deadline_seconds=20)
    assert again.summary == {"create": 0, "update": 0, "delete": 0, "unchanged": 2}
    await world.until(lambda: revision(world).state == "reverted")
    await world.rest()
    assert world.pid("db") == pid
    await applied(world, plugin(), deployment("web", replicas=2, config=LEVEL2), atomic=True, prune=True)
    assert not world.vm("db").meta.is_deleting
    del world.users.vms["db"]
    await healthy(world)
    await world.rest()
    assert not world.exists("db")
    assert [one.name for one in world.store.pruned("infra", world.clock.now())] == ["db"]
    await world.quiet()


@in_world(script=breaks)
async def test_a_set_is_taken_back_in_the_middle_of_a_rollout(world: World) -> None:
    """U1: one bad VM takes a deployment back that is rolling well, and never too few are ready."""
    strategy = {"max_surge": 1, "max_unavailable": 0, "min_ready_s": 5}
    await applied(world, plugin(), deployment("web", replicas=4, strategy=strategy), atomic=True)
    world.users.plugins["hello"], world.users.deployments["web"] = True, 4
    await world.rest()
    since = world.store.revision
    good = deployment("web", replicas=4, strategy=strategy, config=LEVEL2)
    bad = vm("bad", config=broken())
    await applied(world, plugin(), good, bad, atomic=True, deadline_seconds=12)
    await world.until(lambda: revision(world).state == "reverted")
    assert any(child.spec.config.env for child in world.store.vms()), "it was rolling"
    await world.rest()
    assert not any(child.spec.config.env for child in world.store.vms())
    judged(world.oracles.replay.events, "web", most=5, least=4, since=since)
    await world.quiet()


@in_world(script=breaks)
async def test_what_others_have_said_since_stays_theirs(world: World) -> None:
    """A2: a value that was scaled, a label that another manager says, an object that somebody deleted."""
    await applied(world, plugin(), vm("db"), vm("old"), deployment("web"), atomic=True)
    world.users.plugins["hello"], world.users.deployments["web"] = True, 5
    world.users.vms["db"] = "running"
    await world.until(lambda: revision(world).state == "healthy")
    label = {"labels": {"tier": "front"}}
    await applied(
        world,
        plugin(),
        vm("db", grace_s=5, metadata={"labels": {"tier": "back"}}),
        vm("old", grace_s=5),
        deployment("web", config=broken(), metadata=label),
        atomic=True,
        deadline_seconds=30,
    )
    await world.users.scale("web", 5)
    await applied(world, vm("db", metadata={"labels": {"tier": "back"}}), set="other", manager="other", force=True)
    await world.users.delete("old")
    await world.until(lambda: revision(world).state == "reverted")
    await world.rest()
    web = world.store.deployment("web")
    assert (web.spec.replicas, web.spec.config.env, web.meta.labels) == (5, {}, {})
    assert world.vm("db").meta.labels == {"tier": "back"}
    assert world.store.set_of(world.uid("db")) == "other"
    assert world.vm("db").spec.grace_s == 5, "what is another set's by now is not touched"
    assert not world.exists("old")
    await world.quiet()


@in_world(script=breaks)
async def test_a_deadline_outlives_the_daemon_and_no_clock_brings_it_on(world: World) -> None:
    """P7: the wall clock is put forward, then back; the daemon dies; the set goes when its time is over."""
    await a_healthy_set(world)
    # Its own deadline is another matter.
    bad = deployment("web", replicas=2, config=broken(), strategy={"progress_deadline_s": 604_800})
    await applied(world, plugin(), vm("db"), bad, atomic=True, deadline_seconds=300)
    await world.passes(5.0)
    world.jump(10_000.0)
    await world.passes(200.0)
    assert revision(world).state == "progressing"
    world.jump(-20_000.0)
    await world.passes(50.0)
    assert revision(world).state == "progressing"
    await world.until(lambda: revision(world).state == "reverted", within_s=60.0)
    await applied(world, plugin(), vm("db"), bad, atomic=True, deadline_seconds=300, retry=True)
    await world.passes(200.0)
    await world.restart(down_s=50.0)
    await world.passes(40.0)
    assert revision(world).state == "progressing"
    await world.until(lambda: revision(world).state == "reverted", within_s=20.0)
    await world.rest()


@in_world(script=breaks)
async def test_who_says_the_same_over_and_over_gets_no_more_time(world: World) -> None:
    """What it brings back each time is a revision, and its deadline is that of the first."""
    await a_healthy_set(world)
    bad = (plugin(), vm("db"), deployment("web", replicas=2, config=broken()))
    since = world.clock.monotonic()
    for _ in range(3):
        await applied(world, *bad, atomic=True, force=True, deadline_seconds=60)
        await world.passes(15.0)
        await world.users.scale("web", 3)
    await world.until(lambda: revision(world).state == "reverted")
    assert 55.0 < world.clock.monotonic() - since < 65.0
    assert revision(world).number == 4


@in_world(script=breaks)
async def test_a_deployment_that_goes_back_by_itself_takes_its_set_along(world: World) -> None:
    """U10: both go back once, nobody goes forth again, and who said the fields keeps them."""
    strategy = {"auto_revert": True, "progress_deadline_s": 30, "max_surge": 1, "max_unavailable": 0}
    await applied(world, plugin(), vm("db"), deployment("web", replicas=2, strategy=strategy), atomic=True)
    world.users.plugins["hello"], world.users.vms["db"], world.users.deployments["web"] = True, "running", 2
    await healthy(world)
    await world.rest()
    before = specs(world)
    bad = deployment("web", replicas=2, strategy=strategy, config=broken())
    await applied(world, plugin(), vm("db", grace_s=5), bad, atomic=True, deadline_seconds=300)
    await world.until(lambda: revision(world).state == "reverted", within_s=60.0)
    await world.rest()
    assert specs(world) == before
    told = reasons(world, "web")
    assert told.count("RolledBack") <= 1 and told.count("SetApplied") == 2
    assert "web: " in (revision(world).message or "")
    await world.quiet()


@in_world(script=breaks)
async def test_what_cannot_be_as_it_was_stays_and_is_named(world: World) -> None:
    """A port that somebody has taken since is theirs; the rest of the set goes back all the same."""
    publish = {"network": {"publish": [{"guest_port": 80, "host_port": 8081}]}}
    await applied(world, plugin(), vm("db", config=publish), vm("cache", grace_s=5), atomic=True)
    world.users.plugins["hello"] = True
    world.users.vms |= {"db": "running", "cache": "running", "proxy": "running"}
    await healthy(world)
    bad = vm("bad", config=broken())
    await applied(world, plugin(), vm("db"), vm("cache", grace_s=9), bad, atomic=True, deadline_seconds=20)
    await applied(world, vm("proxy", config=publish), set="other")
    await world.until(lambda: revision(world).state == "reverted")
    await world.rest()
    assert (world.vm("db").spec.config.network.publish, world.vm("cache").spec.grace_s) == ((), 5.0)
    assert "VM db stays as it is: " in (revision(world).message or "")
    await world.quiet()


@in_world(script=breaks)
async def test_a_plugin_comes_and_goes_with_its_set(world: World) -> None:
    """One that it brought goes although replicas of it are still there; one that it left goes once it is healthy."""
    await a_healthy_set(world)
    before = specs(world)
    bad = deployment("web", replicas=2, of="next", config=broken())
    await applied(world, plugin("next"), vm("db"), bad, atomic=True, deadline_seconds=20)
    await world.until(lambda: revision(world).state == "reverted")
    await world.rest()
    assert specs(world) == before
    good = deployment("web", replicas=2, of="next")
    await applied(world, plugin("next"), good, atomic=True, prune=True, confirm_delete=2)
    assert not world.store.plugin("hello").meta.is_deleting
    del world.users.vms["db"], world.users.plugins["hello"]
    world.users.plugins["next"] = True
    await healthy(world)
    await world.rest()
    await world.quiet()


@in_world(script=breaks)
async def test_a_deployment_that_goes_back_further_takes_its_set_along(world: World) -> None:
    """U10: to the template before two that never were complete."""
    strategy = {"auto_revert": True, "progress_deadline_s": 30, "max_surge": 1, "max_unavailable": 0}
    await applied(world, plugin(), deployment("web", replicas=2, strategy=strategy), atomic=True)
    world.users.plugins["hello"], world.users.deployments["web"] = True, 2
    await healthy(world)
    await world.rest()
    before = specs(world)
    for level in ("1", "2"):
        bad = deployment("web", replicas=2, strategy=strategy, config=broken(level))
        await applied(world, plugin(), bad, vm("db"), atomic=True, deadline_seconds=300)
        await world.passes(5.0)
    await world.until(lambda: revision(world).state == "reverted", within_s=60.0)
    await world.rest()
    assert specs(world) == before


@in_world()
async def test_a_chain_of_applies_ends_where_the_last_of_them_would(world: World) -> None:
    """A5: S, A, B, A is S, A; and what is said twice is written once."""
    small = (plugin(), vm("db"), deployment("web"))
    large = (plugin(), vm("db", grace_s=5), deployment("web", replicas=3, config=LEVEL2), vm("cache"))
    world.users.plugins["hello"], world.users.vms["db"] = True, "running"
    found = []
    for said in (small, large, small, large):
        await applied(world, *said, atomic=True, prune=True)
        await healthy(world)
        await world.until(lambda: not any(one.meta.is_deleting for one in world.store.vms()))
        found.append(specs(world))
        held = world.store.revision, world.store.set_revisions("infra")
        await applied(world, *said, atomic=True, prune=True)
        assert (world.store.revision, world.store.set_revisions("infra")) == held
    assert found[3] == found[1]
    assert found[2] == found[0]


def test_a_set_is_taken_back_once_whatever_becomes_of_the_act() -> None:
    """V12, D3: the daemon ends, the store says no, or nothing, or does it twice; the rest is asked of every story."""
    story = SCENARIOS["set_taken_back"]
    frozen = begin(story)
    reference = perform(story, frozen)
    (at,) = (at for at, effect in enumerate(reference.effects) if effect.op == "store.take_set_back")
    for how in (how for how in HOWS if not how.startswith("silence")):
        ending = perform(story, frozen, Fault(at, how))
        assert ending.spoiled, how
        assert not differences(story, reference, ending), how


def _some(rng: random.Random, level: str) -> list[dict[str, Any]]:
    """A set: which of five objects it names, and what it says of them."""
    config = {"env": {"LEVEL": level}} if rng.random() < 0.7 else {}
    labels = {"labels": {"tier": rng.choice("ab")}} if rng.random() < 0.5 else {}
    said = [vm(name, grace_s=rng.choice([5, 10]), config=config, metadata=labels) for name in ("v1", "v2")]
    said += [deployment(name, replicas=rng.randint(1, 2), config=config, metadata=labels) for name in ("d1", "d2")]
    return [plugin(), *rng.sample(said, rng.randint(1, 4))]


@pytest.mark.parametrize("seed", range(8))
def test_whatever_one_bad_member_is_among_the_set_returns_whole(seed: int, tmp_path: Path) -> None:
    """A2, V12: over random sets, while the daemon is killed now and then, and whether it prunes or not."""
    rng = random.Random(seed)

    async def test(world: World) -> None:
        good = _some(rng, "1")
        await applied(world, *good, atomic=True)
        world.users.plugins["hello"] = True
        world.users.vms |= {one["metadata"]["name"]: "running" for one in good if one["kind"] == "VM"}
        wanted = {one["metadata"]["name"]: one["spec"]["replicas"] for one in good if one["kind"] == "Deployment"}
        world.users.deployments |= wanted
        await healthy(world)
        await world.rest()
        before = specs(world)
        uids = {key: world.store.get(key).meta.uid for key in before}
        bad = rng.choice([vm("bad", config=broken()), deployment("bad", config=broken())])
        prunes = {"prune": True, "confirm_delete": len(before.keys() - _named(second := _some(rng, "2")))}
        await applied(world, *second, bad, atomic=True, deadline_seconds=40, **(prunes if rng.random() < 0.7 else {}))
        for _ in range(2):
            await world.passes(rng.uniform(0.0, 25.0))
            await world.restart(down_s=rng.uniform(0.1, 2.0))
        await world.until(lambda: revision(world).state == "reverted")
        await world.rest()
        assert specs(world) == before
        assert {key: world.store.get(key).meta.uid for key in before} == uids, "nothing was made anew"
        await world.quiet()

    play(test, tmp_path, script=breaks, seed=seed)


def _named(said: list[dict[str, Any]]) -> set[Key]:
    return {Key(one["kind"], one["metadata"]["name"]) for one in said}
