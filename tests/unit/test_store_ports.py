"""Ports of the host that VMs publish: one holder each, from the transaction that says so on."""

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec.structs import replace
from tests.builders.objects import a_vm
from tests.builders.stores import CREATED, DELETED, DELETING, UPDATED, a_store

from volant.errors import AlreadyExists, Conflict
from volant.model.vm import FINALIZER, VM, NetworkConfig, Publish, VMConfig
from volant.store import Store, Transaction


def publishing(*places: tuple[str, int]) -> VMConfig:
    said = tuple(Publish(host_ip=ip, host_port=port, guest_port=80) for ip, port in places)
    return VMConfig(network=NetworkConfig(publish=said))


async def made(store: Store, name: str, *places: tuple[str, int]) -> VM:
    return await store.create(a_vm(name, config=publishing(*places)), CREATED)


async def changed(store: Store, vm: VM, *places: tuple[str, int]) -> VM:
    return await store.write(lambda tx: tx.update_spec(vm, replace(vm.spec, config=publishing(*places)), UPDATED))


@pytest.mark.parametrize(
    ("mine", "theirs"),
    [
        (("127.0.0.1", 8080), ("127.0.0.1", 8080)),
        (("0.0.0.0", 8080), ("127.0.0.1", 8080)),
        (("127.0.0.1", 8080), ("0.0.0.0", 8080)),
    ],
)
async def test_one_place_is_one_vms(tmp_path: Path, mine: tuple[str, int], theirs: tuple[str, int]) -> None:
    """F4: a port that another VM publishes is refused, with that VM's name, and nothing is half done."""
    async with a_store(tmp_path) as store:
        await made(store, "a", mine)
        with pytest.raises(Conflict, match="VM a has") as refused:
            await made(store, "b", ("127.0.0.1", 9090), theirs)
        assert refused.value.code == "port_taken"
        assert refused.value.details["name"] == "a"
        assert store.find(a_vm("b").meta.key) is None
        await made(store, "c", ("127.0.0.1", 9090))


async def test_other_addresses_and_other_ports_are_free(tmp_path: Path) -> None:
    async with a_store(tmp_path) as store:
        await made(store, "a", ("127.0.0.1", 8080))
        await made(store, "b", ("127.0.0.2", 8080), ("127.0.0.1", 8081))


async def test_a_change_lets_go_of_what_it_no_longer_publishes(tmp_path: Path) -> None:
    async with a_store(tmp_path) as store:
        vm = await made(store, "a", ("127.0.0.1", 8080), ("127.0.0.1", 8081))
        vm = await changed(store, vm, ("127.0.0.1", 8081), ("127.0.0.1", 8082))
        other = await made(store, "b", ("127.0.0.1", 8080))
        with pytest.raises(Conflict):
            await changed(store, vm, ("127.0.0.1", 8080))
        with pytest.raises(Conflict):
            await changed(store, other, ("127.0.0.1", 8080), ("127.0.0.1", 8082))
        assert store.vm("b") == other


async def test_a_job_that_lives_with_a_taken_port_has_changed_nothing(tmp_path: Path) -> None:
    async with a_store(tmp_path) as store:
        await made(store, "a", ("127.0.0.1", 8080))
        vm = await made(store, "b", ("127.0.0.1", 9000))

        def lives_with_it(tx: Transaction) -> None:
            config = publishing(("127.0.0.1", 9001), ("127.0.0.1", 8080))
            with pytest.raises(Conflict):
                tx.update_spec(vm, replace(vm.spec, config=config), UPDATED)
            with pytest.raises(AlreadyExists):
                tx.insert(a_vm("a", uid="9" * 32, config=publishing(("127.0.0.1", 9002))), CREATED)

        await store.write(lives_with_it)
        await made(store, "c", ("127.0.0.1", 9001), ("127.0.0.1", 9002))
        with pytest.raises(Conflict):
            await made(store, "d", ("127.0.0.1", 9000))


async def test_ports_go_with_the_row(tmp_path: Path) -> None:
    async with a_store(tmp_path) as store:
        vm = await made(store, "a", ("127.0.0.1", 8080))
        marked = await store.write(lambda tx: tx.mark_deleting(vm, DELETING))
        with pytest.raises(Conflict):
            await made(store, "b", ("127.0.0.1", 8080))
        await store.finalize(marked, FINALIZER, DELETED)
        await made(store, "b", ("127.0.0.1", 8080))


