"""Health from end to end in virtual time: probes, verdicts, readiness, and daemons that come and go."""

from __future__ import annotations

from collections import Counter

import pytest
from tests.builders.health_world import EVERY_SECOND, HealthWorld, in_health_world
from tests.builders.objects import uid_of
from tests.builders.stores import DELETING
from tests.builders.virtual_time import EPOCH

from volant.drivers.simulated import Behaviour
from volant.model.health import Probe
from volant.model.vm import status_word

UID = uid_of("web-1")
OFTEN = Probe(period_s=1.0, failure_threshold=2)


@in_health_world(behaviour=Behaviour(boot_s=0.5, answers_after_s=4.0))
async def test_a_guest_is_ready_once_it_passes_its_readiness_probe(world: HealthWorld) -> None:
    """P4: before the first result it is not."""
    await world.install(readiness=EVERY_SECOND)
    await world.create("web-1")
    await world.until(lambda: world.vm().status.pid is not None)
    assert (status_word(world.vm()), world.word(), world.ready().status) == ("running", "unknown", "false")
    assert (world.ready().reason, world.ready().message) == (
        "Starting",
        "the guest has not passed its health check yet",
    )
    await world.until(world.is_ready)
    assert (world.word(), world.ready().reason) == ("healthy", "Running")
    assert world.told()[-2:] == ["vm.health_changed", "vm.updated"]


@in_health_world()
async def test_a_plugin_without_a_health_check_is_never_probed(world: HealthWorld) -> None:
    await world.install("checked")
    await world.install("plain", is_checked=False)
    await world.create("web-1", plugin="checked")
    await world.create("web-2", plugin="plain")
    await world.until(lambda: world.is_ready("web-2"), within_s=1)
    assert world.word("web-2") is None
    await world.until(lambda: world.is_ready("web-1"))
    await world.passes(60)
    assert {address for _, address in world.asked} == {world.vm("web-1").spec.address}


@in_health_world()
async def test_at_rest_probes_go_on_and_nothing_is_written(world: HealthWorld) -> None:
    """L7."""
    await world.install(startup=EVERY_SECOND, readiness=EVERY_SECOND, liveness=EVERY_SECOND)
    await world.create(*[f"web-{n}" for n in range(1, 21)])
    await world.until(lambda: all(world.is_ready(f"web-{n}") for n in range(1, 21)))
    revision, asked, vm = world.store.revision, len(world.asked), world.vm()
    await world.passes(600)
    assert world.store.revision == revision
    assert len(world.asked) - asked == pytest.approx(20 * 2 * 600, rel=0.01)
    seen_at, stored_at = world.engine.last_check(vm), vm.status.health
    assert seen_at is not None
    assert seen_at >= world.clock.now() - 1.01
    assert stored_at is not None
    assert stored_at.last_check is not None
    assert stored_at.last_check < seen_at - 500


@in_health_world()
async def test_readiness_that_comes_and_goes_restarts_nothing_and_is_counted(world: HealthWorld) -> None:
    """P4."""
    await world.install(readiness=OFTEN)
    await world.deploy("web", 3)

    def ready() -> int:
        return world.store.deployment("web").status.ready_replicas

    await world.until(lambda: ready() == 3)
    uid = world.vm("web-2").meta.uid
    for _ in range(4):
        world.host.answer(uid, "unhealthy")
        await world.until(lambda: ready() == 2)
        assert (world.word("web-2"), world.ready("web-2").reason) == ("unhealthy", "Unhealthy")
        assert status_word(world.vm("web-2")) == "running"
        world.host.answer(uid, "healthy")
        await world.until(lambda: ready() == 3)
    assert set(world.host.launches.values()) == {1}
    assert world.told("web-2").count("vm.health_changed") == 1 + 4 * 2
    assert "vm.error" not in world.told("web-2")


@in_health_world()
async def test_one_failure_is_no_verdict(world: HealthWorld) -> None:
    """P3: failure_threshold in a row, and a success in between begins the row anew."""
    await world.install(readiness=Probe(period_s=1.0, failure_threshold=3), liveness=OFTEN)
    await world.create("web-1")
    await world.until(world.is_ready)
    revision = world.store.revision
    for _ in range(5):
        world.host.answer(UID, "unhealthy")
        await world.passes(1.0)
        world.host.answer(UID, "healthy")
        await world.passes(1.0)
    assert world.store.revision == revision


@in_health_world(behaviour=Behaviour(answers_after_s=25.0))
async def test_a_startup_probe_holds_the_others_back(world: HealthWorld) -> None:
    """P4: a guest that takes 25 s to serve outlives a liveness probe that would end it after 2."""
    await world.install(startup=Probe(period_s=1.0, failure_threshold=60), readiness=EVERY_SECOND, liveness=OFTEN)
    await world.create("web-1")
    took_s = await world.until(world.is_ready)
    assert 25.0 <= took_s <= 27.0
    assert (world.launches(), world.told().count("vm.health_changed")) == (1, 1)


@in_health_world()
async def test_liveness_alone_does_not_hold_readiness_back(world: HealthWorld) -> None:
    """P4: liveness counts as success before its first result."""
    await world.install(liveness=Probe(initial_delay_s=30.0))
    await world.create("web-1")
    await world.until(world.is_ready, within_s=5)
    assert (world.word(), world.asked) == ("unknown", [])
    await world.until(lambda: world.word() == "healthy")
    assert world.asked[0][0] >= 30.0


