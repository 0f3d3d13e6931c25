"""Two stores on one database: the last one writes, and the other one can do no harm any more."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
from tests.builders.objects import a_vm, running_status
from tests.builders.stores import CREATED, STARTED, HandClock, a_store, open_store

from volant.bus import Bus
from volant.errors import Fenced, Unavailable
from volant.model.event import Committed
from volant.store import Holder, Store

ME = Holder(node="host-1", pid=4242, start_ticks=7, boot_id="b")
HER = Holder(node="host-2", pid=77, start_ticks=8, boot_id="c")

BOTH = pytest.mark.parametrize("inline", [True, False], ids=["inline", "thread"])


def lease(directory: Path) -> tuple[int, object]:
    """The row as it is on the disk."""
    database = sqlite3.connect(directory / "volant.db")
    ((epoch, holder),) = database.execute("SELECT epoch, holder FROM lease").fetchall()
    database.close()
    return epoch, holder


async def fenced(store: Store) -> str:
    """What a write is told, which must be that."""
    with pytest.raises(Fenced) as error:
        await store.create(a_vm("of-the-deposed"), CREATED)
    return error.value.message


async def test_each_that_opens_begins_another_epoch(tmp_path: Path) -> None:
    """S2"""
    for epoch in (1, 2, 3):
        async with a_store(tmp_path) as store:
            assert store.epoch == epoch
            assert not store.deposed.is_set()


@BOTH
async def test_the_deposed_one_writes_nothing_and_tells_nobody(tmp_path: Path, inline: bool) -> None:
    """S3, E3: no row, no event, no revision; what the other one writes stands."""
    published: list[Committed] = []
    bus = Bus()
    bus.listen(published.extend)
    async with a_store(tmp_path, bus=bus, inline=inline) as old:
        vm = await old.create(a_vm(), CREATED)
        async with a_store(tmp_path, inline=inline, holder=HER) as new:
            assert "pid 77 on host-2" in await fenced(old)
            with pytest.raises(Fenced):
                await old.update_status(vm, running_status(), STARTED)
            await new.update_status(vm, running_status(), STARTED)
            await fenced(old)
            assert [event.revision for event in published] == [1]
            assert [event.type for event in new.events_after(0, 10)] == ["vm.created", "vm.started"]
            assert (new.revision, new.count("VM"), new.healthy) == (2, 1, True)


@BOTH
async def test_the_deposed_one_is_so_for_good(tmp_path: Path, inline: bool) -> None:
    """S3: no probe heals it, whatever becomes of its successor."""
    async with a_store(tmp_path, inline=inline) as old:
        async with a_store(tmp_path, inline=inline):
            pass
        assert not await old.probe()
        await fenced(old)
        assert (old.healthy, old.deposed.is_set(), old.in_trouble.is_set()) == (False, True, True)
        assert old.trouble == "another daemon has taken over this data directory"


async def test_no_step_of_the_deposed_one_is_confirmed(tmp_path: Path) -> None:
    """S3: it need not have tried to write before; reading goes on."""
    async with a_store(tmp_path) as old:
        vm = await old.create(a_vm(), CREATED)
        old.confirm(vm)
        old.check_epoch()
        new = open_store(tmp_path)
        assert not old.deposed.is_set()
        with pytest.raises(Fenced):
            old.confirm(vm)
        assert old.deposed.is_set()
        with pytest.raises(Fenced):
            old.check_epoch()
        with pytest.raises(Fenced):
            await old.update_status(vm, vm.status, STARTED)
        assert old.vm("web-1") == vm
        new.confirm(vm)
        await new.close()


async def test_the_deposed_one_compacts_nothing(tmp_path: Path) -> None:
    """S3, W10"""
    clock = HandClock()
    async with a_store(tmp_path, clock=clock, event_keep_s=1.0) as old:
        await old.create(a_vm(), CREATED)
        async with a_store(tmp_path) as new:
            clock.forward(100.0)  # every event is too old for the deposed one
            outcome = old._committer.compact()
            assert outcome is not None
            assert outcome.fenced is not None
            assert len(new.events_after(0, 10)) == 1


@BOTH
async def test_the_deposed_one_lets_go_of_nothing_that_is_not_its_own(tmp_path: Path, inline: bool) -> None:
    """S3: its end does not look like the end of its successor."""
    old = open_store(tmp_path, inline=inline, holder=ME)
    await old.create(a_vm(), CREATED)
    async with a_store(tmp_path, inline=inline, holder=HER) as new:
        await old.close()
        epoch, holder = lease(tmp_path)
        assert epoch == 2
        assert holder is not None
        await new.create(a_vm("web-2"), CREATED)


@BOTH
async def test_who_has_let_go_is_no_predecessor(tmp_path: Path, inline: bool) -> None:
    """S2: a clean end leaves nobody to wait for; a killed one may still live for all the database knows."""
    store = open_store(tmp_path, inline=inline, holder=ME)
    await store.create(a_vm(), CREATED)
    await store.close()
    store = open_store(tmp_path, inline=inline, holder=HER)
    assert store.predecessor is None
    await store.create(a_vm("web-2"), CREATED)
    store.abandon()
    async with a_store(tmp_path, inline=inline) as store:
        assert store.predecessor == HER


async def test_a_store_that_never_wrote_lets_go_as_well(tmp_path: Path) -> None:
    """S2"""
    async with a_store(tmp_path, inline=False, holder=ME):
        assert lease(tmp_path)[1] is not None
    assert lease(tmp_path) == (1, None)


async def test_a_holder_that_cannot_be_read_is_nobody(tmp_path: Path) -> None:
    """A later version may say more of itself, or less."""
    async with a_store(tmp_path):
        pass
    with sqlite3.connect(tmp_path / "volant.db") as database:
        database.execute("UPDATE lease SET holder = ?", (b'{"node": 1}',))
    database.close()
    async with a_store(tmp_path) as store:
        assert store.predecessor is None


async def test_a_deposed_daemon_answers_as_one_that_cannot_write(tmp_path: Path) -> None:
    """S3: 503 and another try, which another daemon may answer."""
    async with a_store(tmp_path) as old, a_store(tmp_path):
        with pytest.raises(Unavailable) as error:
            await old.create(a_vm(), CREATED)
    assert (error.value.code, error.value.status) == ("fenced", 503)
