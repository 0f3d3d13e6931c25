"""A pool of addresses for each network mode."""

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec.structs import replace
from tests.builders.objects import a_vm, uid_of
from tests.builders.stores import CREATED, DELETED, DELETING, UPDATED, a_store

from volant.clock import Uid
from volant.errors import Invalid, StartupError
from volant.model.vm import FINALIZER, VM, NetworkMode
from volant.store import Store, Transaction

USER, BRIDGE = "127.88.0.0/24", "10.127.0.0/24"
BOTH: dict[NetworkMode, str] = {"user": USER, "bridge": BRIDGE}


async def made(store: Store, name: str, mode: NetworkMode | None = None) -> VM:
    uid = uid_of(name)
    return await store.write(lambda tx: tx.insert(a_vm(name, uid=uid, address=tx.allocate_address(uid, mode)), CREATED))


async def moved(store: Store, vm: VM, mode: NetworkMode) -> VM:
    def job(tx: Transaction) -> VM:
        address = tx.allocate_address(vm.meta.uid, mode)
        return tx.update_spec(vm, replace(vm.spec, address=address, grace_s=vm.spec.grace_s + 1), UPDATED)

    return await store.write(job)


async def test_each_mode_has_addresses_of_its_own(tmp_path: Path) -> None:
    async with a_store(tmp_path, pool=BOTH) as store:
        assert (await made(store, "a", "user")).spec.address == "127.88.0.10"
        assert (await made(store, "b", "bridge")).spec.address == "10.127.0.10"
        assert (await made(store, "c")).spec.address == "127.88.0.11", "the mode of a VM that asks for none"
        assert (await made(store, "d", "dhcp")).spec.address is None


async def test_the_mode_of_a_daemon_decides_for_those_that_ask_for_none(tmp_path: Path) -> None:
    async with a_store(tmp_path, pool=BOTH, mode="bridge") as store:
        assert (await made(store, "a")).spec.address == "10.127.0.10"


async def test_a_vm_that_changes_its_mode_keeps_the_address_of_its_running_guest_until_it_goes(tmp_path: Path) -> None:
    async with a_store(tmp_path, pool=BOTH) as store:
        vm = await moved(store, await made(store, "a"), "bridge")
        assert vm.spec.address == "10.127.0.10"
        assert (await made(store, "b")).spec.address == "127.88.0.11", "a's guest may still have the first"
        back = await moved(store, vm, "user")
        assert back.spec.address == "127.88.0.10"
        await store.finalize(await store.write(lambda tx: tx.mark_deleting(back, DELETING)), FINALIZER, DELETED)
        assert (await made(store, "c")).spec.address == "127.88.0.10"
        assert (await made(store, "d", "bridge")).spec.address == "10.127.0.10"


async def test_an_address_that_a_change_did_not_use_goes_back(tmp_path: Path) -> None:
    async with a_store(tmp_path, pool=BOTH) as store:
        vm = await made(store, "a")
        await store.write(lambda tx: tx.allocate_address(vm.meta.uid, "bridge"))
        assert (await made(store, "b", "bridge")).spec.address == "10.127.0.10"


async def test_an_address_that_was_not_handed_out_cannot_be_taken_by_a_change(tmp_path: Path) -> None:
    async with a_store(tmp_path, pool=BOTH) as store:
        vm = await made(store, "a")
        with pytest.raises(Invalid, match="handed out"):
            await store.write(lambda tx: tx.update_spec(vm, replace(vm.spec, address="10.127.0.99"), UPDATED))


async def test_a_pool_with_holders_is_not_changed_and_that_of_another_mode_is(tmp_path: Path) -> None:
    async with a_store(tmp_path, pool=BOTH) as store:
        await made(store, "a", "bridge")
    with pytest.raises(StartupError, match=r"addresses of 10\.127\.0\.0/24 are held \(1\)"):
        async with a_store(tmp_path, pool={**BOTH, "bridge": "10.128.0.0/24"}):
            pass
    async with a_store(tmp_path, pool={**BOTH, "user": "127.99.0.0/24"}) as store:
        assert (await made(store, "b", "user")).spec.address == "127.99.0.10"
        assert (await made(store, "c", "bridge")).spec.address == "10.127.0.11"


async def test_a_mode_that_is_switched_off_keeps_what_is_held(tmp_path: Path) -> None:
    async with a_store(tmp_path, pool=BOTH) as store:
        held = await made(store, "a", "bridge")
    async with a_store(tmp_path, pool=USER) as store:
        assert store.vm("a").spec.address == held.spec.address
        assert (await made(store, "b")).spec.address == "127.88.0.10"
        assert (await made(store, "c", "bridge")).spec.address is None
    async with a_store(tmp_path, pool=BOTH) as store:
        assert (await made(store, "d", "bridge")).spec.address == "10.127.0.11"


async def test_pools_that_share_addresses_are_refused(tmp_path: Path) -> None:
    with pytest.raises(StartupError, match="shares addresses"):
        async with a_store(tmp_path, pool={"user": USER, "bridge": "127.88.0.128/25"}):
            pass
    async with a_store(tmp_path, pool=BOTH):
        pass
    with pytest.raises(StartupError, match="shares addresses"):
        async with a_store(tmp_path, pool={"user": "10.127.0.0/16"}):
            pass


async def test_a_database_with_the_one_pool_of_old_goes_on(tmp_path: Path) -> None:
    async with a_store(tmp_path, pool=USER) as store:
        await made(store, "a")
        await store.write(lambda tx: tx._execute("UPDATE head SET pool = ?", (USER,)))
    async with a_store(tmp_path, pool=BOTH) as store:
        assert (await made(store, "b")).spec.address == "127.88.0.11"
        assert (await made(store, "c", "bridge")).spec.address == "10.127.0.10"


async def test_what_a_failed_insert_was_handed_out_goes_back(tmp_path: Path) -> None:
    async with a_store(tmp_path, pool=BOTH) as store:
        await store.write(lambda tx: tx.allocate_address(Uid("f" * 32), "bridge"))
        assert (await made(store, "a", "bridge")).spec.address == "10.127.0.10"
