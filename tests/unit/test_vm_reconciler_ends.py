"""The VM reconciler when guests end by themselves, and when the host says no."""

from __future__ import annotations

import pytest
from tests.builders.guests import ready_of
from tests.builders.objects import a_vm, uid_of
from tests.builders.vm_world import VMWorld, in_world

from volant.drivers.simulated import Behaviour
from volant.errors import DriverRefused, DriverUnavailable
from volant.model.meta import Key
from volant.model.vm import NetworkConfig, VMConfig
from volant.reconcile import Again

UID = uid_of("web-1")


@in_world()
async def test_a_guest_that_crashes_is_started_again_after_a_second(world: VMWorld) -> None:
    """P1."""
    await world.create(a_vm())
    await world.settle()
    world.host.crash(UID)
    began = world.clock.now()
    assert isinstance(await world.turn(), Again)
    assert world.word() == "restarting"
    await world.settle()
    assert 0.8 <= world.clock.now() - began <= 1.3
    assert (world.word(), world.vm().status.restarts, world.vm().status.failures) == ("running", 1, 1)
    assert world.types() == ["vm.created", "vm.started", "vm.error", "vm.started"]


@in_world(script=lambda boot, nth: Behaviour(launch="dies") if nth < 9 else None)
async def test_a_guest_that_cannot_live_is_tried_ever_less_often(world: VMWorld) -> None:
    """P1."""
    await world.create(a_vm())
    began = world.clock.now()
    await world.settle()
    waited = world.clock.now() - began
    plain = 1 + 2 + 4 + 8 + 16 + 32 + 60 + 60 + 60
    assert plain * 0.8 <= waited <= plain * 1.2
    assert world.types().count("vm.error") == 9


@in_world(script=lambda boot, nth: Behaviour(launch="dies") if nth < 3 else None)
async def test_a_daemon_that_is_killed_in_a_crash_loop_goes_on_waiting(world: VMWorld) -> None:
    """P2."""
    await world.create(a_vm())
    for _ in range(2):
        outcome = await world.turn()
        assert isinstance(outcome, Again)
        await world.clock.sleep(outcome.after_s)
    await world.turn()
    at, failures = world.vm().status.next_restart_at, world.vm().status.failures
    assert failures == 3
    world.restart()
    await world.turn()
    assert (world.vm().status.next_restart_at, world.vm().status.failures) == (at, failures)
    await world.settle()
    assert at is not None
    assert world.clock.now() == pytest.approx(at, abs=0.01)


@in_world()
async def test_a_guest_without_a_trace_is_reported_and_started_again(world: VMWorld) -> None:
    """P10."""
    await world.create(a_vm())
    await world.settle()
    world.kill()
    world.host.vanish(UID)
    world.start()
    await world.settle()
    end = world.vm().status.exit
    assert end is not None
    assert end.reason == "unknown"
    assert (world.word(), world.vm().status.restarts) == ("running", 1)


@in_world()
async def test_guests_are_adopted_by_the_next_daemon(world: VMWorld) -> None:
    """P10: 0 restarts, 0 duplicates, 0 writes."""
    names = [f"web-{n}" for n in range(5)]
    for name in names:
        await world.create(a_vm(name))
    await world.settle(*names)
    pids, revision = [world.vm(n).status.pid for n in names], world.store.revision
    world.restart()
    await world.settle(*names)
    assert [world.vm(n).status.pid for n in names] == pids
    assert world.store.revision == revision
    assert set(world.host.launches.values()) == {1}


@in_world()
async def test_a_vmm_that_does_not_answer_is_left_alone(world: VMWorld) -> None:
    """P12."""
    await world.create(a_vm())
    await world.settle()
    world.host.mute(UID)
    assert await world.turn() == Again(2.0)
    assert await world.turn() == Again(2.0)
    assert ready_of(world.vm()).reason == "NotAnswering"
    world.host.mute(UID, is_mute=False)
    await world.settle()
    assert ready_of(world.vm()).reason == "Running"
    assert world.ops() == ["network.ensure", "launch"]
    assert world.types()[2:] == ["vm.updated", "vm.updated"]


