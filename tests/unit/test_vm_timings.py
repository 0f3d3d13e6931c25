"""`status.timings`: how long the phases of a guest took, without a write of their own."""

from __future__ import annotations

import pytest
from msgspec.structs import replace
from tests.builders.health_world import HealthWorld, in_health_world
from tests.builders.objects import a_vm, uid_of
from tests.builders.vm_world import VMWorld, in_world

from volant.daemon.forecast.pace import Pace, pace
from volant.drivers.simulated import Behaviour
from volant.model.health import Probe
from volant.model.timings import Timings
from volant.model.wire import vm_view

SLOW = Behaviour(launch_s=0.25, boot_s=1.5, stop_s=0.75)


def born(world: VMWorld, ago_s: float = 0.0) -> object:
    """A VM that was created so long ago."""
    vm = a_vm()
    return replace(vm, meta=replace(vm.meta, created_at=world.clock.now() - ago_s))


async def settled(world: VMWorld) -> Timings:
    """The timings at rest; turns follow hints at once, as those of a daemon do."""
    while world.word() not in ("running", "stopped"):
        await world.turn()
        await world.clock.sleep(0.25)
    await world.settle()
    timings = world.vm().status.timings
    assert timings is not None
    return timings


@in_world(behaviour=SLOW)
async def test_the_phases_of_a_boot_are_timed(world: VMWorld) -> None:
    """What is said is what the controller has seen, turn by turn; a running guest that is not probed is ready."""
    await world.create(born(world, ago_s=3.0))  # type: ignore[arg-type]
    timings = await settled(world)
    assert (timings.waited_s, timings.launch_s, timings.ready_s) == (3.0, 0.25, 0.0)
    assert timings.boot_s == pytest.approx(1.5, abs=0.25)
    assert vm_view(world.vm()).timings == timings
    # One event each, as without timings.
    assert world.types() == ["vm.created", "vm.updated", "vm.started"]


@in_world(behaviour=SLOW)
async def test_a_stop_is_timed_and_remembered_over_the_next_boot(world: VMWorld) -> None:
    await world.create(born(world))  # type: ignore[arg-type]
    await settled(world)
    await world.stop("web-1")
    await world.turn()
    await world.clock.sleep(0.75)
    stopped = await settled(world)
    assert stopped.stop_s == 0.75
    assert stopped.boot_s is not None
    await world.clock.sleep(500.0)
    await world.begin("web-1")
    again = await settled(world)
    assert (again.stop_s, again.waited_s, again.launch_s) == (0.75, 0.0, 0.25)


@in_world(behaviour=SLOW)
async def test_what_another_daemon_began_is_not_timed(world: VMWorld) -> None:
    await world.create(born(world))  # type: ignore[arg-type]
    await world.turn()
    world.restart()
    await world.clock.sleep(60.0)
    await world.settle()
    assert world.word() == "running"
    assert world.vm().status.timings is None


@in_world(behaviour=SLOW)
async def test_a_jump_of_the_wall_clock_is_no_boot_time(world: VMWorld) -> None:
    await world.create(born(world))  # type: ignore[arg-type]
    await world.turn()
    world.clock.jump(-7200.0)
    timings = await settled(world)
    assert timings.boot_s is not None
    assert timings.boot_s < 3.0


@in_world(behaviour=SLOW)
async def test_timings_are_no_reason_to_write(world: VMWorld) -> None:
    """L7."""
    await world.create(born(world))  # type: ignore[arg-type]
    await settled(world)
    revision = world.store.revision
    for _ in range(3):
        await world.clock.sleep(600.0)
        await world.turn()
    assert world.store.revision == revision


@in_world(behaviour=replace(SLOW, ends_after_s=4.0))
async def test_a_crash_is_no_stop(world: VMWorld) -> None:
    await world.create(born(world))  # type: ignore[arg-type]
    await settled(world)
    world.host.crash(uid_of("web-1"))
    await world.turn()
    timings = world.vm().status.timings
    assert timings is not None
    assert timings.stop_s is None


@in_health_world(behaviour=Behaviour(boot_s=0.5, answers_after_s=4.0))
async def test_readiness_is_timed_from_the_first_look_at_a_running_guest(world: HealthWorld) -> None:
    """Only the first: a guest that was unwell for a while has not booted again."""
    await world.install(readiness=Probe(period_s=1, failure_threshold=1))
    await world.create("web-1")
    await world.until(world.is_ready)
    timings = world.vm().status.timings
    assert timings is not None
    assert timings.ready_s is not None
    assert 3.9 <= timings.ready_s <= 5.2
    world.host.answer(world.vm().meta.uid, "unhealthy")
    await world.until(lambda: not world.is_ready())
    world.host.answer(world.vm().meta.uid, "healthy")
    await world.until(world.is_ready)
    assert world.vm().status.timings == timings


def test_the_pace_of_a_plugin_is_the_median_of_whole_boots() -> None:
    boots = [
        Timings(launch_s=0.1, boot_s=1.0, ready_s=0.0),
        Timings(launch_s=0.2, boot_s=9.0, ready_s=2.0),
        Timings(launch_s=0.3, boot_s=2.0, ready_s=1.0),
        Timings(launch_s=5.0, boot_s=50.0),
    ]
    assert pace(boots, [1.0, 4.0]) == Pace(launch_s=0.2, boot_s=2.0, ready_s=1.0, boots=3, stop_s=2.5, stops=2)
    assert pace([], []) == Pace()
    assert pace([], [4.0]) == Pace(stop_s=4.0, stops=1)
