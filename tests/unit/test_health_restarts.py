"""Guests that fail their probes are restarted, once each, whatever dies in between. Virtual time."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise
from pathlib import Path

import msgspec
import pytest
from tests.builders.health_world import EVERY_SECOND, HealthWorld, in_health_world
from tests.builders.objects import uid_of

from volant.drivers.simulated import Answers, Behaviour
from volant.model.health import Probe
from volant.model.vm import status_word

UID = uid_of("web-1")
OFTEN = Probe(period_s=1.0, failure_threshold=2)
NEVER_WELL = Behaviour(answers="unhealthy")


@pytest.mark.parametrize("how", ["unhealthy", "mute"])
def test_a_guest_whose_liveness_fails_is_restarted_once(how: Answers, tmp_path: Path) -> None:
    """P4, P1: through the normal stop, after the delay of a first failure, and counted as one."""

    @in_health_world(behaviour=Behaviour(stop_s=0.5))
    async def run(world: HealthWorld) -> None:
        await world.install(readiness=EVERY_SECOND, liveness=OFTEN)
        await world.create("web-1")
        await world.until(world.is_ready)
        pid = world.vm().status.pid
        world.host.answer(UID, how)
        await world.until(lambda: world.vm().status.stop_deadline is not None)
        assert (status_word(world.vm()), world.word(), world.is_ready()) == ("restarting", "unhealthy", False)
        await world.until(lambda: world.vm().status.pid is None)
        end = world.vm().status.exit
        assert end is not None
        assert (end.reason, end.message) == ("unhealthy", "its liveness probe failed")
        assert (world.ready().reason, status_word(world.vm()), world.word()) == ("Unhealthy", "restarting", None)
        assert 0.7 <= await world.until(world.is_ready) <= 4.0
        status = world.vm().status
        assert status.pid != pid
        assert (status.restarts, status.failures, world.launches()) == (1, 1, 2)
        assert world.told().count("vm.error") == 1
        assert [op for op, _ in world.host.log][2:] == ["request_stop", "forget", "network.ensure", "launch"]
        await world.passes(300)
        assert world.launches() == 2

    run(tmp_path)


@in_health_world(behaviour=NEVER_WELL)
async def test_a_guest_that_never_starts_up_is_restarted_ever_less_often(world: HealthWorld) -> None:
    """P4, P1: as Kubernetes has it, a startup probe that fails ends the guest."""
    await world.install(startup=Probe(period_s=1.0, failure_threshold=3), readiness=EVERY_SECOND)
    await world.create("web-1")
    await world.passes(30 * 60)
    launched = [event.at for event in world.events if event.type == "vm.started"]
    gaps = [later - earlier for earlier, later in pairwise(launched)]
    assert gaps[0] < gaps[2] < gaps[4]
    assert 48 <= gaps[-1] <= 80
    assert world.vm().status.failures in (len(launched), len(launched) - 1)
    reasons = [msgspec.json.decode(e.data)["reason"] for e in world.events if e.type == "vm.health_changed"]
    assert set(reasons) == {"Unhealthy"}
    assert abs(len(reasons) - len(launched)) <= 1


@in_health_world(behaviour=Behaviour(answers_after_s=25.0))
async def test_without_a_startup_probe_liveness_ends_a_slow_guest(world: HealthWorld) -> None:
    """P4, and why there is a startup probe."""
    await world.install(liveness=OFTEN)
    await world.create("web-1")
    await world.until(lambda: world.launches() >= 3, within_s=60)


@in_health_world(behaviour=Behaviour(stop_s=0.5))
async def test_a_daemon_that_dies_at_any_step_restarts_a_failing_guest_once(world: HealthWorld) -> None:
    """P4, P10: before and after every effect between the failure and the next guest."""
    await world.install(readiness=EVERY_SECOND, liveness=OFTEN)
    names = [f"web-{n}" for n in range(1, 31)]
    for number, name in enumerate(names):
        await world.create(name)
        await world.until(lambda name=name: world.is_ready(name))  # type: ignore[misc]
        world.host.answer(world.vm(name).meta.uid, "unhealthy")
        await die_after(world, number // 2, "before" if number % 2 else "after")
        await world.until(lambda name=name: world.launches(name) == 2 and world.is_ready(name))  # type: ignore[misc]
        status = world.vm(name).status
        assert (status.restarts, status.failures) == (1, 1), number
        assert status.exit is not None
        assert status.exit.reason == "unhealthy"
    await world.passes(120)
    assert set(world.host.launches.values()) == {2}
    assert {Counter(world.told(name))["vm.error"] for name in names} == {1}


async def die_after(world: HealthWorld, count: int, when: str) -> None:
    """The daemon dies before or after the effect of that number from now on, if there are as many within 20 s."""
    seen = 0
    is_due = False

    def watch(moment: object, op: str, target: object) -> None:
        nonlocal seen, is_due
        if is_due:
            raise Dead(op)
        if moment == when:
            seen += 1
            if seen == count + 1:
                is_due = True
                raise Dead(op)

    world.hook = watch
    for _ in range(400):
        if is_due:
            break
        await world.passes(0.05)
    world.hook = None
    await world.restart(down_s=0.5)


class Dead(BaseException):
    """Not an Exception, because nothing in the daemon may catch it."""


@in_health_world(behaviour=Behaviour(ignores_stops=True))
async def test_a_failing_guest_that_does_not_listen_is_killed_after_its_grace(world: HealthWorld) -> None:
    """P7."""
    await world.install(readiness=EVERY_SECOND, liveness=OFTEN)
    await world.create("web-1", grace_s=10.0)
    await world.until(world.is_ready)
    world.host.answer(UID, "mute")
    await world.until(lambda: world.vm().status.stop_deadline is not None)
    deadline = world.vm().status.stop_deadline
    await world.passes(4.0)
    await world.restart(down_s=1.0)
    await world.passes(0.5)
    assert world.vm().status.stop_deadline == deadline
    await world.until(lambda: world.launches() == 2, within_s=15)
    assert [op for op, _ in world.host.log].count("kill") == 1
    assert world.vm().status.failures == 1


@in_health_world()
async def test_the_policy_may_keep_a_failed_guest_down(world: HealthWorld) -> None:
    """P8."""
    await world.install(readiness=EVERY_SECOND, liveness=OFTEN)
    await world.create("web-1", restart_policy="never")
    await world.create("web-2", restart_policy="on_failure")
    await world.until(lambda: world.is_ready("web-1") and world.is_ready("web-2"))
    for name in ("web-1", "web-2"):
        world.host.answer(world.vm(name).meta.uid, "unhealthy")
    await world.until(lambda: world.launches("web-2") == 2)
    await world.passes(60)
    assert (status_word(world.vm("web-1")), world.launches("web-1")) == ("error", 1)
    assert (world.ready("web-1").reason, world.ready("web-1").message) == (
        "Exited",
        "the guest failed its health check",
    )


@in_health_world(behaviour=Behaviour(stop_s=2.0))
async def test_a_stop_that_is_asked_for_is_no_failure(world: HealthWorld) -> None:
    """The user's word goes before the probe's, whichever came first."""
    await world.install(readiness=EVERY_SECOND, liveness=OFTEN)
    await world.create("web-1", "web-2")
    await world.until(lambda: world.is_ready("web-1") and world.is_ready("web-2"))
    for name in ("web-1", "web-2"):
        world.host.answer(world.vm(name).meta.uid, "unhealthy")
        await world.until(lambda name=name: world.vm(name).status.stop_deadline is not None)  # type: ignore[misc]
    await world.edit("web-1", power="stopped")
    await world.edit("web-2", restart_nonce=1)
    await world.until(lambda: status_word(world.vm("web-1")) == "stopped" and world.is_ready("web-2"))
    assert (world.vm("web-1").status.failures, world.vm("web-2").status.failures) == (0, 0)
    assert (world.word("web-1"), world.word("web-2")) == (None, "healthy")
    assert "vm.error" not in world.told("web-1") + world.told("web-2")