@in_world()
async def test_a_wrong_answer_is_survived(world: VMWorld) -> None:
    """A driver that says once that there is nothing costs a report, and no second guest."""
    await world.create(a_vm())
    await world.settle()
    world.host.lie(UID, None)
    await world.settle()
    assert (world.word(), world.vm().status.restarts) == ("running", 0)
    assert world.host.launches[UID] == 1


# A host that says no.


@in_world(script=lambda boot, nth: Behaviour(launch="refused") if nth < 3 else None)
async def test_a_refusal_is_reported_once_and_raised_each_time(world: VMWorld) -> None:
    await world.create(a_vm())
    for _ in range(3):
        with pytest.raises(DriverRefused):
            await world.turn()
        assert world.word() == "error"
    assert world.types() == ["vm.created", "vm.error"]
    assert ready_of(world.vm()).message == "cannot start web-1: the simulation refuses it"
    await world.settle()
    assert world.word() == "running"


@in_world(script=lambda boot, nth: [Behaviour(launch=f) for f in ("unavailable", "unavailable", "refused")][nth])
async def test_another_reason_is_reported_again(world: VMWorld) -> None:
    await world.create(a_vm())
    for expected in (DriverUnavailable, DriverUnavailable, DriverRefused):
        with pytest.raises(expected):
            await world.turn()
    assert world.types() == ["vm.created", "vm.error", "vm.error"]


@in_world()
async def test_another_message_for_the_same_reason_is_not_reported_again(world: VMWorld) -> None:
    """V10, L7: what a driver says may differ each time."""
    await world.create(a_vm())
    for fault in ("pid 71 holds the port", "pid 72 holds the port"):
        world.host.network_fault = fault
        with pytest.raises(DriverUnavailable):
            await world.turn()
    assert world.types() == ["vm.created", "vm.error"]


@in_world()
async def test_a_network_that_fails_keeps_the_vm_down_and_says_so(world: VMWorld) -> None:
    world.host.network_fault = "the port 8080 is taken"
    await world.create(a_vm())
    with pytest.raises(DriverUnavailable):
        await world.turn()
    assert ready_of(world.vm()).message == "cannot attach the guest: the port 8080 is taken"
    assert world.word() == "starting"
    assert world.host.launches[UID] == 0
    world.host.network_fault = None
    await world.settle()
    assert world.word() == "running"


@in_world()
async def test_a_network_that_cannot_be_cleared_away_keeps_the_row(world: VMWorld) -> None:
    """D3, D4: the row outlives what was made for it, and says what is in the way."""
    await world.create(a_vm())
    await world.settle()
    world.host.network_fault = "netlink is busy"
    await world.delete("web-1")
    await world.look()
    with pytest.raises(DriverUnavailable):
        await world.turn()
    assert ready_of(world.vm()).message == "cannot detach the guest: netlink is busy"
    world.host.network_fault = None
    await world.settle()
    assert world.store.find(Key("VM", "web-1")) is None


@in_world()
async def test_a_network_mode_of_another_daemon_is_refused(world: VMWorld) -> None:
    await world.create(a_vm(config=VMConfig(network=NetworkConfig(mode="bridge"))))
    with pytest.raises(DriverRefused):
        await world.turn()
    assert world.word() == "error"
    assert ready_of(world.vm()).message.startswith("cannot attach web-1 to a network of mode 'bridge'")


@in_world()
async def test_a_vm_without_a_network_is_attached_to_none(world: VMWorld) -> None:
    await world.create(a_vm(config=VMConfig(network=NetworkConfig(mode="none"))))
    await world.settle()
    assert world.word() == "running"
    assert (world.host.networks, world.vm().status.endpoints) == ({}, ())


@in_world()
async def test_a_vm_whose_guest_leaves_no_trace_is_not_launched_in_a_tight_loop(world: VMWorld) -> None:
    def vanish_at_once(moment: str, op: str, target: object) -> None:
        if (moment, op) == ("after", "hypervisor.launch"):
            world.host.vanish(UID)

    world.hook = vanish_at_once
    await world.create(a_vm())
    assert await world.turn() == Again(1.0)
    assert world.host.launches[UID] == 1
