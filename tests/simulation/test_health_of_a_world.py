"""Guests that are probed: what fails is replaced, what is held up is caught up with, and at rest nothing is written."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.builders.objects import a_manifest
from tests.builders.scenarios import CHECK
from tests.builders.world import World, in_world, play

from volant.drivers.simulated.behaviour import Answers
from volant.model.vm import is_ready


async def a_vm(world: World) -> None:
    """A probed VM that is well, at rest."""
    await world.users.install(manifest=a_manifest(health_check=CHECK))
    await world.users.create("web", grace_s=10.0)
    await world.rest()


@in_world(with_probes=True)
async def test_a_guest_that_is_well_is_probed_and_nothing_is_written(world: World) -> None:
    """L7, V10: two probes every ten seconds for ten minutes, and not one event."""
    await a_vm(world)
    before = sum(world.host.probes.values())
    await world.quiet()
    assert sum(world.host.probes.values()) - before >= 115


@pytest.mark.parametrize("answers", ["unhealthy", "mute"])
def test_a_guest_that_fails_is_replaced(answers: Answers, tmp_path: Path) -> None:
    """P4, P7: brought down like one that is to be restarted, and its end counts as one of its own."""

    async def test(world: World) -> None:
        await a_vm(world)
        world.sicken("web", answers)
        await world.until(lambda: len(world.births("web")) == 2, within_s=60.0)
        await world.rest()
        end = world.vm("web").status.exit
        assert end is not None
        assert end.reason == "unhealthy"
        assert world.vm("web").status.failures == 1
        assert ("kill", "web") not in world.ops()
        await world.quiet()

    play(test, tmp_path, with_probes=True)


@in_world(with_probes=True)
async def test_a_daemon_that_restarts_believes_what_is_stored(world: World) -> None:
    """P10, P4: a guest that was well stays ready, and is not restarted for a daemon's short memory."""
    await a_vm(world)
    revision = world.store.revision
    for _ in range(5):
        await world.restart(20.0)
        assert is_ready(world.vm("web"))
        await world.passes(30.0)
    assert world.store.revision == revision
    await world.quiet()


@in_world(with_probes=True)
async def test_probes_go_on_after_a_long_trouble_with_the_store(world: World) -> None:
    """S4, P4: they were held up for many periods, and then notice what they have to notice."""
    await a_vm(world)
    with world.no_writes():
        await world.passes(120.0)
    await world.passes(10.0)
    world.sicken("web")
    await world.until(lambda: len(world.births("web")) == 2, within_s=60.0)
    await world.rest()


@in_world(with_probes=True)
async def test_a_host_that_cannot_probe_changes_nothing(world: World) -> None:
    """P5: unknown is no failure."""
    await a_vm(world)
    world.host.probe_fault = "no descriptor left"
    await world.quiet()
    assert is_ready(world.vm("web"))
