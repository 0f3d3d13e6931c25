"""Group commit: all or nothing for a job, all or none for a commit, and nobody hears of what is not on the disk."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from tests.builders.objects import a_vm, running_status
from tests.builders.stores import CREATED, STARTED, a_store, open_store

from volant.bus import Bus
from volant.errors import Conflict, Unavailable, VolantError
from volant.model.event import Committed
from volant.model.meta import Key
from volant.store import Store, Transaction

KEY = Key("VM", "web-1")


class Batches(list[Sequence[Committed]]):
    """What the bus published, as it was published."""

    def revisions(self) -> list[list[int]]:
        return [[event.revision for event in batch] for batch in self]


@pytest.fixture
def batches() -> Batches:
    return Batches()


@pytest.fixture(params=["inline", "thread"])
async def store(request: pytest.FixtureRequest, tmp_path: Path, batches: Batches) -> AsyncIterator[Store]:
    bus = Bus()
    bus.listen(batches.append)
    async with a_store(tmp_path, bus=bus, inline=request.param == "inline", batch=8) as opened:
        yield opened


async def all_of(*writes: Any) -> list[Any]:
    """What became of writes that were begun in one turn of the loop, errors among the results."""
    return await asyncio.gather(*writes, return_exceptions=True)


def inserts(name: str) -> Any:
    return lambda tx: tx.insert(a_vm(name), CREATED)


async def test_the_writer_reads_what_it_wrote(store: Store) -> None:
    """Read-your-writes: for a create, an update and an end alike."""
    for n in range(20):
        vm = await store.create(a_vm(f"web-{n}"), CREATED)
        assert store.find(vm.meta.key) == vm
        vm = await store.update_status(vm, running_status(), STARTED)
        assert store.find(vm.meta.key) == vm


async def test_everybody_has_heard_when_the_writer_hears(store: Store, batches: Batches) -> None:
    vm = await store.create(a_vm(), CREATED)
    assert batches.revisions() == [[vm.meta.revision]]
    assert store.revision == vm.meta.revision


async def test_what_is_published_can_be_read(store: Store) -> None:
    """Published after the commit, never before."""
    found: list[object] = []
    store._bus.listen(lambda batch: found.extend(store.find(event.key) for event in batch))
    vm = await store.create(a_vm(), CREATED)
    assert found == [vm]


async def test_writes_of_one_turn_share_a_commit(store: Store, batches: Batches) -> None:
    await all_of(*(store.write(inserts(f"web-{n}")) for n in range(5)))
    assert batches.revisions() == [[1, 2, 3, 4, 5]]


async def test_a_commit_takes_no_more_than_a_batch(store: Store, batches: Batches) -> None:
    await all_of(*(store.write(inserts(f"web-{n}")) for n in range(20)))
    assert [len(batch) for batch in batches] == [8, 8, 4]
    assert [revision for batch in batches.revisions() for revision in batch] == list(range(1, 21))


async def test_jobs_run_in_the_order_they_were_asked_for(store: Store) -> None:
    order: list[int] = []
    await all_of(*(store.write(lambda _, n=n: order.append(n)) for n in range(20)))  # type: ignore[misc]
    assert order == list(range(20))


async def test_a_job_that_raises_harms_no_other(store: Store, batches: Batches) -> None:
    """E3"""

    def changes_its_mind(tx: Transaction) -> None:
        tx.insert(a_vm("never"), CREATED)
        raise ValueError("changed my mind")

    results = await all_of(store.write(inserts("a")), store.write(changes_its_mind), store.write(inserts("b")))
    assert [type(result).__name__ for result in results] == ["VM", "ValueError", "VM"]
    assert store.keys("VM") == [Key("VM", "a"), Key("VM", "b")]
    assert batches.revisions() == [[1, 2]]
    assert store.healthy


def breaks_a_rule(tx: Transaction) -> None:
    raise sqlite3.IntegrityError("some rule")


def runs_dry(tx: Transaction) -> None:
    next(iter(()))


@pytest.mark.parametrize("job", [breaks_a_rule, runs_dry])
async def test_an_error_of_the_wrong_kind_is_one_jobs_own(store: Store, job: Any) -> None:
    results = await all_of(store.write(inserts("a")), store.write(job), store.write(inserts("b")))
    assert [type(result).__name__ for result in results] == ["VM", "VolantError", "VM"]
    assert isinstance(results[1], VolantError)
    assert store.healthy


async def test_when_the_commit_fails_nobody_has_succeeded(store: Store, batches: Batches) -> None:
    """S4: Unavailable for all, nothing changed, nothing published; the next one heals."""

    def disk_fails(tx: Transaction) -> None:
        raise sqlite3.OperationalError("disk I/O error")

    before = await store.create(a_vm("before"), CREATED)
    results = await all_of(store.write(inserts("a")), store.write(disk_fails), store.write(inserts("b")))
    assert [type(result).__name__ for result in results] == ["Unavailable"] * 3
    assert store.keys("VM") == [before.meta.key]
    assert batches.revisions() == [[1]]
    assert not store.healthy
    assert store.revision == 1

    assert (await store.create(a_vm("after"), CREATED)).meta.revision == 2
    assert store.healthy
    assert store.trouble is None


async def test_reading_alone_does_not_heal(store: Store) -> None:
    """S4: only a commit that the disk took proves anything."""

    def disk_fails(tx: Transaction) -> None:
        raise sqlite3.OperationalError("disk I/O error")

    await all_of(store.write(disk_fails))
    await store.write(lambda tx: tx.find(KEY))
    assert not store.healthy
    assert await store.probe()
    assert store.healthy


async def test_a_probe_changes_nothing_that_can_be_read(store: Store, batches: Batches) -> None:
    assert await store.probe()
    assert store.revision == 0
    assert batches == []


async def test_a_write_whose_caller_left_before_its_turn_is_not_done(store: Store) -> None:
    writing = asyncio.get_running_loop().create_task(store.write(inserts("a")))
    await asyncio.sleep(0)
    writing.cancel()
    await asyncio.wait([writing])
    await store.write(inserts("b"))
    assert store.keys("VM") == [Key("VM", "b")]


async def test_closing_finishes_what_was_asked_for(tmp_path: Path) -> None:
    for inline in (True, False):
        directory = tmp_path / str(inline)
        directory.mkdir()
        store = open_store(directory, inline=inline)
        async with asyncio.TaskGroup() as group:
            written = group.create_task(store.write(inserts("a")))
            await asyncio.sleep(0)
            await store.close()
        assert written.result().meta.name == "a"
        async with a_store(directory) as again:
            assert again.keys("VM") == [Key("VM", "a")]


async def test_a_closed_store_refuses_and_may_be_closed_again(store: Store) -> None:
    await store.create(a_vm(), CREATED)
    await store.close()
    await store.close()
    with pytest.raises(Unavailable, match="cannot write: the store is closed"):
        await store.create(a_vm("b"), CREATED)
    with pytest.raises(Unavailable, match="cannot read"):
        store.find(KEY)


async def test_closing_leaves_one_tidy_file(store: Store, tmp_path: Path) -> None:
    await store.create(a_vm(), CREATED)
    await store.close()
    assert [path.name for path in tmp_path.iterdir()] == ["volant.db"]


async def test_the_file_is_its_owners_only(store: Store, tmp_path: Path) -> None:
    await store.create(a_vm(), CREATED)
    assert {path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == {0o600}


async def test_an_abandoned_store_has_what_was_committed_and_nothing_else(store: Store, tmp_path: Path) -> None:
    """A crash: what was promised is there, what was not is not."""
    await store.create(a_vm("promised"), CREATED)
    waiting = asyncio.get_running_loop().create_task(store.write(inserts("hoped-for")))
    await asyncio.sleep(0)
    store.abandon()
    await asyncio.wait([waiting])
    assert waiting.cancelled()
    assert (tmp_path / "volant.db-wal").stat().st_size > 0
    async with a_store(tmp_path) as again:
        assert again.keys("VM") == [Key("VM", "promised")]
        assert again.revision == 1


async def test_an_abandoned_store_is_silent(store: Store, batches: Batches) -> None:
    waiting = asyncio.get_running_loop().create_task(store.write(inserts("a")))
    await asyncio.sleep(0)
    store.abandon()
    store.abandon()
    await asyncio.wait([waiting])
    await asyncio.sleep(0)
    assert batches == []
    with pytest.raises(Unavailable):
        await store.create(a_vm(), CREATED)


async def test_a_commit_that_was_under_way_at_the_crash_is_heard_of_by_nobody(tmp_path: Path) -> None:
    """It may be on the disk, as after any crash; whoever asked for it must not be told by the dead."""
    bus, batches, begun = Bus(), Batches(), threading.Event()
    bus.listen(batches.append)
    store = open_store(tmp_path, bus=bus, inline=False)

    def job(tx: Transaction) -> None:
        tx.insert(a_vm(), CREATED)
        begun.set()

    waiting = asyncio.get_running_loop().create_task(store.write(job))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert begun.wait(10)
    store.abandon()
    await asyncio.wait([waiting])
    await asyncio.sleep(0)
    assert waiting.cancelled()
    assert batches == []
    assert store.revision == 0


async def test_revisions_go_on_where_they_were(store: Store, tmp_path: Path) -> None:
    """V1"""
    for n in range(3):
        await store.create(a_vm(f"web-{n}"), CREATED)
    await store.close()
    bus = Bus()
    async with a_store(tmp_path, bus=bus) as again:
        assert again.revision == bus.last_revision == 3
        assert (await again.create(a_vm("next"), CREATED)).meta.revision == 4


async def test_conflicts_are_not_the_stores_trouble(store: Store) -> None:
    vm = await store.create(a_vm(), CREATED)
    await store.update_status(vm, running_status(), STARTED)
    with pytest.raises(Conflict):
        await store.update_status(vm, running_status(pid=1), STARTED)
    assert store.healthy
