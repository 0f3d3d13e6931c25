"""One stream in virtual time: heartbeats, falling behind, getting stuck, and the end of the daemon."""

from __future__ import annotations

import asyncio

from tests.builders.streams import Wire, a_house
from tests.builders.virtual_time import VirtualClock, settle, virtual

from volant.api.frames import Wanted
from volant.api.stream import BYE_S, STUCK_S


@virtual
async def test_an_idle_stream_says_so_every_fifteen_seconds(clock: VirtualClock) -> None:
    """W4, W5: with the revision up to which there was nothing to show."""
    async with a_house(clock) as house, asyncio.TaskGroup() as tasks:
        wire = Wire()
        tasks.create_task(house.stream(wire, Wanted(kinds=frozenset({"VM"}))).run(None))
        await settle()
        await house.commit(3)
        await clock.sleep(31)
        assert wire.text == "retry: 1000\nid: 0\n\n" + ": beat\nid: 3\n\n" * 2
        wire.hung_up.set()


@virtual
async def test_what_was_committed_while_a_write_was_under_way_is_the_next_write(clock: VirtualClock) -> None:
    async with a_house(clock) as house, asyncio.TaskGroup() as tasks:
        wire = Wire()
        tasks.create_task(house.stream(wire).run(None))
        await settle()
        wire.is_blocked = True
        await house.commit(1)
        await settle()
        await house.commit(5)
        wire.is_blocked = False
        wire.unblocked.set()
        await settle()
        assert [write.count(b"event: ") for write in wire.writes] == [0, 1, 5]
        wire.hung_up.set()


@virtual
async def test_readers_at_one_place_are_given_the_same_bytes(clock: VirtualClock) -> None:
    """W7"""
    async with a_house(clock) as house, asyncio.TaskGroup() as tasks:
        wires = [Wire() for _ in range(3)]
        for wire in wires:
            tasks.create_task(house.stream(wire).run(None))
        await settle()
        await house.commit(2)
        await settle()
        first, *others = [wire.writes[-1] for wire in wires]
        assert all(other is first for other in others)
        for wire in wires:
            wire.hung_up.set()


@virtual
async def test_a_reader_that_the_ring_has_gone_past_is_told_where_it_was(clock: VirtualClock) -> None:
    """W6"""
    async with a_house(clock, ring_events=4) as house, asyncio.TaskGroup() as tasks:
        slow, quick = Wire(), Wire()
        tasks.create_task(house.stream(slow).run(None))
        tasks.create_task(house.stream(quick).run(None))
        await settle()
        slow.is_blocked = True
        for _ in range(9):
            await house.commit()
            await settle()
        slow.is_blocked = False
        slow.unblocked.set()
        await settle()
        assert slow.text.count("event: plugin.installed") == 1
        assert slow.text.endswith('event: reset\ndata: {"reason":"too_slow","last":1}\n\n')
        assert slow.has_ended
        assert quick.text.count("event: plugin.installed") == 9
        assert not quick.has_ended
        quick.hung_up.set()


@virtual
async def test_a_write_that_is_stuck_is_given_up(clock: VirtualClock) -> None:
    """W6"""
    async with a_house(clock) as house, asyncio.TaskGroup() as tasks:
        wire = Wire()
        run = tasks.create_task(house.stream(wire).run(None))
        await settle()
        wire.is_blocked = True
        await house.commit()
        await clock.sleep(STUCK_S - 1)
        assert not run.done()
        await clock.sleep(2 * house.deps.heartbeat_s)
        assert run.done()
        assert house.streams.open == 0


@virtual
async def test_the_end_of_the_daemon_is_the_last_word(clock: VirtualClock) -> None:
    """W5, S1"""
    async with a_house(clock) as house, asyncio.TaskGroup() as tasks:
        wire = Wire()
        tasks.create_task(house.stream(wire).run(None))
        await settle()
        house.stopping.set()
        await settle()
        assert wire.text.endswith("event: bye\ndata: {}\n\n")
        assert wire.has_ended
    assert clock.monotonic() == 0


@virtual
async def test_a_reader_that_does_not_read_cannot_hold_up_the_end(clock: VirtualClock) -> None:
    """S1"""
    async with a_house(clock) as house, asyncio.TaskGroup() as tasks:
        wire = Wire()
        tasks.create_task(house.stream(wire).run(None))
        await settle()
        wire.is_blocked = True
        await house.commit()
        await settle()
        house.stopping.set()
    assert clock.monotonic() == BYE_S
    assert not wire.has_ended


@virtual
async def test_a_reader_that_hangs_up_leaves_nothing_behind(clock: VirtualClock) -> None:
    async with a_house(clock) as house, asyncio.TaskGroup() as tasks:
        wire = Wire()
        tasks.create_task(house.stream(wire).run(None))
        await settle()
        assert house.streams.open == 1
        wire.hung_up.set()
        await settle()
        assert house.streams.open == 0
        assert not wire.has_ended
        assert len(asyncio.all_tasks()) == 1


@virtual
async def test_a_resume_reads_the_log_and_then_the_ring(clock: VirtualClock) -> None:
    """W1: in order, each once, whatever is committed meanwhile."""
    async with a_house(clock, ring_events=8) as house, asyncio.TaskGroup() as tasks:
        await house.commit(1300)
        wire = Wire()
        tasks.create_task(house.stream(wire).run(5))
        for _ in range(40):
            await house.commit()
            await settle(1)
        await settle()
        ids = [int(line[4:]) for line in wire.text.split("\n") if line.startswith("id: ")]
        assert ids[0] == 5
        assert ids[1:] == list(range(6, 1341))
        wire.hung_up.set()
