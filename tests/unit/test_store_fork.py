"""A copy of a database in memory: everything but the past, and what the past says of stops."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest
from tests.builders.objects import a_plugin, a_vm
from tests.builders.stores import HandClock, a_store, counted_uids, told

from volant.bus import Bus
from volant.errors import ForecastTooLarge, Unavailable
from volant.model.meta import Key
from volant.model.vm import VM, VMStatus
from volant.store import Fork, Store, Transaction


def deleting(vm: VM, tx: Transaction) -> VM:
    return tx.mark_deleting(vm, told("vm.deleting"))


def opened(path: Path, *, most: int = 100) -> Store:
    fork = Fork(path, most=most)
    return fork.store(
        bus=Bus(), clock=HandClock(), uids=counted_uids(900), pools={"user": "127.88.0.0/24"}, mode="user"
    )


async def test_a_copy_has_every_object_and_no_event(tmp_path: Path) -> None:
    async with a_store(tmp_path) as store:
        await store.create(a_plugin(), told("plugin.installed"))
        vm = await store.write(
            lambda tx: tx.insert(a_vm("web-1", address=tx.allocate_address(a_vm("web-1").meta.uid)), told("vm.created"))
        )
        copy = opened(store.path)
        assert copy.find(Key("VM", "web-1")) == vm
        assert [one.meta.name for one in copy.plugins()] == [one.meta.name for one in store.plugins()]
        assert (copy.revision, copy.oldest_event) == (store.revision, store.revision)
        assert copy.events_after(copy.revision, 10) == []
        await copy.close()


async def test_what_is_written_to_a_copy_stays_there(tmp_path: Path) -> None:
    """And what it hands out is what the original has free, as the copy was made."""
    async with a_store(tmp_path) as store:
        before = store.revision
        copy = opened(store.path)
        made = await copy.write(
            lambda tx: tx.insert(a_vm("new", address=tx.allocate_address(a_vm("new").meta.uid)), told("vm.created"))
        )
        assert isinstance(made, VM)
        assert copy.find(Key("VM", "new")) == made
        assert (copy.revision, store.revision) == (before + 1, before)
        assert store.find(Key("VM", "new")) is None
        store.check_epoch()  # because nobody has been deposed
        await copy.close()


async def test_the_past_tells_how_long_guests_took_to_stop(tmp_path: Path) -> None:
    """From when the guest was asked until its row was gone; what was gone without being asked says nothing."""
    clock = HandClock()
    async with a_store(tmp_path, clock=clock) as store:
        for name, reason, took_s in (("one", "Stopping", 3.0), ("two", "Stopping", 5.0), ("three", None, 7.0)):
            vm = await store.create(a_vm(name), told("vm.created"))
            vm = await store.write(partial(deleting, vm))
            vm = await store.update_status(vm, VMStatus(failures=1), told("vm.updated", reason=reason))
            clock.forward(took_s)
            await store.finalize(vm, vm.meta.finalizers[0], told("vm.deleted"))
        assert Fork(store.path, most=100).stops == {vm.spec.plugin: [5.0, 3.0]}


async def test_too_much_and_what_is_none_are_refused(tmp_path: Path) -> None:
    async with a_store(tmp_path) as store:
        await store.create(a_plugin(), told("plugin.installed"))
        await store.create(a_vm("web-1"), told("vm.created"))
        with pytest.raises(ForecastTooLarge, match="2 objects, and a forecast is of 1") as raised:
            Fork(store.path, most=1)
        assert raised.value.details == {"objects": 2, "limit": 1}
    (tmp_path / "other.db").write_bytes(b"no database" * 100)
    with pytest.raises(Unavailable, match=r"cannot read other\.db"):
        Fork(tmp_path / "other.db", most=1)
    with pytest.raises(Unavailable, match=r"cannot read nothing\.db"):
        Fork(tmp_path / "nothing.db", most=1)
