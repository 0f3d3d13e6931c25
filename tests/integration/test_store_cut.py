"""A database whose write-ahead log ends anywhere, in the middle of anything: what is there is the past, whole.

A power cut loses no commit that was waited for. A disk that lies, a copy that was made too soon or a file system that
was repaired may: then some of the last commits are missing, and none of them by half.
"""

from __future__ import annotations

import asyncio
import random
import shutil
import struct
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import pytest
from tests.builders.objects import a_vm, running_status
from tests.builders.stores import CREATED, DELETED, DELETING, STARTED, UPDATED, a_store, admit, counted_uids, open_store

from volant.bus import Bus
from volant.clock import Uid
from volant.model.event import Committed
from volant.model.objects import encode
from volant.model.vm import FINALIZER
from volant.store import Store

Table = dict[Uid, bytes]
HEADER, FRAME_HEADER = 32, 24
ROUNDS = 6


class Past(NamedTuple):
    """A database as a killed daemon left it, and what it was after each of its commits, by revision."""

    path: Path
    states: dict[int, Table]
    events: list[Committed]

    @property
    def log(self) -> bytes:
        """The write-ahead log."""
        return (self.path / "volant.db-wal").read_bytes()


def table(store: Store) -> Table:
    """Every object, as its document."""
    return {vm.meta.uid: encode(vm) for vm in store.vms()}


async def live(store: Store, number: int) -> None:
    """Create, start, relabel and remove VMs: alone, and several in one commit."""
    make = [admit(lambda uid, at, n=n: a_vm(f"vm-{number}-{n}", uid=uid, address=at)) for n in range(3)]  # type: ignore[misc]
    first, *_ = await asyncio.gather(*(store.write(job) for job in make))
    first = await store.update_status(first, running_status(), STARTED)
    await store.write(lambda tx: tx.update_spec(first, first.spec, UPDATED, labels={"n": str(number)}))
    second = await store.write(lambda tx: tx.mark_deleting(store.vm(f"vm-{number}-1"), DELETING))
    await store.finalize(second, FINALIZER, DELETED)


async def a_past(path: Path, before_the_log: Callable[[Store], object]) -> Past:
    """Some rounds of `live`, then whatever is done to the log, then some more; and nobody lets go of the database."""
    path.mkdir()
    bus = Bus()
    store = open_store(path, bus=bus)
    states, events = {0: table(store)}, list[Committed]()

    def note(batch: Sequence[Committed]) -> None:
        events.extend(batch)
        states[batch[-1].revision] = table(store)

    bus.listen(note)
    for number in range(ROUNDS):
        await live(store, number)
        if number == ROUNDS // 2:
            before_the_log(store)
    store.abandon()
    return Past(path, states, events)


def nothing(_: Store) -> None:
    """The log goes back to the very first page."""


def folded(store: Store) -> None:
    """The log begins anew over what it had, whose frames still lie behind its end."""
    store._connections[1].select("PRAGMA wal_checkpoint(PASSIVE)")


def frame_ends(log: bytes) -> Iterator[int]:
    """Where each frame ends, those from before the log began anew included."""
    (page,) = struct.unpack(">I", log[8:12])
    return iter(range(HEADER, len(log) + 1, FRAME_HEADER + page))


def copied(past: Past, to: Path, log: bytes) -> Path:
    """The database with that for its log."""
    to.mkdir()
    shutil.copyfile(past.path / "volant.db", to / "volant.db")
    (to / "volant.db-wal").write_bytes(log)
    return to


async def opened(past: Past, directory: Path, *, writes: bool) -> int:
    """Open it, compare it with the past, go on; the revision that was found."""
    async with a_store(directory, uids=counted_uids(1_000_000)) as store:
        revision = store.revision
        assert table(store) == past.states[revision], "objects are those after some commit"
        assert store.events_after(0, 100_000) == past.events[:revision], "events are those up to that commit"
        last = {event.uid: event.revision for event in past.events[:revision]}
        assert all(vm.meta.revision == last[vm.meta.uid] for vm in store.vms())
        if writes:
            new = await store.write(admit(lambda uid, at: a_vm("next", uid=uid, address=at)))
            assert new.meta.revision == revision + 1
            assert new.spec.address not in {vm.spec.address for vm in store.vms() if vm.meta.uid != new.meta.uid}
    return revision


