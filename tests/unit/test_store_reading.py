"""Reading: by key, by uid, by owner; counts that agree with the documents."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from msgspec.structs import replace
from tests.builders.objects import NOW, a_deployment, a_plugin, a_vm, running_status, stopped_status, uid_of
from tests.builders.stores import CREATED, DELETED, DELETING, STARTED, a_store, told

from volant.errors import Conflict, NotFound
from volant.model.deployment import Deployment
from volant.model.meta import Key
from volant.model.vm import FINALIZER
from volant.store import Child, Store, Tally


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    async with a_store(tmp_path) as opened:
        yield opened


@pytest.fixture
async def web(store: Store) -> Deployment:
    """A deployment with four VMs: ready, running, not running, on its way out; among VMs of nobody's."""
    owner = await store.create(a_deployment("web"), told("deployment.created"))
    await store.create(a_vm("lone", plugin="other", status=running_status()), CREATED)
    await store.create(a_vm("web-4", owner=owner, status=running_status()), CREATED)
    await store.create(a_vm("web-2", owner=owner, status=running_status(ready=False)), CREATED)
    await store.create(a_vm("web-1", owner=owner), CREATED)
    await store.create(a_vm("web-3", owner=owner, status=running_status(), deleting=True), CREATED)
    return owner


async def test_objects_are_found_by_key_and_by_uid(store: Store, web: Deployment) -> None:
    vm = store.vm("web-2")
    assert store.find(Key("VM", "web-2")) == vm == store.find_uid(uid_of("web-2"))
    assert store.deployment("web") == web == store.find_uid(web.meta.uid)
    assert store.find(Key("VM", "web")) is None
    assert store.find_uid(uid_of("nobody")) is None


async def test_a_missing_object_is_not_found_by_its_kind(store: Store) -> None:
    for read, code in (
        (store.vm, "vm_not_found"),
        (store.deployment, "deployment_not_found"),
        (store.plugin, "plugin_not_found"),
    ):
        with pytest.raises(NotFound) as refused:
            read("nobody")
        assert refused.value.code == code
        assert refused.value.details == {"name": "nobody"}


async def test_lists_are_in_the_order_of_creation(store: Store, web: Deployment) -> None:
    assert [vm.meta.name for vm in store.vms()] == ["lone", "web-4", "web-2", "web-1", "web-3"]
    assert [vm.meta.name for vm in store.vms(limit=2, offset=1)] == ["web-4", "web-2"]
    assert [vm.meta.name for vm in store.vms(offset=4)] == ["web-3"]
    assert store.vms(limit=0) == []
    assert store.deployments() == [web]
    assert store.deployments(offset=1) == []


async def test_lists_are_of_one_owner_or_one_plugin(store: Store, web: Deployment) -> None:
    assert [vm.meta.name for vm in store.vms(owner=web.meta.uid)] == ["web-4", "web-2", "web-1", "web-3"]
    assert [vm.meta.name for vm in store.vms(plugin="other")] == ["lone"]
    assert [vm.meta.name for vm in store.vms(owner=web.meta.uid, plugin="hello", limit=1)] == ["web-4"]
    assert store.vms(owner=uid_of("nobody")) == []


async def test_an_updated_object_keeps_its_place(store: Store, web: Deployment) -> None:
    await store.update_status(store.vm("lone"), stopped_status(), told("vm.stopped"))
    assert store.keys("VM")[0] == Key("VM", "lone")


async def test_keys_and_uids_are_of_one_kind(store: Store, web: Deployment) -> None:
    await store.create(a_plugin("hello"), told("plugin.installed"))
    assert store.keys("Plugin") == [Key("Plugin", "hello")]
    assert store.plugins() == [store.plugin("hello")]
    assert store.keys("VM", plugin="other") == [Key("VM", "lone")]
    assert store.keys("Deployment", plugin="hello") == [Key("Deployment", "web")]
    assert store.uids("Deployment") == {web.meta.uid}
    assert store.uids("VM") == {vm.meta.uid for vm in store.vms()}


