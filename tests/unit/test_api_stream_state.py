"""A stream that begins with the objects as they are: the state, the bookmark, and what follows, in virtual time."""

from __future__ import annotations

import asyncio
import json
from functools import partial
from typing import Any

from msgspec.structs import replace
from tests.builders.objects import a_deployment, a_plugin, a_vm, owner_of, running_status, uid_of
from tests.builders.server import Frame
from tests.builders.stores import CREATED, DELETED, DELETING, STARTED, UPDATED, told
from tests.builders.streams import House, Wire, a_house
from tests.builders.virtual_time import VirtualClock, settle, virtual

from volant.api.frames import LINES, Wanted
from volant.api.states import SLICE
from volant.api.stream import STUCK_S
from volant.model.meta import Key
from volant.model.selectors import parse
from volant.model.vm import FINALIZER, VM
from volant.store import Transaction


async def vms(house: House, count: int, prefix: str = "vm", **vm: Any) -> None:
    """So many VMs, in one transaction."""
    made = [a_vm(f"{prefix}-{i}", uid=uid_of(f"{prefix}-{i}"), **vm) for i in range(count)]
    await house.deps.store.write(lambda tx: [tx.insert(vm, CREATED) for vm in made])


async def gone(house: House, name: str) -> None:
    """Nothing is left of a VM."""
    vm = house.deps.store.vm(name)
    vm = await house.deps.store.write(lambda tx: tx.mark_deleting(vm, DELETING))
    await house.deps.store.finalize(vm, FINALIZER, DELETED)


def replayed(frames: list[Frame]) -> dict[str, int]:
    """Name -> revision, as a client has it that follows the documents to the letter."""
    table: dict[str, int] = {}
    shown: dict[str, int] = {}
    for place, event, data in frames:
        if event == "reset":
            shown = {}
        elif event.endswith(".state"):
            shown[data["name"]] = data["revision"]
        elif event == "bookmark":
            assert place == data["revision"]
            table = dict(shown)
        elif place is not None and place > table.get(data["name"], 0):
            table[data["name"]] = place
            if event in ("vm.deleted", "deployment.deleted", "plugin.removed"):
                del table[data["name"]]
    return table


def stored(house: House) -> dict[str, int]:
    return {vm.meta.name: vm.meta.revision for vm in house.deps.store.vms()}


@virtual
async def test_the_objects_come_first_then_the_bookmark_then_what_happens(clock: VirtualClock) -> None:
    """W1"""
    async with a_house(clock) as house, asyncio.TaskGroup() as tasks:
        wire, store = Wire(), house.deps.store
        await store.create(a_plugin("hello"), told("plugin.installed"))
        web = await store.create(a_deployment("web"), told("deployment.created"))
        vm = await store.create(a_vm("web-1", owner=owner_of(web)), CREATED)
        tasks.create_task(house.stream(wire, has_state=True).run(None))
        await settle()
        await store.update_status(vm, running_status(), STARTED)
        await settle()
        assert wire.text.startswith("retry: 1000\n\nevent: plugin.state\n")
        assert [(frame.id, frame.event) for frame in wire.frames] == [
            (None, "plugin.state"),
            (None, "deployment.state"),
            (None, "vm.state"),
            (3, "bookmark"),
            (4, "vm.started"),
        ]
        states = {frame.event: frame.data for frame in wire.frames}
        assert states["deployment.state"]["vms"] == ["web-1"]
        assert (states["vm.state"]["status"], states["vm.state"]["owner"]["name"]) == ("starting", "web")
        assert states["bookmark"] == {"revision": 3, "objects": 3}
        wire.hung_up.set()


@virtual
async def test_nothing_to_show_is_said_as_well(clock: VirtualClock) -> None:
    async with a_house(clock) as house, asyncio.TaskGroup() as tasks:
        wire = Wire()
        tasks.create_task(house.stream(wire, has_state=True).run(None))
        await settle()
        assert wire.frames == [Frame(0, "bookmark", {"revision": 0, "objects": 0})]
        wire.hung_up.set()