async def at_each(past: Past, tmp_path: Path, logs: Sequence[bytes]) -> list[int]:
    """The revisions that are found with each of these logs. Every tenth store is written to as well."""
    found = []
    for number, log in enumerate(logs):
        directory = copied(past, tmp_path / str(number), log)
        found.append(await opened(past, directory, writes=number % 10 == 0))
        shutil.rmtree(directory)
    return found


BASES = pytest.mark.parametrize("base", [nothing, folded], ids=lambda base: base.__name__)


@BASES
async def test_a_log_that_is_cut_off_anywhere_is_a_prefix_of_the_past(
    base: Callable[[Store], object], tmp_path: Path
) -> None:
    """W1, E3: at every end of a frame, a byte before and after it, and anywhere else; a later cut loses no more."""
    past = await a_past(tmp_path / "past", base)
    log, rng = past.log, random.Random(1)
    near = {end + off for end in frame_ends(log) for off in (-1, 0, 1)}
    cuts = sorted({*near, *(rng.randrange(len(log)) for _ in range(40)), 0, len(log)} & set(range(len(log) + 1)))
    found = await at_each(past, tmp_path, [log[:cut] for cut in cuts])
    assert found == sorted(found)
    assert found[-1] == len(past.events)
    assert set(found) >= {revision for revision in past.states if revision >= found[0]}, "each commit was the last once"


@BASES
async def test_a_page_that_is_torn_ends_the_log_before_its_commit(
    base: Callable[[Store], object], tmp_path: Path
) -> None:
    """W1, E3: half of it is old, or a bit of it fell over: the checksum tells, and nothing after it counts."""
    past = await a_past(tmp_path / "past", base)
    log, rng = past.log, random.Random(2)
    ends = list(frame_ends(log))
    logs = []
    for _ in range(60):
        torn = bytearray(log)
        if rng.random() < 0.5:
            torn[rng.randrange(len(torn))] ^= 1 << rng.randrange(8)
        else:
            end = rng.choice(ends[1:])
            torn[end - 2048 : end] = bytes(2048)
        logs.append(bytes(torn))
    found = await at_each(past, tmp_path, logs)
    assert min(found) < max(found)


@BASES
@pytest.mark.parametrize("size", [1, 4096, 32768, 65536])
async def test_an_index_of_the_log_that_is_garbage_is_made_anew(
    base: Callable[[Store], object], size: int, tmp_path: Path
) -> None:
    """The -shm file is shared memory that outlived whoever shared it: nobody reads what is in it."""
    past = await a_past(tmp_path / "past", base)
    directory = copied(past, tmp_path / "copy", past.log)
    (directory / "volant.db-shm").write_bytes(random.Random(3).randbytes(size))
    assert await opened(past, directory, writes=True) == len(past.events)


async def test_what_was_written_after_a_cut_survives_the_next_one(tmp_path: Path) -> None:
    """W1: frames of the lost future behind the end of the log never come back."""
    past = await a_past(tmp_path / "past", nothing)
    log = past.log
    ends = list(frame_ends(log))
    directory = copied(past, tmp_path / "copy", log[: ends[len(ends) // 2]])
    store = open_store(directory, uids=counted_uids(1_000_000))
    revision = store.revision
    assert revision < len(past.events)
    new = await store.create(a_vm("next"), CREATED)
    store.abandon()
    with (directory / "volant.db-wal").open("ab") as end:
        end.write(log[ends[len(ends) // 2] :])
    with suppress(FileNotFoundError):
        (directory / "volant.db-shm").unlink()
    async with a_store(directory) as store:
        assert store.revision == revision + 1
        assert store.vm("next") == new
