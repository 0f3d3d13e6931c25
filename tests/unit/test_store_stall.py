"""A disk that does not answer at all: no error comes, so the time it takes has to tell."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from tests.builders.objects import a_vm
from tests.builders.stores import CREATED, HandClock, a_store

from volant.errors import Unavailable
from volant.store import Store, Transaction
from volant.store.store import STALL_S


@asynccontextmanager
async def a_commit_that_hangs(store: Store) -> AsyncIterator[asyncio.Task[None]]:
    """The writer's thread is held up inside a commit until the end."""
    is_held, release = asyncio.Event(), threading.Event()
    loop = asyncio.get_running_loop()

    def hang(tx: Transaction) -> None:
        loop.call_soon_threadsafe(is_held.set)
        release.wait(60)
        tx.touch()

    write = asyncio.create_task(store.write(hang))
    await is_held.wait()
    try:
        yield write
    finally:
        release.set()
        await write


async def test_writes_are_refused_once_a_commit_takes_too_long(tmp_path: Path) -> None:
    """S4: nobody waits behind it for ever; the end of that commit is the end of the trouble."""
    clock = HandClock()
    async with a_store(tmp_path, clock=clock, inline=False) as store:
        vm = await store.create(a_vm(), CREATED)
        async with a_commit_that_hangs(store):
            store.check_disk()
            assert store.healthy
            clock.forward(STALL_S)
            store.check_disk()
            assert store.trouble == "the disk has not answered for 10 s. Check the disk"
            assert store.in_trouble.is_set()
            with pytest.raises(Unavailable, match="has not answered"):
                await store.create(a_vm("web-2"), CREATED)
            assert not await store.probe()
            assert store.vm("web-1") == vm
        await store.create(a_vm("web-3"), CREATED)
        assert store.healthy
        assert not store.in_trouble.is_set()


async def test_a_write_that_was_given_up_does_not_hide_the_stall(tmp_path: Path) -> None:
    """S4: whoever waited may be gone; the disk still has not answered."""
    clock = HandClock()
    async with a_store(tmp_path, clock=clock, inline=False) as store:
        is_held, release = threading.Event(), threading.Event()

        def hang(_: Transaction) -> None:
            is_held.set()
            release.wait(60)

        write = asyncio.create_task(store.write(hang))
        await asyncio.to_thread(is_held.wait, 60)
        write.cancel()
        await asyncio.wait([write])
        clock.forward(STALL_S)
        store.check_disk()
        assert not store.healthy
        release.set()


async def test_a_store_at_rest_is_never_stalled(tmp_path: Path) -> None:
    clock = HandClock()
    async with a_store(tmp_path, clock=clock, inline=False) as store:
        clock.forward(1e6)
        store.check_disk()
        await store.create(a_vm(), CREATED)
        clock.forward(1e6)
        store.check_disk()
        assert store.healthy