@virtual
async def test_only_what_is_wanted_is_shown(clock: VirtualClock) -> None:
    async with a_house(clock) as house, asyncio.TaskGroup() as tasks:
        store = house.deps.store
        web = await store.create(a_deployment("web"), told("deployment.created"))
        await store.create(a_plugin("hello"), told("plugin.installed"))
        await store.create(a_vm("web-1", owner=owner_of(web)), CREATED)
        labelled = a_vm("db", plugin="postgres")
        await store.create(replace(labelled, meta=replace(labelled.meta, labels={"tier": "data"})), CREATED)
        asked = [
            (Wanted(kinds=frozenset({"VM"})), ["web-1", "db"]),
            (Wanted(names=frozenset({"db", "web", "none"})), ["web", "db"]),
            (Wanted(plugin="hello"), ["hello", "web", "web-1"]),
            (Wanted(deployment="web"), ["web", "web-1"]),
            (Wanted(selector=parse("tier=data")), ["db"]),
            (Wanted(types=frozenset({"vm.deleted"}), kinds=frozenset({"VM"})), ["web-1", "db"]),
        ]
        for wanted, names in asked:
            wire = Wire()
            tasks.create_task(house.stream(wire, wanted, has_state=True).run(None))
            await settle()
            assert [f.data["name"] for f in wire.frames if f.event.endswith(".state")] == names
            wire.hung_up.set()


def some_of_everything(tx: Transaction, turn: int) -> None:
    """A VM that was shown changes, one that was not, one of each goes, one that was not comes again, one is new."""
    last = SLICE * MANY - 1
    for n in (turn, last - turn):
        vm = tx.find(Key("VM", f"vm-{n}"))
        assert isinstance(vm, VM)
        tx.update_status(vm, running_status(pid=turn + 1), STARTED)
    for n in (100 - turn, last - 100 + turn, last - 200 + turn):
        vm = tx.find(Key("VM", f"vm-{n}"))
        assert vm is not None
        tx.finalize(tx.mark_deleting(vm, DELETING), FINALIZER, DELETED)
    for name in (f"vm-{last - 200 + turn}", f"new-{turn}"):
        tx.insert(a_vm(name, uid=uid_of(f"{name}-{turn}")), CREATED)


MANY = 12


@virtual
async def test_many_objects_do_not_hold_up_the_loop(clock: VirtualClock) -> None:
    """W6: others have a turn after every slice, and what they commit meanwhile ends in what the store holds."""
    async with a_house(clock, ring_events=2000) as house, asyncio.TaskGroup() as tasks:
        await vms(house, SLICE * MANY)
        store, wire = house.deps.store, Wire()
        tasks.create_task(house.stream(wire, has_state=True).run(None))
        turns = 0
        while "bookmark" not in wire.text:
            await store.write(partial(some_of_everything, turn=turns))
            turns += 1
        await settle()
        assert turns >= 4
        shown = [frame.data["name"] for frame in wire.frames if frame.event == "vm.state"]
        assert len(set(shown)) == len(shown)
        assert wire.frames[len(shown)].event == "bookmark"
        events = [frame.id for frame in wire.frames[len(shown) :]]
        assert events == list(range(SLICE * MANY, store.revision + 1))
        assert replayed(wire.frames) == stored(house)
        wire.hung_up.set()


@virtual
async def test_who_resumes_sees_no_state(clock: VirtualClock) -> None:
    """W5: a reconnect costs what was missed and no more."""
    async with a_house(clock) as house, asyncio.TaskGroup() as tasks:
        await vms(house, 5)
        wire = Wire()
        tasks.create_task(house.stream(wire, has_state=True).run(3))
        await settle()
        assert [(frame.id, frame.event) for frame in wire.frames] == [(4, "vm.created"), (5, "vm.created")]
        wire.hung_up.set()


COMPACTING = {"event_keep": 10, "compact_events": 5}


@virtual
async def test_after_a_reset_the_state_is_sent_again(clock: VirtualClock) -> None:
    """W2: the reset makes an EventSource forget its id, so that half a state can never be resumed from."""
    async with a_house(clock, ring_events=4, **COMPACTING) as house, asyncio.TaskGroup() as tasks:
        for i in range(30):
            await vms(house, 1, f"v{i}")
        wire = Wire()
        tasks.create_task(house.stream(wire, has_state=True).run(2))
        await settle()
        assert "id:\nevent: reset\n" in wire.text
        first, *rest = wire.frames
        assert first == Frame(-1, "reset", {"reason": "expired", "oldest": house.deps.store.oldest_event})
        assert [frame.event for frame in rest] == ["vm.state"] * 30 + ["bookmark"]
        await vms(house, 1, "later")
        await settle()
        assert wire.frames[-1].id == 31
        assert replayed(wire.frames) == stored(house)
        wire.hung_up.set()


