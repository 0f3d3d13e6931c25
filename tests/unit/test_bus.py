"""The bus: order, cursors, and nobody left behind in silence."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest
from tests.builders.objects import NOW, uid_of

from volant.bus import Bus, Lagged
from volant.model.event import Committed
from volant.model.meta import Key


def events(*revisions: int) -> list[Committed]:
    return [
        Committed(
            revision=revision,
            type="vm.updated",
            key=Key("VM", "web-1"),
            uid=uid_of("web-1"),
            owner=None,
            plugin="hello",
            at=NOW,
            data=b"{}",
            actor="test",
        )
        for revision in revisions
    ]


def revisions(batch: Sequence[Committed]) -> list[int]:
    return [event.revision for event in batch]


def test_a_reader_gets_what_is_published_after_it_in_order() -> None:
    """W1"""
    bus = Bus()
    bus.publish(events(1, 2))
    reader = bus.reader()
    bus.publish(events(3))
    bus.publish(events(4, 5))
    assert revisions(reader.take()) == [3, 4, 5]
    assert reader.take() == []
    assert reader.after == 5


def test_a_reader_starts_behind_any_revision_that_the_ring_reaches() -> None:
    """W1"""
    bus = Bus(ring_events=4)
    bus.publish(events(1, 2, 3, 4, 5, 6))
    assert bus.oldest == 2
    assert revisions(bus.reader(after=2).take()) == [3, 4, 5, 6]
    assert revisions(bus.reader(after=5).take()) == [6]
    assert revisions(bus.reader(after=6).take()) == []


def test_a_revision_that_fell_out_of_the_ring_is_refused() -> None:
    """W2"""
    bus = Bus(ring_events=4)
    bus.publish(events(1, 2, 3, 4, 5, 6))
    with pytest.raises(Lagged) as refused:
        bus.reader(after=1)
    assert refused.value.details == {"after": 1}


def test_events_before_the_bus_are_not_in_its_ring() -> None:
    """W2"""
    bus = Bus()
    bus.start_at(40)
    assert bus.last_revision == bus.oldest == 40
    with pytest.raises(Lagged):
        bus.reader(after=39)
    reader = bus.reader(after=40)
    bus.publish(events(41))
    assert revisions(reader.take()) == [41]


def test_revisions_may_have_holes() -> None:
    bus = Bus()
    bus.publish(events(2, 5, 9))
    assert revisions(bus.reader(after=5).take()) == [9]
    assert revisions(bus.reader(after=6).take()) == [9]


def test_a_slow_reader_is_told_and_can_say_where_it_was() -> None:
    """W6: nothing is skipped in silence."""
    bus = Bus(ring_events=4)
    reader = bus.reader()
    bus.publish(events(1, 2))
    assert revisions(reader.take(1)) == [1]
    bus.publish(events(3, 4, 5, 6))
    with pytest.raises(Lagged) as refused:
        reader.take()
    assert refused.value.details == {"after": 1}


def test_a_reader_that_is_exactly_a_ring_behind_still_gets_everything() -> None:
    """W6"""
    bus = Bus(ring_events=4)
    reader = bus.reader()
    bus.publish(events(1, 2, 3, 4))
    assert reader.behind == 4
    assert revisions(reader.take()) == [1, 2, 3, 4]


def test_take_gives_at_most_what_is_asked_for() -> None:
    bus = Bus(ring_events=4)
    reader = bus.reader()
    bus.publish(events(1, 2, 3))
    assert revisions(reader.take(2)) == [1, 2]
    bus.publish(events(4, 5, 6))
    assert revisions(reader.take(3)) == [3, 4, 5]
    assert revisions(reader.take(3)) == [6]


def test_a_batch_larger_than_the_ring_leaves_its_end() -> None:
    bus = Bus(ring_events=3)
    bus.publish(events(1, 2, 3, 4, 5))
    assert revisions(bus.reader(after=2).take()) == [3, 4, 5]


def test_what_a_reader_knows_already_is_passed_over() -> None:
    """W1: a snapshot may be a commit ahead of the bus; its events do not come twice."""
    bus = Bus()
    reader = bus.reader(after=2)
    bus.publish(events(1, 2, 3))
    assert revisions(reader.take()) == [3]


def test_an_empty_batch_wakes_nobody() -> None:
    bus = Bus()
    heard: list[int] = []
    bus.listen(lambda batch: heard.append(len(batch)))
    bus.publish([])
    assert heard == []


def test_listeners_hear_every_batch_until_they_end() -> None:
    bus = Bus()
    heard: list[int] = []
    end = bus.listen(lambda batch: heard.extend(revisions(batch)))
    bus.publish(events(1, 2))
    end()
    end()
    bus.publish(events(3))
    assert heard == [1, 2]


def test_a_listener_that_raises_keeps_nobody_from_hearing() -> None:
    bus = Bus()
    heard: list[int] = []

    def broken(_: Sequence[Committed]) -> None:
        raise ValueError("broken")

    bus.listen(broken)
    bus.listen(lambda batch: heard.extend(revisions(batch)))
    reader = bus.reader()
    bus.publish(events(1))
    assert heard == [1]
    assert revisions(reader.take()) == [1]


def test_a_listener_may_end_itself_while_it_hears() -> None:
    bus = Bus()
    heard: list[str] = []

    def once(_: Sequence[Committed]) -> None:
        heard.append("first")
        end()

    end = bus.listen(once)
    bus.listen(lambda _: heard.append("second"))
    bus.publish(events(1))
    bus.publish(events(2))
    assert heard == ["first", "second", "second"]


async def test_wait_returns_at_once_when_there_is_something() -> None:
    bus = Bus()
    reader = bus.reader()
    bus.publish(events(1))
    await reader.wait()
    assert revisions(reader.take()) == [1]


async def test_everybody_who_waits_is_woken() -> None:
    bus = Bus()
    taken: list[int] = []

    async def stream() -> None:
        reader = bus.reader()
        await reader.wait()
        taken.extend(revisions(reader.take()))

    async with asyncio.TaskGroup() as group:
        for _ in range(3):
            group.create_task(stream())
        await asyncio.sleep(0)
        bus.publish(events(1))
    assert taken == [1, 1, 1]


async def test_a_cancelled_wait_loses_nothing() -> None:
    bus = Bus()
    reader = bus.reader()
    waiting = asyncio.get_running_loop().create_task(reader.wait())
    await asyncio.sleep(0)
    waiting.cancel()
    bus.publish(events(1))
    await asyncio.wait([waiting])
    assert waiting.cancelled()
    assert revisions(reader.take()) == [1]
