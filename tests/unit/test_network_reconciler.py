"""Turns of the network controller on a real store and a simulated host."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from msgspec.structs import replace
from tests.builders.fleet import Fleet, a_fleet
from tests.builders.objects import a_manifest, a_plugin, a_vm, running_status
from tests.builders.stores import CREATED
from tests.builders.virtual_time import VirtualClock, virtual

from volant.clock import Uid
from volant.controllers.network import NetworkReconciler
from volant.controllers.network.plan import Wish, guest, wish
from volant.drivers import Attachment
from volant.drivers.simulated import Behaviour, SimulatedHost, SimulatedHypervisor, SimulatedNetwork
from volant.errors import Conflict, DriverUnavailable
from volant.model.event import Happening
from volant.model.meta import Key
from volant.model.vm import VM, Booted, NetworkConfig, VMConfig
from volant.reconcile import DONE
from volant.reconcile.effects import Effects

KEY = Key("VM", "web-1")


class Reattaching(SimulatedHypervisor):
    """Writes down who was given a new tap."""

    def __init__(self, host: SimulatedHost, clock: VirtualClock) -> None:
        super().__init__(host, clock)
        self.reattached: list[Uid] = []
        self.trouble: str | None = None

    async def reattach(self, uid: Uid, attachment: Attachment) -> None:
        if self.trouble is not None:
            raise DriverUnavailable(self.trouble)
        self.reattached.append(uid)


class Room:
    """The network controller, its store and its host."""

    def __init__(self, fleet: Fleet, clock: VirtualClock, *, is_watched: bool = True) -> None:
        self.fleet, self.store = fleet, fleet.store
        self.clock = clock
        self.host = SimulatedHost(clock, random.Random(1), behaviour=Behaviour())
        self.network = SimulatedNetwork(self.host, clock, is_watched=is_watched)
        self.hypervisor = Reattaching(self.host, clock)
        self.effects = Effects()
        self.acts: list[str] = []
        self.effects.hook = lambda moment, op, _: self.acts.append(op) if moment == "before" else None
        self.reborn()

    def reborn(self) -> None:
        self.networks = NetworkReconciler(
            store=self.store, network=self.network, hypervisor=self.hypervisor, clock=self.clock, effects=self.effects
        )

    async def running(self) -> VM:
        """A VM whose guest runs, attached as it should be."""
        plugin = a_plugin("hello", ready=True, manifest=a_manifest())
        await self.store.create(plugin, Happening(type="plugin.installed"))
        await self.store.create(a_vm(), CREATED)
        vm = self.store.vm("web-1")
        pid = self.host.spawn(vm.meta.uid, Behaviour()).pid
        vm = await self.store.update_status(vm, running_status(pid=pid), Happening(type="vm.started", actor="vm"))
        await self.network.ensure(vm.meta.uid, self.network.attachment(vm.meta.uid, vm.spec.address, (8080,)))
        return vm


@contextmanager
def a_room(clock: VirtualClock, *, is_watched: bool = True) -> Iterator[Room]:
    with a_fleet(clock=clock) as fleet:
        yield Room(fleet, clock, is_watched=is_watched)


@virtual
async def test_a_guest_that_is_attached_is_reattached_once_and_then_only_looked_at(clock: VirtualClock) -> None:
    """A daemon that died between `ensure` and `reattach` left a new tap without its guest."""
    with a_room(clock) as room:
        vm = await room.running()
        assert [await room.networks.reconcile(KEY) for _ in range(3)] == [DONE] * 3
        assert room.hypervisor.reattached == [vm.meta.uid]
        assert room.acts == ["hypervisor.reattach"]
        room.reborn()
        await room.networks.reconcile(KEY)
        assert room.acts == ["hypervisor.reattach"] * 2


@virtual
async def test_what_was_taken_away_is_made_again_and_the_guest_put_on_it(clock: VirtualClock) -> None:
    with a_room(clock) as room:
        vm = await room.running()
        await room.networks.reconcile(KEY)
        room.acts.clear()
        wanted = room.host.networks.pop(vm.meta.uid)
        revision = room.store.revision
        assert await room.networks.reconcile(KEY) == DONE
        assert room.acts == ["network.ensure", "hypervisor.reattach"]
        assert room.host.networks[vm.meta.uid] == wanted
        assert room.store.revision == revision


@virtual
async def test_nothing_is_made_for_a_guest_that_the_host_does_not_show(clock: VirtualClock) -> None:
    """The store says late that it ended: what the VM controller has removed by then stays away."""
    with a_room(clock) as room:
        vm = await room.running()
        await room.networks.reconcile(KEY)
        room.acts.clear()
        await room.network.ensure_absent(vm.meta.uid)
        for end in (room.host.crash, room.host.remove):
            end(vm.meta.uid)
            assert await room.networks.reconcile(KEY) == DONE
        room.host.spawn(vm.meta.uid, Behaviour())  # its next launch, which the VM controller attaches
        assert await room.networks.reconcile(KEY) == DONE
        assert (room.acts, room.host.networks) == ([], {})


@virtual
async def test_a_vmm_that_does_not_answer_keeps_its_network(clock: VirtualClock) -> None:
    """P12: its guest may well run."""
    with a_room(clock) as room:
        vm = await room.running()
        room.host.networks.clear()
        found = room.host.guest(vm.meta.uid)
        assert found is not None
        found.is_mute = True
        await room.networks.reconcile(KEY)
        assert room.acts == ["network.ensure", "hypervisor.reattach"]


@virtual
async def test_no_vmm_is_asked_while_all_is_attached(clock: VirtualClock) -> None:
    with a_room(clock) as room:
        await room.running()

        async def nobody(uid: Uid) -> None:
            raise AssertionError(f"{uid} is asked")

        room.hypervisor.inspect = nobody  # type: ignore[method-assign]
        assert await room.networks.reconcile(KEY) == DONE


@virtual
async def test_a_guest_is_put_on_what_could_be_made_although_a_port_is_taken(clock: VirtualClock) -> None:
    """A repair makes all but the port, and says so; it is tried again for the port."""
    with a_room(clock) as room:
        vm = await room.running()
        room.host.networks.clear()
        room.host.network_fault = "the port is taken"
        for _ in range(2):
            with pytest.raises(DriverUnavailable, match="the port is taken"):
                await room.networks.reconcile(KEY)
        assert room.hypervisor.reattached == [vm.meta.uid] * 2
        room.hypervisor.trouble = "cannot give it its new tap"
        with pytest.raises(DriverUnavailable, match="the port is taken"):
            await room.networks.reconcile(KEY)


@virtual
async def test_a_guest_that_could_not_be_reattached_is_tried_again(clock: VirtualClock) -> None:
    with a_room(clock) as room:
        await room.running()
        room.hypervisor.trouble = "cannot give it its new tap"
        for _ in range(2):
            with pytest.raises(DriverUnavailable):
                await room.networks.reconcile(KEY)
        room.hypervisor.trouble = None
        await room.networks.reconcile(KEY)
        assert len(room.hypervisor.reattached) == 1


@virtual
async def test_nobody_is_attached_who_does_not_run(clock: VirtualClock) -> None:
    """The VM controller does that, before a launch; a VM on its way out has lost its network for good."""
    with a_room(clock) as room:
        await room.store.create(a_plugin("hello", ready=True), Happening(type="plugin.installed"))
        await room.store.create(a_vm(), CREATED)
        assert await room.networks.reconcile(KEY) == DONE
        assert await room.networks.reconcile(Key("VM", "nobody")) == DONE
        assert room.acts == []


@virtual
async def test_a_turn_that_was_overtaken_changes_nothing(clock: VirtualClock) -> None:
    """V12: the row moves on between the look and the act."""
    with a_room(clock) as room:
        vm = await room.running()
        room.host.networks.clear()
        asked = room.network.is_attached

        async def meanwhile(uid: Uid, attachment: Attachment) -> bool:
            found = await asked(uid, attachment)
            await room.store.update_status(vm, running_status(pid=99), Happening(type="vm.updated", actor="vm"))
            return found

        room.network.is_attached = meanwhile  # type: ignore[method-assign]
        with pytest.raises(Conflict):
            await room.networks.reconcile(KEY)
        assert room.host.networks == {}


@virtual
async def test_where_nothing_can_be_taken_away_nobody_is_looked_at(clock: VirtualClock) -> None:
    with a_room(clock, is_watched=False) as room:
        events = room.fleet.events
        await room.running()
        assert list(room.networks.resync_keys()) == []
        assert [key for event in events for key in room.networks.concerns(event)] == []


@virtual
async def test_every_vm_is_looked_at_at_each_resync(clock: VirtualClock) -> None:
    with a_room(clock) as room:
        await room.running()
        assert list(room.networks.resync_keys()) == [KEY]


def test_a_guest_is_attached_as_it_was_booted() -> None:
    """Not as its spec says by now: what has changed waits for the restart."""
    booted = Booted(config=VMConfig(network=NetworkConfig(egress="all")), restart_nonce=0, address="10.127.0.9")
    vm = a_vm(
        address="10.127.0.5",
        config=VMConfig(network=NetworkConfig(egress="deny")),
        status=replace(running_status(), booted=booted),
    )
    assert wish(vm) == Wish("10.127.0.9", NetworkConfig(egress="all"))
    assert guest(vm) is not None
    assert guest(a_vm()) is None
