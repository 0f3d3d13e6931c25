"""What the watcher of the store says of its size."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from structlog.testing import capture_logs
from tests.builders.stores import a_store
from tests.builders.virtual_time import VirtualClock, run_virtual

from volant.daemon.storewatch import LOG_ALARM_MB, LOOK_S, MIB, StoreWatch
from volant.reconcile import Gate
from volant.store import Store


@contextmanager
def grown(file: Path, size: int) -> Iterator[None]:
    """A file that is so large, without taking up the space."""
    was = file.stat().st_size
    with file.open("r+b") as opened:
        opened.truncate(size)
    try:
        yield
    finally:
        with file.open("r+b") as opened:
            opened.truncate(was)


async def said_of(store: Store, clock: VirtualClock, file: Path, size: int) -> list[str]:
    """The note before, while and after a file is so large; and what was logged, which is one line for each change."""
    watch = StoreWatch(store, Gate(clock), clock, alarm_mb=100)
    with capture_logs() as logged:
        running = asyncio.create_task(watch.watch(lambda: None))
        await clock.sleep(LOOK_S * 3)
        notes = [watch.size_note]
        with grown(file, size):
            await clock.sleep(LOOK_S * 3)
            notes.append(watch.size_note)
        await clock.sleep(LOOK_S * 3)
        notes.append(watch.size_note)
        running.cancel()
    assert [line["event"] for line in logged] == ["store.size"] * 2
    assert logged[0]["message"] == notes[1]
    return notes


def test_a_database_over_the_alarm_is_noted_and_logged_once(tmp_path: Path) -> None:
    """W10: and once more when it is over. Nothing is refused."""

    async def main(clock: VirtualClock) -> None:
        async with a_store(tmp_path) as store:
            notes = await said_of(store, clock, tmp_path / "volant.db", 100 * MIB)
            assert notes == [
                "",
                "volant.db has 100 MiB, the alarm is at 100: lower --event-keep, or raise --database-alarm-mb",
                "",
            ]
            assert store.healthy

    run_virtual(main)


def test_a_write_ahead_log_that_nobody_folds_is_noted(tmp_path: Path) -> None:
    """W10: somebody holds an old state of the database open."""

    async def main(clock: VirtualClock) -> None:
        async with a_store(tmp_path) as store:
            await store.write(lambda tx: tx.touch())
            _, said, _ = await said_of(store, clock, tmp_path / "volant.db-wal", LOG_ALARM_MB * MIB)
            assert said.startswith("volant.db-wal has 256 MiB: ")

    run_virtual(main)