async def test_counts_agree_with_the_documents(store: Store, web: Deployment) -> None:
    assert store.count("VM") == 5
    assert store.count("VM", plugin="hello") == 4
    assert store.count("VM", running=True) == 3
    assert store.count("VM", plugin="hello", running=True) == 2
    assert store.count("VM", running=False) == 2
    assert store.count("Plugin") == 0


async def test_children_say_what_their_documents_say(store: Store, web: Deployment) -> None:
    assert store.children(web.meta.uid) == [
        Child("web-4", uid_of("web-4"), 3, True, True, False, None, NOW),
        Child("web-2", uid_of("web-2"), 4, True, False, False),
        Child("web-1", uid_of("web-1"), 5, False, False, False),
        Child("web-3", uid_of("web-3"), 6, False, False, True),
    ]
    assert all(type(flag) is bool for child in store.children(web.meta.uid) for flag in child[3:6])


async def test_children_follow_every_write(store: Store, web: Deployment) -> None:
    vm = await store.update_status(store.vm("web-1"), running_status(), STARTED)
    assert Child("web-1", vm.meta.uid, 7, True, True, False, None, NOW) in store.children(web.meta.uid)
    marked = await store.write(lambda tx: tx.mark_deleting(vm, DELETING))
    assert Child("web-1", vm.meta.uid, 8, False, False, True) in store.children(web.meta.uid)
    await store.finalize(marked, FINALIZER, DELETED)
    assert [child.name for child in store.children(web.meta.uid)] == ["web-4", "web-2", "web-3"]


async def test_the_tally_counts_the_children(store: Store, web: Deployment) -> None:
    assert store.tally(web.meta.uid) == Tally(total=4, running=2, ready=1, deleting=1)
    assert store.tally(uid_of("nobody")) == Tally(0, 0, 0, 0)


async def test_children_are_owned_by_uid(store: Store, web: Deployment) -> None:
    """D5: an owner of the same name and another uid has no children here."""
    assert store.children(uid_of("web", "VM")) == []


async def test_only_the_stored_object_is_confirmed(store: Store) -> None:
    """V12, V11"""
    seen = await store.create(a_vm(), CREATED)
    store.confirm(seen)
    newer = await store.update_status(seen, running_status(), STARTED)
    with pytest.raises(Conflict, match="cannot go on with VM web-1 at revision 1: it is at revision 2") as refused:
        store.confirm(seen)
    assert refused.value.details == {"name": "web-1", "revision": 2}
    store.confirm(newer)
    with pytest.raises(Conflict, match="it is gone"):
        store.confirm(replace(newer, meta=replace(newer.meta, uid=uid_of("an-older-one"))))


async def test_what_is_gone_is_not_confirmed(store: Store) -> None:
    """V12"""
    seen = await store.create(a_vm(), CREATED)
    marked = await store.write(lambda tx: tx.mark_deleting(seen, DELETING))
    await store.finalize(marked, FINALIZER, DELETED)
    with pytest.raises(Conflict, match="it is gone") as refused:
        store.confirm(marked)
    assert refused.value.details == {"name": "web-1", "revision": None}


async def test_a_snapshot_is_of_one_commit(store: Store, tmp_path: Path) -> None:
    """W1: list at a revision, then watch from there."""
    await store.create(a_vm(), CREATED)
    other = sqlite3.connect(tmp_path / "volant.db", isolation_level=None)
    with store.snapshot() as revision:
        other.execute("UPDATE head SET revision = 7")
        other.execute("DELETE FROM objects")
        assert revision == 1
        assert [vm.meta.name for vm in store.vms()] == ["web-1"]
    with store.snapshot() as revision:
        assert (revision, store.vms()) == (7, [])
    other.close()


async def test_a_snapshot_ends_with_an_error_too(store: Store) -> None:
    with pytest.raises(NotFound), store.snapshot():
        store.vm("nobody")
    await store.create(a_vm(), CREATED)
    assert store.vm("web-1").meta.revision == 1
