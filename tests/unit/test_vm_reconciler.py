"""The VM reconciler on a real store and a simulated host."""

from __future__ import annotations

import asyncio

import pytest
from msgspec.structs import replace
from tests.builders.guests import ready_of
from tests.builders.objects import a_vm, complete_status, uid_of
from tests.builders.vm_world import VMWorld, in_world

from volant.drivers.simulated import Behaviour
from volant.errors import Conflict
from volant.model.event import Happening
from volant.model.meta import Key
from volant.model.vm import Resources, VMConfig
from volant.reconcile import DONE, Again

UID = uid_of("web-1")


@in_world()
async def test_a_vm_is_started_in_one_turn(world: VMWorld) -> None:
    await world.create(a_vm())
    assert await world.turn() is DONE
    (guest,) = world.host.alive(UID)
    vm = world.vm()
    assert (vm.status.pid, world.word()) == (guest.pid, "running")
    assert world.types() == ["vm.created", "vm.started"]
    assert world.ops() == ["network.ensure", "launch"]
    (endpoint,) = vm.status.endpoints
    assert (endpoint.address, endpoint.port) == (vm.spec.address, 8080)


@in_world()
async def test_at_rest_nothing_is_written_and_nothing_touched(world: VMWorld) -> None:
    """L7."""
    await world.create(a_vm())
    await world.settle()
    revision, ops = world.store.revision, world.ops()
    for _ in range(5):
        await world.clock.sleep(600)
        assert await world.turn() is DONE
    assert (world.store.revision, world.ops()) == (revision, ops)


@in_world(behaviour=Behaviour(boot_s=3.0))
async def test_a_slow_boot_is_waited_for(world: VMWorld) -> None:
    await world.create(a_vm())
    assert await world.turn() == Again(2.0)
    assert (world.word(), ready_of(world.vm()).reason) == ("starting", "Starting")
    await world.settle()
    assert world.types() == ["vm.created", "vm.updated", "vm.started"]


@in_world(behaviour=Behaviour(stop_s=1.0))
async def test_a_stop_stores_its_deadline_and_asks(world: VMWorld) -> None:
    """P7."""
    await world.create(a_vm(grace_s=20.0))
    await world.settle()
    await world.stop("web-1")
    assert await world.turn() == Again(5.0)
    assert world.vm().status.stop_deadline == world.clock.now() + 20.0
    await world.clock.sleep(1.0)
    await world.settle()
    assert world.word() == "stopped"
    assert world.types()[-3:] == ["vm.updated", "vm.updated", "vm.stopped"]
    assert world.ops()[2:] == ["request_stop", "forget"]
    assert world.host.guests() == []


@in_world(behaviour=Behaviour(loses_stops=2))
async def test_a_request_that_is_lost_costs_five_seconds(world: VMWorld) -> None:
    """P7."""
    await world.create(a_vm())
    await world.settle()
    began = world.clock.now()
    await world.stop("web-1")
    await world.settle()
    assert world.clock.now() - began == pytest.approx(15.0)
    assert world.ops().count("request_stop") == 3
    assert "kill" not in world.ops()


@in_world(behaviour=Behaviour(ignores_stops=True))
async def test_a_guest_that_does_not_listen_is_killed_at_its_deadline(world: VMWorld) -> None:
    """P7."""
    await world.create(a_vm(grace_s=12.0))
    await world.settle()
    began = world.clock.now()
    await world.stop("web-1")
    await world.settle()
    assert world.clock.now() - began == pytest.approx(12.0)
    assert (world.word(), world.ops()[-2:]) == ("stopped", ["kill", "forget"])


@in_world()
async def test_a_guest_that_cannot_be_asked_is_killed_in_time_all_the_same(world: VMWorld) -> None:
    """P7, P12: a VMM that does not answer fails every request, and no failure puts the deadline off."""
    await world.create(a_vm(grace_s=12.0))
    await world.settle()
    world.host.mute(UID)
    began = world.clock.now()
    await world.stop("web-1")
    assert await world.turn() == Again(5.0)
    await world.clock.sleep(5.0)
    await world.settle()
    assert world.clock.now() - began == pytest.approx(12.0)
    assert world.word() == "stopped"


@in_world(behaviour=Behaviour(ignores_stops=True))
async def test_a_daemon_that_is_killed_during_a_stop_does_not_begin_the_grace_anew(world: VMWorld) -> None:
    """P7."""
    await world.create(a_vm(grace_s=30.0))
    await world.settle()
    began = world.clock.now()
    await world.stop("web-1")
    await world.turn()
    await world.clock.sleep(20)
    world.restart()
    await world.settle()
    assert world.clock.now() - began == pytest.approx(30.0)


@in_world()
async def test_force_does_not_ask(world: VMWorld) -> None:
    await world.create(a_vm())
    await world.settle()
    await world.stop("web-1", force=True)
    assert await world.turn() is DONE
    assert world.ops()[2:] == ["kill", "forget"]
    assert world.word() == "stopped"


@in_world()
async def test_a_stopped_vm_can_be_started_again(world: VMWorld) -> None:
    await world.create(a_vm())
    await world.settle()
    await world.stop("web-1")
    await world.settle()
    await world.begin("web-1")
    await world.settle()
    assert (world.word(), world.vm().status.restarts) == ("running", 0)
    assert world.host.launches[UID] == 2


