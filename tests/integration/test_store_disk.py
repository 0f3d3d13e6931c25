"""S4: a disk that is full, fails or is locked. Writes are refused, nothing changes, reads go on, and it heals alone."""

from __future__ import annotations

import asyncio
import contextlib
import resource
import sqlite3
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path

import pytest
from tests.builders.objects import a_vm, running_status
from tests.builders.stores import CREATED, STARTED, a_store, open_store

from volant.bus import Bus
from volant.errors import StartupError, Unavailable
from volant.model.event import Committed
from volant.model.meta import Key
from volant.store import Store


@contextlib.contextmanager
def files_no_larger_than(size: int) -> Iterator[None]:
    """The kernel refuses to let any file of this process grow beyond `size` bytes: a real error from a real write."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@contextlib.contextmanager
def full_disk(store: Store) -> Iterator[None]:
    """SQLite's own quota on the writing connection: what it answers is what it answers to ENOSPC."""
    writing = store._connections[1]
    ((pages,),) = writing.select("PRAGMA page_count")
    writing.select(f"PRAGMA max_page_count = {pages}")
    try:
        yield
    finally:
        writing.select("PRAGMA max_page_count = 1073741823")


@pytest.fixture
def published() -> list[Committed]:
    return []


@pytest.fixture(params=["inline", "thread"])
async def store(request: pytest.FixtureRequest, tmp_path: Path, published: list[Committed]) -> AsyncIterator[Store]:
    bus = Bus()
    bus.listen(published.extend)
    options = {"inline": request.param == "inline", "synchronous": "full", "busy_s": 0.05}
    async with a_store(tmp_path, bus=bus, **options) as opened:
        yield opened


async def refused(*writes: object) -> set[str]:
    """What many writes at once are told."""
    results = await asyncio.gather(*writes, return_exceptions=True)  # type: ignore[call-overload]
    assert {type(result) for result in results} == {Unavailable}
    return {result.message for result in results}


async def test_a_full_disk_changes_nothing_and_heals(store: Store, published: list[Committed]) -> None:
    vm = await store.create(a_vm(), CREATED)
    huge = {"labels": {"pad": "x" * 100_000}}
    with full_disk(store):
        said = await refused(*(store.create(a_vm(f"web-{n}", meta=huge), CREATED) for n in range(2, 9)))
        assert said == {"cannot write: the disk is full. Free some space."}
        assert not store.healthy
        assert store.trouble == "the disk is full. Free some space"
        assert store.vms() == [vm]
        assert store.revision == len(published) == 1
    assert (await store.create(a_vm("web-9"), CREATED)).meta.revision == 2
    assert store.healthy
    assert [event.revision for event in store.events_after(0, 10)] == [1, 2]


async def test_a_disk_that_fails_changes_nothing_and_heals(
    store: Store, published: list[Committed], tmp_path: Path
) -> None:
    vm = await store.create(a_vm(), CREATED)
    with files_no_larger_than((tmp_path / "volant.db-wal").stat().st_size):
        said = await refused(*(store.create(a_vm(f"web-{n}"), CREATED) for n in range(2, 9)))
        assert said == {"cannot write: the disk reports an I/O error. Check the disk."}
        assert not await store.probe()
        assert store.vm("web-1") == vm
        assert store.count("VM") == len(published) == 1
    assert await store.probe()
    assert store.healthy
    vm = await store.update_status(vm, running_status(), STARTED)
    assert (store.vm("web-1"), vm.meta.revision) == (vm, 2)


async def test_what_was_refused_is_not_there_after_a_crash_either(store: Store, tmp_path: Path) -> None:
    await store.create(a_vm(), CREATED)
    with files_no_larger_than((tmp_path / "volant.db-wal").stat().st_size):
        await refused(store.create(a_vm("web-2"), CREATED))
    store.abandon()
    async with a_store(tmp_path) as again:
        assert (again.keys("VM"), again.revision) == ([Key("VM", "web-1")], 1)


async def test_a_locked_database_refuses_writes_and_gives_reads(store: Store, tmp_path: Path) -> None:
    vm = await store.create(a_vm(), CREATED)
    other = sqlite3.connect(tmp_path / "volant.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    said = await refused(store.create(a_vm("web-2"), CREATED))
    assert said == {"cannot write: another program has the database locked. Close it."}
    assert not store.healthy
    assert store.vm("web-1") == vm
    other.close()
    assert await store.probe()
    assert store.healthy


async def test_a_compaction_that_fails_harms_no_write(tmp_path: Path) -> None:
    """W10, S4: the write before it stands, and it is made up for later."""
    other = sqlite3.connect(tmp_path / "volant.db", isolation_level=None)
    bus = Bus()
    async with a_store(tmp_path, bus=bus, event_keep=4, compact_events=2, busy_s=0.05) as store:

        def lock(batch: Sequence[Committed]) -> None:
            # Between the sixth commit and the compaction that is due after it.
            if batch[-1].revision == 6:
                other.execute("BEGIN IMMEDIATE")

        bus.listen(lock)
        for n in range(6):
            await store.create(a_vm(f"web-{n}"), CREATED)
        assert (store.oldest_event, store.revision, store.healthy) == (0, 6, False)
        other.execute("ROLLBACK")
        await store.create(a_vm("web-6"), CREATED)
        assert (store.oldest_event, store.revision, store.healthy) == (2, 7, True)
    other.close()


async def test_starting_on_a_disk_that_takes_nothing_is_one_sentence(tmp_path: Path) -> None:
    with (
        files_no_larger_than(0),
        pytest.raises(StartupError, match=r"^cannot open .*: the disk .*\. \w.*\.$"),
    ):
        open_store(tmp_path)
    async with a_store(tmp_path) as store:
        assert store.revision == 0