@virtual
async def test_a_log_that_is_compacted_while_the_state_is_sent_begins_it_anew(clock: VirtualClock) -> None:
    """W2, W10: what happened between the bookmark and what is left of the log is not passed over in silence."""
    async with a_house(clock, ring_events=4, **COMPACTING) as house, asyncio.TaskGroup() as tasks:
        await vms(house, SLICE * 2)
        wire = Wire()
        tasks.create_task(house.stream(wire, has_state=True).run(None))
        await settle(1)
        wire.is_blocked = True
        for i in range(40):
            await vms(house, 1, f"more{i}")
        await gone(house, "vm-3")
        wire.is_blocked = False
        wire.unblocked.set()
        await settle()
        words = [frame.event for frame in wire.frames if frame.event in ("bookmark", "reset")]
        assert words == ["bookmark", "reset", "bookmark"]
        assert replayed(wire.frames) == stored(house)
        wire.hung_up.set()


@virtual
async def test_a_state_that_is_cut_off_leaves_nothing_to_resume_from(clock: VirtualClock) -> None:
    """W6: neither an id nor a word of one, however it ends."""
    async with a_house(clock) as house:
        await vms(house, SLICE * 3)
        async with asyncio.TaskGroup() as tasks:
            stuck, stopped = Wire(), Wire()
            run = tasks.create_task(house.stream(stuck, has_state=True).run(None))
            await settle(1)
            stuck.is_blocked = True
            await clock.sleep(STUCK_S + 2 * house.deps.heartbeat_s)
            assert run.done()
            tasks.create_task(house.stream(stopped, has_state=True).run(None))
            await settle(1)
            house.stopping.set()
            await settle()
        for wire in (stuck, stopped):
            assert "vm.state" in wire.text
            assert "bookmark" not in wire.text
            assert "id:" not in wire.text
        assert stopped.frames[-1].event == "bye"


@virtual
async def test_a_store_that_cannot_be_read_ends_the_state_with_nowhere_to_resume(clock: VirtualClock) -> None:
    """S4"""
    async with a_house(clock) as house:
        await vms(house, SLICE * 3)
        wire = Wire()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(house.stream(wire, has_state=True).run(None))
            await settle(1)
            await house.deps.store.close()
        assert wire.frames[-1].event == "reset"
        assert wire.frames[-1].data["last"] is None
        assert wire.has_ended


@virtual
async def test_lines_of_json_begin_with_the_same(clock: VirtualClock) -> None:
    async with a_house(clock, ring_events=4, **COMPACTING) as house, asyncio.TaskGroup() as tasks:
        for i in range(30):
            await vms(house, 1, f"v{i}")
        wire = Wire()
        tasks.create_task(house.stream(wire, Wanted(names=frozenset({"v7-0"})), LINES, has_state=True).run(1))
        await settle()
        reset, state, bookmark = (json.loads(line) for line in wire.text.splitlines())
        assert (reset["id"], reset["event"]) == (None, "reset")
        assert (state["id"], state["event"], state["data"]["name"]) == (None, "vm.state", "v7-0")
        assert bookmark == {"id": 30, "event": "bookmark", "data": {"revision": 30, "objects": 1}}
        wire.hung_up.set()


@virtual
async def test_an_object_that_loses_what_it_was_chosen_for_is_shown_once_more(clock: VirtualClock) -> None:
    """W1: so that whoever follows some labels learns that it has gone from their list."""
    async with a_house(clock) as house, asyncio.TaskGroup() as tasks:
        store, vm = house.deps.store, a_vm("web-1")
        vm = await store.create(replace(vm, meta=replace(vm.meta, labels={"app": "web"})), CREATED)
        wire, wanted = Wire(), Wanted(selector=parse("app=web"))
        tasks.create_task(house.stream(wire, wanted, has_state=True).run(None))
        await settle()
        for labels in ({"app": "web", "a": "b"}, {"app": "api"}, {"app": "db"}, {"app": "web"}):
            current = store.vm("web-1")
            await store.write(
                lambda tx, vm=current, labels=labels: tx.update_spec(vm, vm.spec, UPDATED, labels=labels)  # type: ignore[misc]
            )
        await settle()
        assert [(frame.id, frame.data.get("labels")) for frame in wire.frames[2:]] == [
            (2, {"app": "web", "a": "b"}),
            (3, {"app": "api"}),
            (5, {"app": "web"}),
        ]
        wire.hung_up.set()