@in_world()
async def test_a_restart_gives_another_guest_with_the_new_config(world: VMWorld) -> None:
    await world.create(a_vm())
    await world.settle()
    pid = world.vm().status.pid
    await world.edit("web-1", lambda spec: replace(spec, config=VMConfig(resources=Resources(vcpu=4))))
    await world.settle()
    assert world.vm().status.pid == pid
    await world.begin("web-1")
    await world.settle()
    status = world.vm().status
    assert status.pid != pid
    assert status.booted is not None
    assert status.booted.config.resources.vcpu == 4
    assert (status.restarts, status.failures) == (1, 0)


@in_world(behaviour=Behaviour(stop_s=2.0))
async def test_a_start_during_a_stop_ends_the_old_guest_and_counts_no_crash(world: VMWorld) -> None:
    await world.create(a_vm())
    await world.settle()
    pid = world.vm().status.pid
    await world.stop("web-1")
    await world.turn()
    await world.begin("web-1")
    await world.settle()
    status = world.vm().status
    assert (world.word(), status.failures) == ("running", 0)
    assert status.pid != pid
    assert "vm.error" not in world.types()


@in_world()
async def test_a_deleted_vm_leaves_nothing(world: VMWorld) -> None:
    """D2, D3."""
    await world.create(a_vm())
    await world.settle()
    assert UID in world.host.networks
    await world.delete("web-1")
    await world.settle()
    assert world.store.find(Key("VM", "web-1")) is None
    assert (world.host.guests(), world.host.networks) == ([], {})
    assert world.types()[-1] == "vm.deleted"
    assert await world.turn() is DONE


@in_world()
async def test_a_vm_that_is_deleted_before_its_first_turn_is_never_launched(world: VMWorld) -> None:
    """D10."""
    await world.create(a_vm())
    await world.delete("web-1")
    await world.settle()
    assert world.host.launches[UID] == 0
    assert world.types() == ["vm.created", "vm.deleting", "vm.deleted"]


@in_world()
async def test_a_delete_that_comes_while_the_vm_is_attached_stops_the_launch(world: VMWorld) -> None:
    """D10, V12: the launch was decided on a revision that is gone when its time comes."""
    world.host.attach_s = 1.0
    await world.create(a_vm())
    async with asyncio.TaskGroup() as tasks:
        turn = tasks.create_task(conflicts(world))
        await world.clock.sleep(0.5)
        await world.delete("web-1")
    assert turn.result()
    assert world.host.launches[UID] == 0
    await world.settle()
    assert world.host.networks == {}


@in_world()
async def test_nothing_is_destroyed_on_an_old_decision(world: VMWorld) -> None:
    """V12: the spec changes between the look at the store and the end of the look at the host."""
    await world.create(a_vm())
    await world.settle()
    await world.stop("web-1", force=True)
    await world.turn_until("hypervisor.kill")
    world.host.look_s = 1.0
    async with asyncio.TaskGroup() as tasks:
        turn = tasks.create_task(conflicts(world))
        await world.clock.sleep(0.5)
        await world.edit("web-1", lambda spec: replace(spec, force=False))
    assert turn.result()
    assert world.host.alive(UID)


async def conflicts(world: VMWorld) -> bool:
    """Whether a turn meets another revision than it decided on."""
    try:
        await world.turn()
    except Conflict:
        return True
    return False


@in_world()
async def test_a_plugin_concerns_the_vms_that_are_made_from_it(world: VMWorld) -> None:
    await world.create(a_vm("web-1", plugin="hello"))
    await world.create(a_vm("api-1", plugin="other"))
    await world.create(a_vm("web-2", plugin="hello"))
    by_key = {event.key: event for event in world.events}
    assert list(world.reconciler.concerns(by_key[Key("Plugin", "hello")])) == [Key("VM", "web-1"), Key("VM", "web-2")]
    assert list(world.reconciler.concerns(by_key[Key("VM", "api-1")])) == [Key("VM", "api-1")]
    assert list(world.reconciler.resync_keys()) == [Key("VM", n) for n in ("web-1", "api-1", "web-2")]


@in_world()
async def test_the_type_of_an_event_makes_no_difference(world: VMWorld) -> None:
    """L1."""
    await world.create(a_vm())
    event = world.events[-1]
    for kind in ("vm.deleted", "vm.error", "vm.created"):
        assert list(world.reconciler.concerns(replace(event, type=kind))) == [Key("VM", "web-1")]


@in_world()
async def test_a_plugin_that_becomes_ready_lets_its_vms_start(world: VMWorld) -> None:
    await world.install(ready=False)
    await world.create(a_vm(), with_plugin=False)
    assert await world.turn() is DONE
    assert ready_of(world.vm()).reason == "PluginNotReady"
    plugin = world.store.plugin("hello")
    await world.store.update_status(
        plugin, complete_status(plugin.spec.manifest), Happening(type="plugin.ready", actor="plugin")
    )
    await world.settle()
    assert world.word() == "running"


@in_world()
async def test_a_key_of_nobody_needs_nothing(world: VMWorld) -> None:
    assert await world.turn("nobody") is DONE
