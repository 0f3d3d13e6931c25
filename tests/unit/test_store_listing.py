"""What a list is read from: positions and revisions, by filter and order, without a document."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.builders.objects import a_deployment, a_vm, running_status, uid_of
from tests.builders.stores import a_store, told

from volant.clock import Uid
from volant.model.vm import VM
from volant.store import Filter, Store

VMS = Filter(kind="VM")


async def _fill(store: Store) -> None:
    web = a_deployment("web")
    await store.create(web, told("deployment.created"))
    await store.create(a_vm("c", owner=web), told("vm.created"))
    await store.create(a_vm("a", plugin="other", status=running_status()), told("vm.created"))
    await store.create(a_vm("b%_", owner=web), told("vm.created"))


def _names(store: Store, asked: Filter) -> list[str]:
    found = [store.read_at(asked.kind, "seq", position) for position, _ in store.rows(asked)]
    assert len(found) == store.how_many(asked)
    return [obj.meta.name for obj in found if obj is not None]


@pytest.mark.parametrize(
    ("asked", "names"),
    [
        (VMS, ["c", "a", "b%_"]),
        (Filter(kind="Deployment"), ["web"]),
        (Filter(kind="Plugin"), []),
        (Filter(kind="VM", plugin="other"), ["a"]),
        (Filter(kind="VM", is_running=True), ["a"]),
        (Filter(kind="VM", is_running=False), ["c", "b%_"]),
        (Filter(kind="VM", owners=(uid_of("web", "Deployment"),)), ["c", "b%_"]),
        (Filter(kind="VM", owners=(None,)), ["a"]),
        (Filter(kind="VM", owners=(None, uid_of("web", "Deployment"))), []),
        (Filter(kind="VM", name_part="%_"), ["b%_"]),
        (Filter(kind="VM", name_part="%"), ["b%_"]),
        (Filter(kind="VM", name_part="' OR 1=1 --"), []),
        (Filter(kind="VM", name_part=""), ["c", "a", "b%_"]),
        (Filter(kind="VM", plugin="hello", is_running=False, name_part="c"), ["c"]),
    ],
)
async def test_all_conditions_must_hold(tmp_path: Path, asked: Filter, names: list[str]) -> None:
    async with a_store(tmp_path) as store:
        await _fill(store)
        assert _names(store, asked) == names


async def test_a_row_says_what_was_written_last(tmp_path: Path) -> None:
    async with a_store(tmp_path) as store:
        await _fill(store)
        vm = await store.update_status(store.vm("c"), running_status(), told("vm.started"))
        rows = store.rows(VMS, "name")
        assert rows == [(name, store.vm(name).meta.revision) for name in ("a", "b%_", "c")]
        assert rows[-1] == ("c", vm.meta.revision)
        assert store.revisions([vm.meta.uid, Uid("nobody")]) == {vm.meta.uid: vm.meta.revision}


async def test_a_list_goes_on_after_a_position(tmp_path: Path) -> None:
    async with a_store(tmp_path) as store:
        await _fill(store)
        by_name = [name for name, _ in store.rows(VMS, "name", after="a")]
        assert by_name == ["b%_", "c"]
        assert [name for name, _ in store.rows(VMS, "name", is_descending=True, after="c", limit=1)] == ["b%_"]
        assert [name for name, _ in store.rows(VMS, "name", limit=1, offset=1)] == ["b%_"]
        first, *rest = store.rows(VMS)
        assert store.rows(VMS, after=first[0]) == rest
        assert store.rows(VMS, is_descending=True) == [*reversed(rest), first]


async def test_a_position_whose_object_has_gone_is_nobody_s(tmp_path: Path) -> None:
    async with a_store(tmp_path) as store:
        await _fill(store)
        found = store.read_at("VM", "name", "c")
        assert isinstance(found, VM)
        assert store.read_at("VM", "name", "nope") is None
        assert store.read_at("Plugin", "name", "c") is None
        assert store.read_at("VM", "seq", 999) is None
