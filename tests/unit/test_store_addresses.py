"""Addresses: lowest first, unique, back to the pool with the row."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.builders.objects import a_vm, uid_of
from tests.builders.stores import CREATED, DELETED, DELETING, UPDATED, a_store, admit, open_store

from volant.clock import Uid
from volant.errors import AlreadyExists, Conflict, Invalid, StartupError
from volant.model.vm import FINALIZER, VM
from volant.store import Store, Transaction
from volant.store.addresses import parse_pool


async def admitted(store: Store, *names: str) -> list[str | None]:
    made = [
        await store.write(admit(lambda uid, address, n=name: a_vm(n, uid=uid, address=address)))  # type: ignore[misc]
        for name in names
    ]
    return [vm.spec.address for vm in made]


async def removed(store: Store, name: str) -> None:
    marked = await store.write(lambda tx: tx.mark_deleting(tx.get(a_vm(name).meta.key), DELETING))
    await store.finalize(marked, FINALIZER, DELETED)


def test_a_pool_leaves_out_the_first_hosts_and_the_broadcast_address() -> None:
    pool = parse_pool("127.88.0.0/16")
    assert (pool.first, pool.last) == (0x7F58000A, 0x7F58FFFE)


@pytest.mark.parametrize("text", ["nonsense", "127.88.0.1/16", "127.88.0.0/29", "::1/64"])
def test_what_is_no_pool_is_refused_in_one_sentence(text: str) -> None:
    with pytest.raises(StartupError, match=r"^cannot use .* as the address pool: .*\. Give "):
        parse_pool(text)


async def test_the_first_address_is_the_tenth_host(tmp_path: Path) -> None:
    async with a_store(tmp_path, pool="127.88.0.0/16") as store:
        assert await admitted(store, "a", "b") == ["127.88.0.10", "127.88.0.11"]


async def test_the_lowest_free_address_is_handed_out(tmp_path: Path) -> None:
    async with a_store(tmp_path) as store:
        await admitted(store, "a", "b", "c", "d")
        await removed(store, "c")
        await removed(store, "b")
        assert await admitted(store, "e", "f", "g") == ["127.88.0.11", "127.88.0.12", "127.88.0.14"]


async def test_an_address_is_held_as_long_as_the_row(tmp_path: Path) -> None:
    """Released with the row, not when the deletion is asked for."""
    async with a_store(tmp_path) as store:
        await admitted(store, "a")
        marked = await store.write(lambda tx: tx.mark_deleting(tx.get(a_vm("a").meta.key), DELETING))
        assert await admitted(store, "b") == ["127.88.0.11"]
        await store.finalize(marked, FINALIZER, DELETED)
        assert await admitted(store, "c") == ["127.88.0.10"]


async def test_an_exhausted_pool_says_so_and_recovers(tmp_path: Path) -> None:
    async with a_store(tmp_path, pool="127.88.0.0/28") as store:
        assert await admitted(store, *"abcde") == [f"127.88.0.{n}" for n in range(10, 15)]
        with pytest.raises(Conflict) as refused:
            await admitted(store, "f")
        assert refused.value.code == "addresses_exhausted"
        assert store.find(a_vm("f").meta.key) is None
        await removed(store, "c")
        assert await admitted(store, "f") == ["127.88.0.12"]


async def test_asking_twice_gives_the_same_address(tmp_path: Path) -> None:
    async with a_store(tmp_path) as store:

        def job(tx: Transaction) -> tuple[str | None, str | None]:
            uid = tx.new_uid()
            both = tx.allocate_address(uid), tx.allocate_address(uid)
            tx.insert(a_vm(uid=uid, address=both[0]), CREATED)
            return both

        assert await store.write(job) == ("127.88.0.10", "127.88.0.10")


async def test_an_address_that_no_object_came_to_hold_goes_back(tmp_path: Path) -> None:
    async with a_store(tmp_path) as store:
        await store.write(lambda tx: tx.allocate_address(Uid("f" * 32)))
        assert await admitted(store, "a") == ["127.88.0.10"]


async def test_a_failed_job_hands_out_nothing(tmp_path: Path) -> None:
    async with a_store(tmp_path) as store:
        await admitted(store, "a")
        with pytest.raises(AlreadyExists):
            await admitted(store, "a")
        assert await admitted(store, "b") == ["127.88.0.11"]


async def test_a_job_that_lives_with_a_taken_name_keeps_no_address(tmp_path: Path) -> None:
    async with a_store(tmp_path) as store:
        await admitted(store, "a")

        def unless_there(tx: Transaction) -> None:
            uid = tx.new_uid()
            with pytest.raises(AlreadyExists):
                tx.insert(a_vm("a", uid=uid, address=tx.allocate_address(uid)), CREATED)

        await store.write(unless_there)
        assert await admitted(store, "b") == ["127.88.0.11"]


async def test_an_object_may_come_with_a_free_address_of_the_pool(tmp_path: Path) -> None:
    async with a_store(tmp_path) as store:
        await store.create(a_vm("a", address="127.88.0.12"), CREATED)
        assert await admitted(store, "b", "c", "d") == ["127.88.0.10", "127.88.0.11", "127.88.0.13"]


@pytest.mark.parametrize("address", ["127.88.0.10", "127.88.0.9", "127.88.0.255", "10.0.0.10"])
async def test_two_vms_never_share_an_address(tmp_path: Path, address: str) -> None:
    async with a_store(tmp_path) as store:
        await admitted(store, "a")
        with pytest.raises(Conflict) as refused:
            await store.create(a_vm("b", address=address), CREATED)
        assert refused.value.code == "address_taken"
        assert store.find(a_vm("b").meta.key) is None


async def test_what_is_no_address_is_refused(tmp_path: Path) -> None:
    async with a_store(tmp_path) as store:
        with pytest.raises(Invalid):
            await store.create(a_vm("b", address="somewhere"), CREATED)


async def test_a_vm_keeps_its_address(tmp_path: Path) -> None:
    async with a_store(tmp_path) as store:
        vm = await store.write(admit(lambda uid, address: a_vm(uid=uid, address=address)))
        elsewhere = a_vm(address="127.88.0.77").spec
        with pytest.raises(Invalid, match="cannot give VM web-1 another address"):
            await store.write(lambda tx: tx.update_spec(vm, elsewhere, UPDATED))


async def test_a_uid_holds_one_address_only(tmp_path: Path) -> None:
    async with a_store(tmp_path) as store:
        await store.create(a_vm("a", uid=uid_of("x"), address="127.88.0.20"), CREATED)
        with pytest.raises(Conflict):
            await store.create(a_vm("b", uid=uid_of("x"), address="127.88.0.21"), CREATED)


async def test_addresses_survive_a_restart(tmp_path: Path) -> None:
    async with a_store(tmp_path) as store:
        await admitted(store, "a", "b")
        await removed(store, "a")
    async with a_store(tmp_path) as store:
        vm: VM = store.vm("b")
        assert vm.spec.address == "127.88.0.11"
        store_uids = [f"{n:032x}" for n in (100, 101)]
        made = [
            await store.write(
                lambda tx, u=uid: tx.insert(a_vm(u[-3:], uid=u, address=tx.allocate_address(Uid(u))), CREATED)  # type: ignore[misc]
            )
            for uid in store_uids
        ]
        assert [m.spec.address for m in made] == ["127.88.0.10", "127.88.0.12"]


async def test_another_pool_is_refused_while_addresses_are_held(tmp_path: Path) -> None:
    async with a_store(tmp_path) as store:
        await admitted(store, "a")
    with pytest.raises(
        StartupError, match=r"cannot use 127\.99\.0\.0/24 as the address pool: addresses of 127\.88\.0\.0/24 are"
    ):
        open_store(tmp_path, pool="127.99.0.0/24")
    async with a_store(tmp_path) as store:
        await removed(store, "a")
    async with a_store(tmp_path, pool="127.99.0.0/24") as store:
        vm = await store.write(lambda tx: tx.insert(a_vm("z", uid="9", address=tx.allocate_address(Uid("9"))), CREATED))
        assert vm.spec.address == "127.99.0.10"
