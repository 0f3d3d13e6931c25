"""Rollouts under the whole daemon: the bounds hold in the event log, whatever becomes of guests and of the daemon."""

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec.structs import replace
from tests.builders.rolling import judged, reasons
from tests.builders.world import CALM, World, in_world, play

from volant.drivers import Boot
from volant.drivers.simulated import Behaviour
from volant.model.conditions import condition
from volant.model.deployment import PROGRESSING, rollout, template_of
from volant.model.event import past
from volant.model.rollout import Strategy, bounds_of, digest_of
from volant.model.vm import VMConfig

BROKEN = VMConfig(env={"BROKEN": "yes"})
GOOD = VMConfig(env={"LEVEL": "2"})


def breaks(boot: Boot, _nth: int) -> Behaviour | None:
    """A guest that is told to be broken ends before it runs."""
    return replace(CALM, launch="dies") if "BROKEN" in boot.booted.config.env else None


async def four(world: World, strategy: Strategy) -> int:
    """Four replicas, at rest; the revision of that."""
    await world.users.install()
    await world.users.deploy("api", 4)
    await world.rest()
    await world.users.roll("api", strategy=strategy, restart_nonce=0)
    await world.rest()
    return world.store.revision


def templates(world: World) -> set[str | None]:
    """What the replicas are made of."""
    owner = world.store.deployment("api").meta.uid
    return {child.template for child in world.store.children(owner) if not child.is_deleting}


@pytest.mark.parametrize(
    "strategy",
    [
        Strategy(),
        Strategy(max_surge=1, max_unavailable=0),
        Strategy(max_surge=0, max_unavailable=1),
        Strategy(max_surge="100%", max_unavailable=0),
        Strategy(max_surge=2, max_unavailable=2, min_ready_s=20.0),
    ],
)
def test_a_rollout_keeps_its_bounds_at_every_event(strategy: Strategy, tmp_path: Path) -> None:
    """U1, U4, U6: never more than may be, never fewer ready than have to be, and then all are new, and quiet."""

    async def test(world: World) -> None:
        since = await four(world, strategy)
        await world.users.roll("api", config=GOOD)
        await world.until(lambda: rollout(world.store.deployment("api")) == "complete", within_s=900.0)
        await world.rest()
        bounds = bounds_of(strategy, 4)
        seen = judged(world.oracles.replay.events, "api", most=bounds.most, least=bounds.least, since=since)
        assert seen.lowest >= bounds.least, "U1"
        assert len(templates(world)) == 1
        assert {vm.spec.config.env.get("LEVEL") for vm in world.store.vms()} == {"2"}
        assert list(reasons(world.oracles.replay.events, "api"))[-1] == "RolloutComplete"
        await world.quiet()

    play(test, tmp_path)


@in_world(script=breaks)
async def test_a_rollback_during_a_rollout_ends_where_it_began(world: World) -> None:
    """U1, U7, U9: the broken template never takes a replica that is needed; what is left of it goes first."""
    since = await four(world, Strategy(max_surge=1, max_unavailable=0))
    first = world.store.deployment("api").spec
    kept = {name: world.pid(name) for name in world.children("api")}
    await world.users.roll("api", config=BROKEN)
    await world.passes(30.0)
    assert world.store.deployment("api").status.updated_replicas == 1
    await world.users.roll("api", config=first.config)
    await world.rest()
    assert {name: world.pid(name) for name in world.children("api")} == kept, "nobody was replaced in vain"
    seen = judged(world.oracles.replay.events, "api", most=5, least=4, since=since)
    assert seen.lowest == 4
    await world.quiet()


@in_world(script=breaks)
async def test_a_third_template_takes_over_at_once(world: World) -> None:
    """U9, U1: from a second one that does not get anywhere."""
    since = await four(world, Strategy(max_surge=1, max_unavailable=1))
    await world.users.roll("api", config=BROKEN)
    await world.passes(10.0)
    await world.users.roll("api", config=GOOD)
    await world.rest()
    assert {vm.spec.config.env.get("LEVEL") for vm in world.store.vms()} == {"2"}
    judged(world.oracles.replay.events, "api", most=5, least=3, since=since)


@in_world(script=breaks)
async def test_what_does_not_become_healthy_is_taken_back(world: World) -> None:
    """U5, U10: after its deadline, once, in one transaction, and the log tells of it."""
    strategy = Strategy(max_surge=1, max_unavailable=0, progress_deadline_s=60.0, auto_revert=True)
    since = await four(world, strategy)
    config = world.store.deployment("api").spec.config
    await world.users.roll("api", config=BROKEN)
    await world.passes(50.0)
    assert world.store.deployment("api").spec.config == BROKEN
    await world.rest()
    deployment = world.store.deployment("api")
    assert deployment.spec.config == config
    assert deployment.status.reverted == digest_of(template_of(replace(deployment.spec, config=BROKEN)))
    told = list(reasons(world.oracles.replay.events, "api"))
    assert told[-4:] == ["RolloutStarted", "ProgressDeadlineExceeded", "RolledBack", "RolloutComplete"]
    assert told.count("RolledBack") == 1
    judged(world.oracles.replay.events, "api", most=5, least=4, since=since)
    await world.quiet()
    await world.users.roll("api", config=GOOD)
    await world.rest()
    assert world.store.deployment("api").status.reverted is None, "since then another one has been complete"


