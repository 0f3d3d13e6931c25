"""Records of requests that came with an Idempotency-Key."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
from tests.builders.objects import a_vm
from tests.builders.stores import CREATED, HandClock, a_store

from volant.clock import Uid
from volant.errors import AlreadyExists
from volant.model.goals import Since
from volant.store import Given, Remembered, Store, Transaction
from volant.store.idempotency import DROPPED_AT_ONCE, KEEP_S

PIN = Since(uid=Uid("a" * 32), generation=3, power="stopped")
ANSWER = Given(201, ((b"etag", b'"7"'), (b"volant-wait", b"failed")), b'{"name": "web-1"}')


async def remembered(store: Store, key: str) -> Remembered | None:
    return await store.write(lambda tx: tx.remembered(key))


async def remember(store: Store, key: str, record: Remembered) -> None:
    await store.write(lambda tx: tx.remember(key, record))


def count(directory: Path) -> int:
    connection = sqlite3.connect(directory / "volant.db")
    try:
        return int(connection.execute("SELECT count(*) FROM idempotency").fetchone()[0])
    finally:
        connection.close()


async def test_an_answer_is_given_back_as_it_was(tmp_path: Path) -> None:
    async with a_store(tmp_path) as store:
        await remember(store, "k", Remembered("print", PIN, ANSWER))
        assert await remembered(store, "k") == Remembered("print", Since(uid=PIN.uid), ANSWER)
        assert await remembered(store, "other") is None


async def test_a_record_without_an_answer_says_what_to_wait_for(tmp_path: Path) -> None:
    async with a_store(tmp_path) as store:
        record = Remembered("print", PIN)
        await remember(store, "k", record)
        assert await remembered(store, "k") == record
        await store.write(lambda tx: tx.complete("k", record, ANSWER))
        assert (await remembered(store, "k")) == Remembered("print", Since(uid=PIN.uid), ANSWER)


async def test_an_answer_of_another_object_is_not_taken(tmp_path: Path) -> None:
    async with a_store(tmp_path) as store:
        record = Remembered("print", PIN)
        await remember(store, "k", record)
        await store.write(lambda tx: tx.complete("k", Remembered("print", Since(uid=Uid("b" * 32))), ANSWER))
        assert await remembered(store, "k") == record


async def test_a_record_outlives_its_daemon(tmp_path: Path) -> None:
    async with a_store(tmp_path) as store:
        await remember(store, "k", Remembered("print", PIN, ANSWER))
    async with a_store(tmp_path) as store:
        assert (await remembered(store, "k")) is not None


async def test_there_is_a_record_iff_there_was_a_write(tmp_path: Path) -> None:
    """E3 for keys: a job that is undone leaves none behind."""
    async with a_store(tmp_path) as store:
        await store.create(a_vm("web-1"), CREATED)

        def job(tx: Transaction) -> None:
            tx.remember("k", Remembered("print", PIN))
            tx.insert(a_vm("web-1"), CREATED)

        with pytest.raises(AlreadyExists):
            await store.write(job)
        assert await remembered(store, "k") is None


async def test_a_record_is_kept_for_a_day(tmp_path: Path) -> None:
    clock = HandClock()
    async with a_store(tmp_path, clock=clock) as store:
        await remember(store, "k", Remembered("print", PIN, ANSWER))
        clock.forward(KEEP_S - 1)
        assert await remembered(store, "k") is not None
        clock.forward(1)
        assert await remembered(store, "k") is None


async def test_records_that_have_had_their_day_go_a_few_at_a_time(tmp_path: Path) -> None:
    clock = HandClock()
    async with a_store(tmp_path, clock=clock) as store:
        for number in range(DROPPED_AT_ONCE + 8):
            await remember(store, f"old-{number}", Remembered("print", PIN, ANSWER))
        clock.forward(KEEP_S)
        assert count(tmp_path) == DROPPED_AT_ONCE + 8
        await remember(store, "new-1", Remembered("print", PIN, ANSWER))
        assert count(tmp_path) == 9
        await remember(store, "new-2", Remembered("print", PIN, ANSWER))
        assert count(tmp_path) == 2
        assert await remembered(store, "new-1") is not None
