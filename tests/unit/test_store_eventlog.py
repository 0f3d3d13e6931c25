"""The event log: everything in order, nothing missing in silence, no more of it than was asked for."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.builders.objects import NOW, a_deployment, a_vm, running_status, uid_of
from tests.builders.stores import CREATED, STARTED, HandClock, a_store, told

from volant.bus import Bus
from volant.errors import Gone, Invalid
from volant.model.event import Committed
from volant.store import Store, StoreSettings
from volant.store.database import Connection, open_writing
from volant.store.eventlog import compact
from volant.store.schema import migrate

DAY = 86400.0


async def write(store: Store, count: int) -> None:
    """`count` writes, one commit each."""
    for _ in range(count):
        vm = store.find(a_vm().meta.key)
        if vm is None:
            await store.create(a_vm(), CREATED)
        else:
            await store.update_status(vm, running_status(pid=store.revision + 1), STARTED)


def kept(store: Store) -> list[int]:
    """The revisions that can be had."""
    return [event.revision for event in store.events_after(store.oldest_event, 1_000_000)]


async def test_the_log_gives_back_exactly_what_was_published(tmp_path: Path) -> None:
    """W1, E3"""
    bus, published = Bus(), list[Committed]()
    bus.listen(published.extend)
    async with a_store(tmp_path, bus=bus) as store:
        owner = await store.create(a_deployment("web"), told("deployment.created"))
        vm = await store.create(a_vm("web-1", owner=owner), told("vm.created", reason="ScaledUp"))
        await store.update_status(vm, running_status(), STARTED)
        assert store.events_after(0, 100) == published
    async with a_store(tmp_path) as store:
        assert store.events_after(0, 100) == published


async def test_a_reader_resumes_after_what_it_has(tmp_path: Path) -> None:
    """W1: in pages, without gap or duplicate."""
    async with a_store(tmp_path) as store:
        await write(store, 7)
        after, seen = 0, list[int]()
        while page := store.events_after(after, 3):
            seen += [event.revision for event in page]
            after = seen[-1]
        assert seen == [1, 2, 3, 4, 5, 6, 7]


async def test_a_future_revision_is_an_error(tmp_path: Path) -> None:
    """W3: never old events, never silence."""
    async with a_store(tmp_path) as store:
        await write(store, 2)
        assert store.events_after(2, 10) == []
        with pytest.raises(Invalid, match="cannot resume after revision 3: the last one is 2") as refused:
            store.events_after(3, 10)
        assert refused.value.code == "future_revision"


async def test_too_old_a_revision_is_gone_and_says_what_is_left(tmp_path: Path) -> None:
    """W2, W10"""
    async with a_store(tmp_path, event_keep=10, compact_events=5) as store:
        await write(store, 23)
        assert store.oldest_event == 10
        assert kept(store) == list(range(11, 24))
        for asked in (0, 9):
            with pytest.raises(Gone, match=f"after revision {asked}: events up to 10 are no longer kept") as gone:
                store.events_after(asked, 100)
            assert gone.value.details == {"oldest": 10, "asked": asked}
        assert len(store.events_after(gone.value.details["oldest"], 100)) == 13


async def test_the_log_keeps_what_was_asked_for_and_not_much_more(tmp_path: Path) -> None:
    """W9, W10: at least `event_keep`, at most `compact_events` more, at every moment."""
    async with a_store(tmp_path, event_keep=10, compact_events=5) as store:
        for _ in range(60):
            await write(store, 1)
            assert min(store.revision, 10) <= len(kept(store)) < 15


async def test_a_log_that_is_far_too_long_is_cut_in_small_steps(tmp_path: Path) -> None:
    """W10: each transaction drops `compact_events` at most, and all of it goes."""
    async with a_store(tmp_path) as store:
        await write(store, 100)
    async with a_store(tmp_path, event_keep=10, compact_events=7) as store:
        assert store.oldest_event == 0
        await write(store, 1)
        assert 10 <= len(kept(store)) < 17
    connection = prepared(tmp_path)
    dropped = []
    oldest = 0
    while (upto := compact(connection.execute, 0, None, 3)) is not None:
        dropped.append(upto - oldest)
        oldest = upto
    connection.close()
    assert set(dropped[1:]) == {3}


async def test_less_than_a_step_is_left_alone(tmp_path: Path) -> None:
    """W9: nothing that was to be kept goes along with what was not."""
    async with a_store(tmp_path) as store:
        await write(store, 14)
    connection = prepared(tmp_path)
    assert compact(connection.execute, 10, NOW - DAY, 5) is None
    assert compact(connection.execute, 9, NOW - DAY, 5) == 5
    assert compact(connection.execute, 9, NOW + DAY, 5) == 10
    connection.close()


def prepared(directory: Path) -> Connection:
    connection = open_writing(directory / "volant.db", StoreSettings())
    migrate(connection, directory / "volant.db")
    return connection


async def test_old_events_go_by_age(tmp_path: Path) -> None:
    """W9"""
    clock = HandClock()
    async with a_store(tmp_path, clock=clock, event_keep_s=7 * DAY, compact_events=4) as store:
        await write(store, 10)
        clock.forward(6 * DAY)
        await write(store, 5)
        assert store.oldest_event == 0
        clock.forward(2 * DAY)
        await write(store, 1)
        assert store.oldest_event == 10
        assert [event.at for event in store.events_after(10, 100)] == [NOW + 6 * DAY] * 5 + [NOW + 8 * DAY]
        with pytest.raises(Gone):
            store.events_after(9, 100)


async def test_revisions_go_on_when_every_event_is_gone(tmp_path: Path) -> None:
    """V1, W10: a revision is never given twice."""
    clock = HandClock()
    async with a_store(tmp_path, clock=clock, event_keep_s=DAY) as store:
        await write(store, 5)
        clock.forward(2 * DAY)
        assert await store.probe()
        assert (store.oldest_event, store.revision) == (5, 5)
        assert store.events_after(5, 10) == []
        with pytest.raises(Gone) as gone:
            store.events_after(4, 10)
        assert gone.value.details == {"oldest": 5, "asked": 4}
    async with a_store(tmp_path) as store:
        assert (store.oldest_event, store.revision) == (5, 5)
        assert (await store.create(a_vm("next"), CREATED)).meta.revision == 6
        assert [event.revision for event in store.events_after(5, 10)] == [6]


async def test_a_file_that_is_written_to_forever_stays_small(tmp_path: Path) -> None:
    """W10"""
    async with a_store(tmp_path, event_keep=100, compact_events=20) as store:
        await write(store, 400)
        await store.close()
        size = (tmp_path / "volant.db").stat().st_size
    async with a_store(tmp_path, event_keep=100, compact_events=20) as store:
        await write(store, 1600)
        await store.close()
        assert (tmp_path / "volant.db").stat().st_size <= size * 1.2


async def test_the_thread_compacts_as_the_loop_does(tmp_path: Path) -> None:
    """W10: also when it is never idle."""
    async with a_store(tmp_path, inline=False, event_keep=10, compact_events=5) as store:
        await write(store, 60)
        await store.probe()
        assert 10 <= len(kept(store)) < 20


async def test_the_last_events_of_an_object_are_its_own_and_end_with_the_newest(tmp_path: Path) -> None:
    """E3: among those of everybody else, and whatever else has its name afterwards."""
    async with a_store(tmp_path) as store:
        other = await store.create(a_vm("other"), CREATED)
        vm = await store.create(a_vm(), CREATED)
        for number in range(5):
            vm = await store.update_status(vm, running_status(pid=number + 1), STARTED)
            other = await store.update_status(other, running_status(pid=number + 1), STARTED)
        log = store.events_after(0, 100)
        own = [event for event in log if event.uid == vm.meta.uid]
        assert store.last_events(vm.meta.uid, 100) == own
        assert store.last_events(vm.meta.uid, 2) == own[-2:]
        assert store.last_events(uid_of("nobody"), 5) == []
        assert own[0].preceding is None
        assert [event.preceding for event in own[1:]] == [event.revision for event in own[:-1]]


async def test_the_last_events_of_an_object_end_where_the_log_does(tmp_path: Path) -> None:
    """W9"""
    async with a_store(tmp_path, event_keep=5, compact_events=2) as store:
        await write(store, 12)
        found = store.last_events(a_vm().meta.uid, 100)
        assert [event.revision for event in found] == kept(store)
        assert len(found) < 12


async def test_the_last_events_begin_after_those_that_name_none_before_them(tmp_path: Path) -> None:
    """As an older database has them: what was written since is found."""
    async with a_store(tmp_path) as store:
        await write(store, 3)
    connection = prepared(tmp_path)
    connection.execute("UPDATE events SET preceding = NULL")
    connection.close()
    async with a_store(tmp_path) as store:
        await write(store, 2)
        assert [event.revision for event in store.last_events(a_vm().meta.uid, 100)] == [3, 4, 5]