@in_world(script=breaks)
async def test_what_is_being_looked_at_anew_is_not_taken_back(world: World) -> None:
    """U10: that the template before it was stuck is no verdict on the one that somebody says just then."""
    await four(world, Strategy(max_surge=1, max_unavailable=0, progress_deadline_s=60.0))
    await world.users.roll("api", config=BROKEN)
    await world.until(lambda: rollout(world.store.deployment("api")) == "stalled")
    strategy = replace(world.store.deployment("api").spec.strategy, auto_revert=True)
    await world.users.roll("api", config=GOOD, strategy=strategy)
    await world.rest()
    assert world.store.deployment("api").spec.config == GOOD
    assert "RolledBack" not in reasons(world.oracles.replay.events, "api")


@in_world(script=breaks)
async def test_a_rollout_without_progress_says_so_and_goes_on(world: World) -> None:
    """U5: and the clock stands still while it is paused."""
    await four(world, Strategy(max_surge=1, max_unavailable=0, progress_deadline_s=60.0))
    await world.users.roll("api", config=BROKEN)
    await world.passes(30.0)
    strategy = world.store.deployment("api").spec.strategy
    await world.users.roll("api", strategy=replace(strategy, paused=True))
    await world.passes(300.0)
    assert rollout(world.store.deployment("api")) == "paused"
    said = condition(world.store.deployment("api").status.conditions, PROGRESSING)
    assert said is not None and said.reason == "RolloutPaused"
    await world.users.roll("api", strategy=strategy)
    await world.passes(55.0)
    assert rollout(world.store.deployment("api")) == "rolling"
    await world.passes(10.0)
    said = condition(world.store.deployment("api").status.conditions, PROGRESSING)
    assert said is not None
    assert (said.status, said.reason) == ("false", "ProgressDeadlineExceeded")
    world.host.script = None
    await world.rest()
    assert rollout(world.store.deployment("api")) == "complete"


@in_world()
async def test_a_paused_rollout_scales_and_does_not_roll(world: World) -> None:
    """U8: new replicas are like those that are there."""
    await four(world, Strategy(paused=True))
    (old,) = templates(world)
    await world.users.roll("api", config=GOOD)
    await world.users.scale("api", 6)
    await world.until(lambda: len(world.children("api")) == 6)
    await world.passes(30.0)
    assert templates(world) == {old}
    await world.users.scale("api", 2)
    await world.until(lambda: len(world.children("api")) == 2)
    assert templates(world) == {old}
    await world.users.roll("api", strategy=Strategy())
    await world.rest()
    assert old not in templates(world)


def told_of(world: World, name: str) -> dict[str | None, float]:
    """Reason of each event of a VM -> when it was committed, the last one of each."""
    events = [event for event in world.oracles.replay.events if event.key.name == name]
    return {past(event).reason: event.at for event in events}


@pytest.mark.parametrize("dies_after_s", [None, 0.0, 8.0])
def test_a_guest_serves_on_after_its_replica_is_no_endpoint(dies_after_s: float | None, tmp_path: Path) -> None:
    """U12, U1: it hears of its end `drain_s` after everybody else, also when the daemon dies in between."""

    async def test(world: World) -> None:
        since = await four(world, Strategy(max_surge=1, max_unavailable=0, drain_s=20.0))
        await world.users.roll("api", config=GOOD)
        await world.until(lambda: any("Replaced" in told_of(world, f"api-{n}") for n in range(1, 5)))
        (first,) = [name for name in ("api-1", "api-2", "api-3", "api-4") if "Replaced" in told_of(world, name)]
        if dies_after_s is not None:
            await world.passes(dies_after_s)
            await world.restart()
        await world.passes(17.0 - (dies_after_s or 0.0))
        assert world.pid(first), "it serves on"
        assert first not in world.children("api")
        await world.rest()
        for number in range(1, 5):
            told = told_of(world, f"api-{number}")
            assert 20.0 <= told["Stopping"] - told["Replaced"] <= 24.0
            assert told["Replaced"] <= told["Draining"] <= told["Stopping"]
        judged(world.oracles.replay.events, "api", most=5, least=4, since=since)
        assert len(templates(world)) == 1
        await world.quiet()

    play(test, tmp_path)


@in_world(script=breaks)
async def test_nobody_is_waited_for_who_was_no_endpoint(world: World) -> None:
    """U12: replicas that were never ready go at once, and so do those of a deployment that is deleted."""
    await four(world, Strategy(max_surge=1, max_unavailable=0, drain_s=600.0))
    config = world.store.deployment("api").spec.config
    await world.users.roll("api", config=BROKEN)
    await world.passes(5.0)
    await world.users.roll("api", config=config)
    await world.until(lambda: not world.exists("api-5"), within_s=60.0)
    await world.users.undeploy("api")
    await world.until(lambda: not world.exists("api", "Deployment"), within_s=60.0)
    assert "Draining" not in {reason for n in range(1, 6) for reason in told_of(world, f"api-{n}")}


@pytest.mark.parametrize("after_s", [0.0, 0.02, 0.1, 0.4, 0.7, 1.0, 1.5, 2.5])
def test_a_daemon_that_dies_in_between_goes_on_within_the_bounds(after_s: float, tmp_path: Path) -> None:
    """U1: wherever it ends, and with a replica that crashes at that moment."""

    async def test(world: World) -> None:
        since = await four(world, Strategy(max_surge=1, max_unavailable=1))
        await world.users.roll("api", config=GOOD)
        await world.clock.sleep(after_s)
        await world.crash()
        await world.clock.sleep(1.0)
        await world.start()
        alive = world.host.alive()
        world.host.crash(alive[len(alive) // 2].uid)
        await world.users.scale("api", 5)
        await world.rest()
        judged(world.oracles.replay.events, "api", most=7, least=3, since=since)
        assert len(templates(world)) == 1

    play(test, tmp_path)
