"""List, then watch, beside many writers: from the log into the ring without a gap and without a duplicate."""

from __future__ import annotations

import asyncio
from pathlib import Path

from tests.builders.objects import a_vm, running_status
from tests.builders.stores import CREATED, DELETED, DELETING, STARTED, a_store

from volant.bus import Bus, Lagged
from volant.clock import Uid
from volant.model.event import Committed
from volant.model.vm import FINALIZER
from volant.store import Store

WRITERS, ROUNDS = 8, 12
LAST = WRITERS * ROUNDS * 4


async def churn(store: Store, writer: int) -> None:
    """Create, start, delete: four revisions a round, and every second VM stays."""
    for n in range(ROUNDS):
        vm = await store.create(a_vm(f"w{writer}-{n}"), CREATED)
        vm = await store.update_status(vm, running_status(), STARTED)
        vm = await store.write(lambda tx, vm=vm: tx.mark_deleting(vm, DELETING))  # type: ignore[misc]
        if n % 2:
            await store.finalize(vm, FINALIZER, DELETED)
        else:
            await store.update_status(vm, running_status(ready=False), STARTED)


async def follow(store: Store, bus: Bus, after: int, *, pause: int = 0) -> list[Committed]:
    """Everything after a revision until the last: from the ring where it reaches, from the log where it does not."""
    seen: list[Committed] = []
    reader = None
    while not seen or seen[-1].revision < LAST:
        try:
            reader = reader or bus.reader(after)
            batch = reader.take(5)
        except Lagged:
            reader, batch = None, store.events_after(after, 5)
        if batch:
            seen += batch
            after = batch[-1].revision
        elif reader is not None:
            await reader.wait()
        for _ in range(pause + 1):
            await asyncio.sleep(0)
    return seen


async def list_and_watch(store: Store, bus: Bus, turns: int) -> tuple[dict[Uid, int], list[Committed], int]:
    for _ in range(turns):
        await asyncio.sleep(0)
    with store.snapshot() as revision:
        state = {vm.meta.uid: vm.meta.revision for vm in store.vms()}
    return state, await follow(store, bus, revision), revision


async def test_readers_of_every_speed_get_every_event_once_and_in_order(tmp_path: Path) -> None:
    """W1, W6: a ring far too small for the slow ones sends them to the log and takes them back."""
    bus = Bus(ring_events=16)
    async with a_store(tmp_path, bus=bus, inline=False, batch=8) as store, asyncio.TaskGroup() as group:
        readers = [group.create_task(follow(store, bus, 0, pause=pause)) for pause in (0, 1, 5, 40)]
        for writer in range(WRITERS):
            group.create_task(churn(store, writer))
        await asyncio.wait(readers)
        for reader in readers:
            assert [event.revision for event in reader.result()] == list(range(1, LAST + 1))


async def test_a_list_and_the_events_after_it_are_the_store(tmp_path: Path) -> None:
    """W1: begun at any moment, what was listed plus what was heard is what there is."""
    bus = Bus(ring_events=64)
    async with a_store(tmp_path, bus=bus, inline=False, batch=8) as store:
        async with asyncio.TaskGroup() as group:
            watchers = [group.create_task(list_and_watch(store, bus, turns)) for turns in range(0, 200, 10)]
            for writer in range(WRITERS):
                group.create_task(churn(store, writer))
        there = {vm.meta.uid: vm.meta.revision for vm in store.vms()}
        for watcher in watchers:
            state, events, revision = watcher.result()
            assert all(listed <= revision for listed in state.values())
            assert [event.revision for event in events] == list(range(revision + 1, LAST + 1))
            for event in events:
                state[event.uid] = event.revision
                if event.type == "vm.deleted":
                    del state[event.uid]
            assert state == there