async def swapped(store: Store, *wanted: tuple[VM, tuple[str, int]]) -> None:
    """Each VM publishes what stands beside it, all at once and in that order."""

    def swap(tx: Transaction) -> None:
        with tx.at_once():
            for vm, place in wanted:
                tx.update_spec(vm, replace(vm.spec, config=publishing(place)), UPDATED)

    await store.write(swap)


async def test_ports_change_hands_in_any_order(tmp_path: Path) -> None:
    """F4: of what is written at once nobody has to let go first."""
    one, other = ("127.0.0.1", 8080), ("0.0.0.0", 8081)
    async with a_store(tmp_path) as store:
        a, b = await made(store, "a", one), await made(store, "b", other)
        await swapped(store, (a, other), (b, one))
        with pytest.raises(Conflict, match="VM a has"):
            await made(store, "c", ("127.0.0.1", 8081))
        with pytest.raises(Conflict, match="VM b has"):
            await made(store, "c", one)


async def test_what_is_refused_at_once_has_changed_nothing(tmp_path: Path) -> None:
    """The first of two gets it; the job may go on without both, and has written no event of either."""
    place = ("127.0.0.1", 8080)
    async with a_store(tmp_path) as store:
        a, b = await made(store, "a", ("127.0.0.1", 1)), await made(store, "b", ("127.0.0.1", 2))
        before = store.revision

        def lives_with_it(tx: Transaction) -> str:
            with pytest.raises(Conflict, match=r"VM a has 127\.0\.0\.1:8080") as refused, tx.at_once() as moves:
                for vm in (a, b):
                    tx.update_spec(vm, replace(vm.spec, config=publishing(place)), UPDATED)
                with pytest.raises(AlreadyExists):
                    tx.insert(a_vm("a", uid="9" * 32, config=publishing(("127.0.0.1", 3))), CREATED)
                assert list(moves.settle()) == [b.meta.uid]
            assert not tx.events
            tx.insert(a_vm("c", config=publishing(place, ("127.0.0.1", 3))), CREATED)
            return refused.value.code

        assert await store.write(lives_with_it) == "port_taken"
        assert (store.vm("a"), store.vm("b"), store.revision) == (a, b, before + 1)
        for taken in (("127.0.0.1", 1), ("127.0.0.1", 2), ("127.0.0.1", 3)):
            with pytest.raises(Conflict):
                await made(store, "d", taken)


async def test_who_leaves_lets_go_of_what_is_asked_for_beside_it(tmp_path: Path) -> None:
    """And keeps the rest until its row goes (D2)."""
    async with a_store(tmp_path) as store:
        a = await made(store, "a", ("127.0.0.1", 8080), ("127.0.0.1", 8081))

        def replaced(tx: Transaction) -> VM:
            with tx.at_once():
                tx.insert(a_vm("b", config=publishing(("127.0.0.1", 8080))), CREATED)
                return tx.mark_deleting(a, DELETING)

        marked = await store.write(replaced)
        with pytest.raises(Conflict, match="VM a has"):
            await made(store, "c", ("127.0.0.1", 8081))
        await store.finalize(marked, FINALIZER, DELETED)
        await made(store, "c", ("127.0.0.1", 8081))
        with pytest.raises(Conflict, match="VM b has"):
            await made(store, "d", ("127.0.0.1", 8080))


async def test_a_write_that_is_refused_has_not_said_whose_the_fields_are(tmp_path: Path) -> None:
    async with a_store(tmp_path) as store:
        await made(store, "a", ("127.0.0.1", 8080))
        vm = await made(store, "b")
        said = {"apply": frozenset({"/spec/config/network/publish"})}

        def refused(tx: Transaction) -> None:
            with pytest.raises(Conflict):
                config = publishing(("127.0.0.1", 8080))
                tx.update_spec(vm, replace(vm.spec, config=config), UPDATED, fields=said)

        await store.write(refused)
        assert store.fields(vm.meta.uid) == {}