@in_health_world()
async def test_probes_that_cannot_be_sent_change_nothing(world: HealthWorld) -> None:
    """P5."""
    await world.install(readiness=OFTEN, liveness=OFTEN)
    await world.create("web-1")
    world.host.probe_fault = "no descriptors left"
    await world.until(lambda: world.vm().status.pid is not None)
    revision = world.store.revision
    await world.passes(120)
    assert (world.store.revision, world.word(), world.is_ready()) == (revision, "unknown", False)
    world.host.probe_fault = None
    await world.until(world.is_ready, within_s=5)
    world.host.probe_fault = "no descriptors left"
    world.host.answer(UID, "unhealthy")
    revision = world.store.revision
    await world.passes(120)
    assert (world.store.revision, world.word(), world.launches()) == (revision, "healthy", 1)


@in_health_world()
async def test_a_daemon_that_is_restarted_keeps_what_is_known(world: HealthWorld) -> None:
    """P10: no write, no restart, no flap; and its probes go on."""
    await world.install(startup=EVERY_SECOND, readiness=OFTEN, liveness=Probe(period_s=1.0, failure_threshold=8))
    await world.create("web-1", "web-2")
    await world.until(lambda: world.is_ready("web-1") and world.is_ready("web-2"))
    world.host.answer(UID, "unhealthy")
    await world.until(lambda: world.word() == "unhealthy")
    revision, asked = world.store.revision, len(world.asked)
    for _ in range(4):
        await world.restart(down_s=2.0)
        await world.passes(3.0)
    assert world.store.revision == revision
    assert (world.word("web-1"), world.word("web-2")) == ("unhealthy", "healthy")
    assert len(world.asked) > asked
    assert (world.launches("web-1"), world.launches("web-2")) == (1, 1)
    world.host.answer(UID, "healthy")
    await world.until(world.is_ready, within_s=5)


@in_health_world()
async def test_a_new_guest_begins_anew(world: HealthWorld) -> None:
    """P4: what was known of the last one is not believed of the next."""
    await world.install(startup=Probe(period_s=2.0, failure_threshold=30), readiness=EVERY_SECOND)
    await world.create("web-1")
    await world.until(world.is_ready)
    world.host.behaviour = Behaviour(answers_after_s=20.0)
    world.host.crash(UID)
    await world.until(lambda: world.launches() == 2 and world.vm().status.pid is not None)
    assert (world.word(), world.is_ready()) == ("unknown", False)
    await world.passes(10.0)
    assert (world.word(), world.is_ready()) == ("unknown", False)
    await world.until(world.is_ready)


@in_health_world()
async def test_the_answer_of_one_guest_is_not_held_against_the_next(world: HealthWorld) -> None:
    """P4: the guest that was asked is gone, and another one runs, by the time the probe is over."""
    await world.install(readiness=Probe(period_s=1.0, timeout_s=30.0, failure_threshold=1))
    await world.create("web-1")
    await world.until(world.is_ready)
    pid = world.vm().status.pid
    world.host.behaviour = Behaviour(answers="unhealthy")
    world.host.answer(UID, "mute")
    await world.passes(2.0)
    asked = len(world.asked)
    world.host.crash(UID)
    await world.until(lambda: world.vm().status.pid not in (None, pid), within_s=3)
    assert (world.word(), world.is_ready(), len(world.asked)) == ("unknown", False, asked)
    await world.until(lambda: world.word() != "unknown")
    answered_at = world.asked[asked - 1][0] + 30.0
    told_at = [event.at for event in world.events if event.type == "vm.health_changed"][-1] - EPOCH
    assert told_at > answered_at + 0.01
    assert told_at == pytest.approx(world.asked[asked][0])


@in_health_world()
async def test_what_a_probe_says_is_written_at_once(world: HealthWorld) -> None:
    await world.install(readiness=Probe(period_s=600.0))
    await world.create("web-1")
    await world.until(lambda: world.asked, within_s=600)
    assert await world.until(world.is_ready, within_s=1) <= 0.1


@in_health_world()
async def test_a_thousand_probes_never_run_in_one_breath(world: HealthWorld) -> None:
    """P6: not at the start, not in a period afterwards, and not after a pause of the daemon."""
    names = [f"web-{n}" for n in range(1, 1001)]
    await world.install(readiness=Probe(period_s=10.0))
    await world.create(*names)
    await world.passes(20)
    assert all(world.is_ready(name) for name in names)
    check_spread(world, 0.0, 2000)
    world.engine.gate.close("a pause")
    await world.passes(60)
    assert world.asked[-1][0] <= 20.0
    world.engine.gate.open("a pause")
    await world.passes(20)
    check_spread(world, 80.0, 2000)
    world.engine.gate.close("a short pause")
    await world.passes(9)
    world.engine.gate.open("a short pause")
    await world.passes(11)
    check_spread(world, 100.0, 1200, most=140)
    await world.restart()
    await world.passes(20)
    check_spread(world, 120.0, 2000)


def check_spread(world: HealthWorld, since: float, count: int, *, most: int = 40) -> None:
    """So many probes, hardly two of them at the same moment, and no more than `most` in a tenth of a second."""
    at = [when for when, _ in world.asked if when >= since]
    assert len(at) == pytest.approx(count, rel=0.02)
    assert len(set(at)) > 0.99 * len(at) - most
    assert max(Counter(int(when * 10) for when in at).values()) <= most


@in_health_world()
async def test_a_vm_that_is_deleted_is_forgotten(world: HealthWorld) -> None:
    await world.install(readiness=EVERY_SECOND)
    await world.create("web-1")
    await world.until(world.is_ready)
    vm = world.vm()
    await world.store.write(lambda tx: tx.mark_deleting(tx.get(vm.meta.key), DELETING))
    await world.until(lambda: world.store.find(vm.meta.key) is None)
    assert world.engine.last_check(vm) is None
    asked = len(world.asked)
    await world.passes(60)
    assert len(world.asked) == asked
