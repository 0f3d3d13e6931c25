"""Forecasts of a world: what they say is what then happens, and making one changes nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from tests.builders.forecasts import a_deployment, a_vm_manifest, body_of, done, forecast, moments, order
from tests.builders.objects import a_manifest
from tests.builders.world import CALM, World, in_world, play

from volant.daemon.forecast.question import Bounds
from volant.drivers import Boot
from volant.drivers.simulated import Behaviour
from volant.errors import ArtifactRefused, ForecastTooLarge, VolantError
from volant.model.health import HealthCheck, Probe
from volant.model.plugin import Source
from volant.model.rollout import Strategy
from volant.model.timeline import Timeline

CAREFUL: dict[str, Any] = {"max_surge": 1, "max_unavailable": 0}
URL = "http://127.0.0.1:9000/refused.cpio"
NEW: dict[str, Any] = {"env": {"LEVEL": "2"}}


async def api(world: World, replicas: int, **strategy: Any) -> None:
    """A deployment at rest, of a plugin whose guests were seen to boot and to stop."""
    await world.users.install()
    await world.users.deploy("api", replicas + 1)
    await world.users.roll("api", strategy=Strategy(**strategy), restart_nonce=0)
    await world.rest()
    await world.users.scale("api", replicas)
    await world.rest()


def crashing(boot: Boot, _: int) -> Behaviour | None:
    """A guest called so crashes as soon as it runs."""
    return replace(CALM, ends_after_s=0.6) if boot.name == "crashing" else None


@in_world()
async def test_a_roll_of_fifty_replicas_makes_the_steps_that_were_foretold(world: World) -> None:
    """Which replica is made, starts, is ready, stops and is gone: the same, in the same order, at the same times."""
    await api(world, 50, **CAREFUL)
    body = body_of(a_deployment("api", 50, config=NEW, strategy=CAREFUL))
    foretold = await forecast(world, body)
    real = await done(world, body)
    assert order(foretold.steps) == order(real)
    assert [step.at_s for step in foretold.steps] == pytest.approx([step.at_s for step in real], abs=0.01)
    assert (foretold.end, foretold.total_s) == ("settled", real[-1].at_s)
    (lowest,) = foretold.lowest
    assert (lowest.before, lowest.ready, lowest.after) == (50, 50, 50)
    assert {what for _, what in order(real)} == {
        *("changed", "created", "started", "ready", "stopping", "removed", "complete"),
    }


@pytest.mark.parametrize(
    "strategy", [{}, {"max_surge": 0, "max_unavailable": 7}, {"max_surge": 10, "max_unavailable": 5, "min_ready_s": 20}]
)
def test_what_happens_to_many_at_once_was_foretold_of_as_many(strategy: dict[str, Any], tmp_path: Path) -> None:
    """The order among those to whom something happens at the same time is nobody's."""

    async def test(world: World) -> None:
        await api(world, 50, **strategy)
        body = body_of(a_deployment("api", 50, config=NEW, strategy=strategy))
        foretold = await forecast(world, body)
        real = await done(world, body)
        assert moments(foretold.steps) == moments(real)
        (lowest,) = foretold.lowest
        assert lowest.ready >= 50 - 50 // 4

    play(test, tmp_path)


@in_world()
async def test_a_set_of_everything_is_foretold(world: World) -> None:
    """Made, scaled, stopped and pruned."""
    await world.users.install()
    before = [a_deployment("api", 3), a_vm_manifest("db"), a_vm_manifest("old")]
    # Nothing was seen to boot yet, nor, below, to stop: then the order is right, and the times are assumed.
    assert (await forecast(world, body_of(*before))).total_s == pytest.approx(5.1, abs=0.1)
    await done(world, body_of(*before))
    after = [a_deployment("api", 2), a_vm_manifest("db", power="stopped"), a_vm_manifest("new")]
    body = body_of(*after, prune=True)
    foretold, real = await forecast(world, body), await done(world, body)
    assert sorted(order(foretold.steps)) == sorted(order(real))
    assert {("old", "removed"), ("db", "stopped"), ("new", "ready"), ("api-3", "removed")} <= set(order(real))
    assert foretold.end == "settled"
    assert [(one.plugin, one.boots, one.stops) for one in foretold.pace] == [("hello", 5, 0)]


