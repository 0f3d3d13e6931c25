"""Sweeps of a simulated host, a real store and a cache."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import msgspec
import pytest
from tests.builders.artifacts import FakeCache
from tests.builders.fleet import Fleet, a_fleet
from tests.builders.objects import a_deployment, a_plugin, a_vm, uid_of
from tests.builders.stores import CREATED
from tests.builders.virtual_time import VirtualClock, virtual

from volant.clock import Uid
from volant.controllers.garbage import SWEEP, GarbageCollector, SweepReport
from volant.controllers.garbage.plan import Suspect
from volant.drivers import Attachment, Instance
from volant.drivers.simulated import Behaviour, SimulatedDisks, SimulatedHost, SimulatedHypervisor, SimulatedNetwork
from volant.errors import DriverUnavailable
from volant.model.event import EventData
from volant.model.meta import Key
from volant.model.plugin import digests
from volant.reconcile import DONE, Again
from volant.reconcile.effects import Effects

STRANGER = Uid("e" * 32)
MINE = uid_of("web-1")

T = TypeVar("T")
Then = Callable[[], Awaitable[None]]


class Interrupted(SimulatedHypervisor):
    """Lets something happen in the middle of a call."""

    def __init__(self, host: SimulatedHost, clock: VirtualClock) -> None:
        super().__init__(host, clock)
        self.while_observing: Then | None = None
        self.while_killing: Then | None = None
        self.is_blind = False

    async def observe(self) -> list[Instance]:
        if self.is_blind:
            raise DriverUnavailable("cannot look at the host")
        found = await super().observe()
        if self.while_observing is not None:
            await self.while_observing()
        return found

    async def kill(self, uid: Uid) -> None:
        await super().kill(uid)
        if self.while_killing is not None:
            await self.while_killing()


class Room:
    """The collector and what it sweeps."""

    def __init__(self, fleet: Fleet, clock: VirtualClock) -> None:
        self.fleet, self.store, self.clock = fleet, fleet.store, clock
        self.cache = FakeCache()
        self.host = SimulatedHost(clock, random.Random(1), behaviour=Behaviour())
        self.hypervisor = Interrupted(self.host, clock)
        self.garbage = self.reborn()

    def reborn(self, quarantine_s: float = 30.0) -> GarbageCollector:
        self.garbage = GarbageCollector(
            store=self.store,
            hypervisor=self.hypervisor,
            network=SimulatedNetwork(self.host, self.clock),
            disks=SimulatedDisks(self.host),
            files=self.cache,
            clock=self.clock,
            quarantine_s=quarantine_s,
            effects=self.fleet.effects,
        )
        return self.garbage

    def appear(self, uid: Uid = STRANGER) -> None:
        """A guest with our mark, and its attachment."""
        self.host.spawn(uid, Behaviour())
        self.host.networks[uid] = Attachment(mode="user")

    async def sweep(self) -> SweepReport:
        return await self.garbage.sweep()

    async def sweeps(self) -> SweepReport:
        """One sweep to see, one when the quarantine is over."""
        await self.sweep()
        await self.clock.sleep(30.0)
        return await self.sweep()

    def asked(self) -> list[tuple[str, Uid]]:
        """What drivers were asked to do."""
        return list(self.host.log)

    def is_clean(self, uid: Uid = STRANGER) -> bool:
        return self.host.guest(uid) is None and uid not in self.host.networks


@contextmanager
def a_room(clock: VirtualClock) -> Iterator[Room]:
    with a_fleet(clock=clock) as fleet:
        yield Room(fleet, clock)


@virtual
async def test_a_guest_that_nobody_knows_is_held_and_then_removed(clock: VirtualClock) -> None:
    """P11: quarantine first; then the process, its record, its network and its disks, in this order."""
    with a_room(clock) as room:
        room.appear()
        report = await room.sweep()
        assert report == SweepReport(held=(Suspect("uid", STRANGER),), again_s=30.0)
        assert not room.is_clean()
        await clock.sleep(29.9)
        assert (await room.sweep()).removed == ()
        await clock.sleep(0.1)
        assert (await room.sweep()).removed == (Suspect("uid", STRANGER),)
        assert room.is_clean()
        assert room.asked() == [
            ("kill", STRANGER),
            ("forget", STRANGER),
            ("network.ensure_absent", STRANGER),
            ("disks.ensure_absent", STRANGER),
        ]
        assert await room.sweep() == SweepReport()


@virtual
async def test_what_a_guest_left_is_removed_too(clock: VirtualClock) -> None:
    """P11: a record without a process, an attachment without either."""
    with a_room(clock) as room:
        room.appear()
        await room.hypervisor.kill(STRANGER)
        room.host.networks[Uid("d" * 32)] = Attachment(mode="user")
        await room.sweeps()
        assert room.is_clean()
        assert room.is_clean(Uid("d" * 32))


@virtual
async def test_what_belongs_to_a_vm_is_left_alone(clock: VirtualClock) -> None:
    """P10: alive, ended, or on its way out: the VM controller answers for it."""
    with a_room(clock) as room:
        for name in ("web-1", "web-2", "web-3"):
            await room.fleet.create(a_vm(name))
            room.appear(uid_of(name))
        room.host.end(room.host.guests()[1], "guest_panic")
        await room.fleet.delete(Key("VM", "web-3"))
        assert await room.sweeps() == SweepReport()
        assert room.asked() == []


@virtual
async def test_a_guest_launched_during_the_look_is_left_alone(clock: VirtualClock) -> None:
    """D3: its row is older than its process, and the rows are read after the host."""
    with a_room(clock) as room:
        room.reborn(quarantine_s=0.0)

        async def admit() -> None:
            await room.fleet.create(a_vm("web-1"))

        room.appear(MINE)
        room.hypervisor.while_observing = admit
        assert await room.sweep() == SweepReport()


@virtual
async def test_a_suspect_that_is_answered_for_is_free(clock: VirtualClock) -> None:
    with a_room(clock) as room:
        room.appear(MINE)
        await room.sweep()
        await room.fleet.create(a_vm("web-1"))
        await clock.sleep(30)
        assert await room.sweep() == SweepReport()
        assert not room.is_clean(MINE)


@virtual
async def test_the_store_is_asked_before_every_destructive_step(clock: VirtualClock) -> None:
    """D9, V12: a row that turns up between two steps stops the second."""
    with a_room(clock) as room:
        room.reborn(quarantine_s=0.0)

        async def admit() -> None:
            await room.fleet.create(a_vm("web-1"))

        room.appear(MINE)
        room.hypervisor.while_killing = admit
        assert (await room.sweep()).removed == ()
        assert room.asked() == [("kill", MINE)]


@virtual
async def test_one_that_cannot_be_removed_does_not_keep_the_others(clock: VirtualClock) -> None:
    with a_room(clock) as room:
        room.reborn(quarantine_s=0.0)
        room.appear()
        room.cache.files["f" * 64] = b"stale"
        room.host.network_fault = "a tap is busy"
        with pytest.raises(DriverUnavailable):
            await room.sweep()
        assert room.host.guest(STRANGER) is None
        assert room.cache.files == {}
        room.host.network_fault = None
        await room.sweep()
        assert room.is_clean()


@virtual
async def test_nothing_is_destroyed_when_the_host_cannot_be_seen(clock: VirtualClock) -> None:
    """D9: no list is not an empty list; what is in quarantine stays there."""
    with a_room(clock) as room:
        room.appear()
        await room.sweep()
        room.hypervisor.is_blind = True
        await clock.sleep(60)
        with pytest.raises(DriverUnavailable):
            await room.sweep()
        assert room.asked() == []
        room.hypervisor.is_blind = False
        assert (await room.sweep()).removed == (Suspect("uid", STRANGER),)


@virtual
async def test_a_file_that_no_plugin_refers_to_goes_after_a_while(clock: VirtualClock) -> None:
    with a_room(clock) as room:
        plugin = a_plugin(ready=True)
        await room.fleet.create(plugin)
        kept = set(digests(plugin).values())
        room.cache.files.update(dict.fromkeys([*kept, "f" * 64], b""))
        await room.sweep()
        assert len(room.cache.files) == 3
        await clock.sleep(30)
        assert (await room.sweep()).removed == (Suspect("digest", "f" * 64),)
        assert set(room.cache.files) == kept


@virtual
async def test_a_file_that_a_plugin_came_to_refer_to_stays(clock: VirtualClock) -> None:
    with a_room(clock) as room:
        plugin = a_plugin(ready=True)
        room.cache.files.update(dict.fromkeys(digests(plugin).values(), b""))
        await room.sweep()
        await room.fleet.create(plugin)
        await clock.sleep(30)
        assert await room.sweep() == SweepReport()
        assert len(room.cache.files) == 2


@virtual
async def test_a_vm_whose_owner_is_gone_is_marked(clock: VirtualClock) -> None:
    """D9, D5: gone, or another of the same name. One without an owner, or with a living one, stays."""
    with a_room(clock) as room:
        web = await room.fleet.deploy("web", replicas=0)
        await room.fleet.create(a_vm("web-1", owner=web))
        await room.fleet.create(a_vm("web-2", owner=a_deployment("web", uid="9" * 32)))
        await room.fleet.create(a_vm("api-1", owner=a_deployment("api")))
        await room.fleet.create(a_vm("lonely"))
        assert (await room.sweep()).orphans == 2
        assert room.fleet.names() == ["web-1", "lonely"]
        told = [msgspec.json.decode(e.data, type=EventData) for e in room.fleet.events if e.type == "vm.deleting"]
        assert {(said.name, said.actor, said.reason) for said in told} == {
            ("web-2", "garbage", "OwnerGone"),
            ("api-1", "garbage", "OwnerGone"),
        }
        revision = room.store.revision
        assert await room.sweep() == SweepReport()
        assert room.store.revision == revision, "L7"


@virtual
async def test_an_owner_on_its_way_out_still_answers(clock: VirtualClock) -> None:
    """D6: its own controller takes its children."""
    with a_room(clock) as room:
        web = await room.fleet.deploy("web", replicas=1)
        await room.fleet.create(a_vm("web-1", owner=web))
        await room.fleet.delete(Key("Deployment", "web"))
        assert await room.sweep() == SweepReport()


@virtual
async def test_orphans_are_marked_however_many_there_are(clock: VirtualClock) -> None:
    with a_room(clock) as room:
        gone = a_deployment("web")
        await room.store.write(lambda tx: [tx.insert(a_vm(f"web-{n}", owner=gone), CREATED) for n in range(1, 703)])
        assert (await room.sweep()).orphans == 702
        assert room.fleet.names() == []


@virtual
async def test_an_owner_that_turns_up_keeps_its_children(clock: VirtualClock) -> None:
    """D9: the transaction that marks looks for the owner itself."""
    with a_room(clock) as room:
        web = a_deployment("web")
        await room.fleet.create(a_vm("web-1", owner=web))
        ops: list[str] = []

        class Late(Effects):
            async def act(self, op: str, target: object, fn: Callable[[], Awaitable[T]]) -> T:
                ops.append(op)
                await room.fleet.create(web)
                return await super().act(op, target, fn)

        room.fleet.effects = Late()
        room.reborn()
        assert (await room.sweep()).orphans == 0
        assert ops == ["store.mark_orphans"]
        assert room.fleet.names() == ["web-1"]


@virtual
async def test_a_sweep_is_a_turn_of_the_one_key(clock: VirtualClock) -> None:
    """L5: each resync sweeps; somebody in quarantine asks for another sweep in time."""
    with a_room(clock) as room:
        assert list(room.garbage.resync_keys()) == [SWEEP]
        assert await room.garbage.reconcile(SWEEP) is DONE
        room.appear()
        assert await room.garbage.reconcile(SWEEP) == Again(30.0)
        await room.fleet.create(a_vm("web-1"))
        assert [list(room.garbage.concerns(event)) for event in room.fleet.events] == [[]]


class Crash(BaseException):
    """The daemon ends here."""


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("at", range(5))
def test_a_crash_around_any_effect_leaves_nothing_behind(moment: str, at: int) -> None:
    """P11, D3: an orphan, a stranger and a stale file."""

    @virtual
    async def story(clock: VirtualClock) -> None:
        seen: list[str] = []

        def crash(when: str, op: str, _target: object) -> None:
            if when == moment:
                seen.append(op)
                if len(seen) == at + 1:
                    raise Crash

        with a_room(clock) as room:
            room.fleet.effects.hook = crash
            room.reborn(quarantine_s=0.0)
            await room.fleet.create(a_vm("api-1", owner=a_deployment("api")))
            room.appear()
            room.cache.files["f" * 64] = b"stale"
            with pytest.raises(Crash):
                await room.sweep()
            await room.reborn(quarantine_s=0.0).sweep()
            assert room.is_clean()
            assert (room.cache.files, room.fleet.names()) == ({}, [])

    story()