@in_world()
async def test_a_forecast_writes_nothing_and_asks_the_host_for_nothing(world: World) -> None:
    await api(world, 3)
    revision, asked, effects = world.store.revision, list(world.host.log), len(world.record.effects)
    events = len(world.oracles.replay.events)
    files = world.path.read_bytes()
    foretold = await forecast(world, body_of(a_deployment("api", 5, config=NEW)))
    assert len(foretold.steps) > 10
    assert (world.store.revision, list(world.host.log), len(world.record.effects)) == (revision, asked, effects)
    assert len(world.oracles.replay.events) == events
    assert world.path.read_bytes() == files
    await world.quiet()


@in_world()
async def test_an_apply_that_changes_nothing_has_no_steps(world: World) -> None:
    await api(world, 3)
    foretold = await forecast(world, body_of(a_deployment("api", 3)))
    assert (foretold.steps, foretold.total_s, foretold.end) == ((), 0.0, "settled")


@in_world()
async def test_what_was_not_observed_is_said_to_be_assumed(world: World) -> None:
    await world.users.install()
    foretold = await forecast(world, body_of(a_vm_manifest("db")))
    assert [(one.boots, one.stops, one.boot_s, one.stop_s) for one in foretold.pace] == [(0, 0, 5.1, 2.0)]
    await done(world, body_of(a_vm_manifest("db")))
    await done(world, body_of(a_vm_manifest("db", power="stopped")))
    await done(world, body_of(a_vm_manifest("db")))
    foretold = await forecast(world, body_of(a_vm_manifest("db"), a_vm_manifest("web")))
    assert [(one.boots, one.stops, one.boot_s, one.stop_s) for one in foretold.pace] == [(1, 1, 0.55, 0.3)]


@in_world()
async def test_what_was_observed_outlives_the_daemon(world: World) -> None:
    await api(world, 3)
    before = await forecast(world, body_of(a_deployment("api", 4)))
    await world.restart()
    assert (await forecast(world, body_of(a_deployment("api", 4)))).pace == before.pace
    assert before.pace[0].boots == 3
    assert before.pace[0].stops > 0


@in_world(with_probes=True, behaviour=replace(CALM, answers_after_s=3.0))
async def test_guests_that_are_probed_are_foretold_to_be_ready_as_late_as_they_are(world: World) -> None:
    """On the average: when each is probed hangs on its uid."""
    probed = a_manifest(health_check=HealthCheck(readiness=Probe(period_s=1.0)))
    await world.users.install(manifest=probed)
    await world.users.deploy("api", 9)
    await world.users.roll("api", strategy=Strategy(**CAREFUL), restart_nonce=0)
    await world.rest()
    await world.users.scale("api", 8)
    await world.rest()
    body = body_of(a_deployment("api", 8, config=NEW, strategy=CAREFUL))
    foretold, real = await forecast(world, body), await done(world, body)
    assert foretold.total_s == pytest.approx(real[-1].at_s, rel=0.2)
    assert sorted(order(foretold.steps)) == sorted(order(real))
    assert 3.5 < foretold.pace[0].boot_s < 5.0


@in_world()
async def test_artifacts_that_could_not_be_had_are_not_had_in_a_forecast_either(world: World) -> None:
    world.cache.failing[URL] = ArtifactRefused("cannot use it: it is no initramfs")
    await world.users.install(manifest=a_manifest(initramfs=Source(url=URL)))
    await world.passes(60.0)
    foretold = await forecast(world, body_of(a_vm_manifest("db")))
    assert [(one.name, one.reason) for one in foretold.unsettled] == [("db", "PluginFailed")]
    assert foretold.end == "stuck"


@in_world()
async def test_an_atomic_set_is_foretold_as_any(world: World) -> None:
    await api(world, 3)
    body = body_of(a_deployment("api", 3, config=NEW), atomic=True, deadline_seconds=300)
    foretold = await forecast(world, body)
    assert (foretold.end, foretold.lowest[0].after) == ("settled", 3)


@in_world(script=lambda boot, _: replace(CALM, launch="dies") if boot.name == "crashing" else None)
async def test_an_atomic_set_that_would_be_taken_back_is_foretold_to_be(world: World) -> None:
    """With all that it takes: what it made goes again."""
    await world.users.install()
    await world.users.create("crashing")
    await world.until(lambda: world.vm("crashing").status.failures >= 3)
    both = (a_vm_manifest("crashing"), a_vm_manifest("new"))
    foretold = await forecast(world, body_of(*both, atomic=True, deadline_seconds=120))
    assert (foretold.end, foretold.bound) == ("reverted", None)
    assert foretold.reverted
    assert foretold.total_s >= 120
    assert ("new", "removed") in order(foretold.steps)


@in_world(script=crashing)
async def test_a_guest_that_crashes_again_and_again_is_said_to_and_ends_the_forecast(world: World) -> None:
    """Whatever else there is in the set is foretold; a VM that is none of the set is nobody's concern."""
    await world.users.install()
    await world.users.create("crashing")
    await world.users.create("web")
    await world.until(lambda: world.vm("crashing").status.failures >= 3)
    foretold = await forecast(world, body_of(a_vm_manifest("crashing"), a_vm_manifest("new")))
    assert foretold.end == "stuck"
    assert [(one.name, one.reason) for one in foretold.unsettled] == [("crashing", "Crashed")]
    assert {("crashing", "failed"), ("new", "ready")} <= set(order(foretold.steps))
    assert ("crashing", "stopping") not in order(foretold.steps)
    assert foretold.looked_ahead_s < 600
    assert (await forecast(world, body_of(a_vm_manifest("new")))).end == "settled"
    # Another config may be what mends it.
    mended = body_of(a_vm_manifest("crashing", config=NEW))
    assert (await forecast(world, mended)).end == "settled"


@in_world(script=lambda boot, _: replace(CALM, launch="dies") if "BROKEN" in boot.booted.config.env else None)
async def test_more_of_a_template_that_does_not_run_is_no_way_to_be_available(world: World) -> None:
    await world.users.install()
    broken = {"env": {"BROKEN": "yes"}}
    await done(world, body_of(a_deployment("api", 2, config=broken)), within_s=700.0)
    foretold = await forecast(world, body_of(a_deployment("api", 4, config=broken)))
    assert foretold.end == "stuck"
    assert [one.name for one in foretold.unsettled] == ["api"]
    assert (await forecast(world, body_of(a_deployment("api", 2, config=NEW)))).end == "settled"


@pytest.mark.parametrize(
    ("bounds", "cpu_s", "bound"),
    [
        (Bounds(ahead_s=5.0), 0.0, "time"),
        (Bounds(steps=20), 0.0, "steps"),
        (Bounds(), 99.0, "work"),
        (Bounds(turns=300), 0.0, "work"),
    ],
)
def test_a_forecast_ends_at_its_bounds_and_says_so(bounds: Bounds, cpu_s: float, bound: str, tmp_path: Path) -> None:
    told: list[Timeline] = []

    async def test(world: World) -> None:
        await api(world, 10, **CAREFUL)
        body = body_of(a_deployment("api", 10, config=NEW, strategy=CAREFUL))
        told.append(await forecast(world, body, bounds=bounds, cpu_s=cpu_s))

    play(test, tmp_path)
    assert (told[0].end, told[0].bound) == ("cut", bound)
    assert [one.name for one in told[0].unsettled] == ["api"]


@in_world()
async def test_too_many_objects_are_refused_and_so_is_what_the_api_refuses(world: World) -> None:
    await api(world, 3)
    with pytest.raises(ForecastTooLarge, match="5 objects"):
        await forecast(world, body_of(a_deployment("api", 4)), bounds=Bounds(objects=4))
    with pytest.raises(VolantError, match="plugin"):
        await forecast(world, body_of(a_vm_manifest("db", plugin="nowhere")))
