"""The history of a config is written with the config, and goes with the VM."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace
from tests.builders.objects import NOW, a_deployment, a_plugin, a_vm, owner_of, running_status
from tests.builders.stores import CREATED, DELETED, DELETING, STARTED, a_store, told

from volant.errors import Conflict
from volant.model.event import Happening
from volant.model.history import digest
from volant.model.vm import FINALIZER, VM, Resources, VMConfig
from volant.store import Store, StoreSettings, Transaction
from volant.store.database import open_writing
from volant.store.schema import MIGRATIONS, migrate

BY_API = Happening(type="vm.updated", actor="api", request_id="r-1")


async def configured(store: Store, vm: VM, said: Happening = BY_API, **config: Any) -> VM:
    spec = replace(vm.spec, config=VMConfig(**config))
    return await store.write(lambda tx: tx.update_spec(vm, spec, said))


async def test_a_created_vm_has_one_entry_that_says_so(tmp_path: Path) -> None:
    async with a_store(tmp_path) as store:
        vm = await store.create(a_vm(), Happening(type="vm.created", actor="deployment"))
        (entry,) = store.config_history(vm.meta.uid)
        assert (entry.at, entry.author, entry.request_id, entry.generation) == (NOW, "deployment", None, 1)
        assert entry.changes == {"created": True}


async def test_a_change_is_an_entry_newest_first(tmp_path: Path) -> None:
    async with a_store(tmp_path) as store:
        vm = await store.create(a_vm(), CREATED)
        vm = await configured(store, vm, resources=Resources(vcpu=4))
        vm = await configured(store, vm, resources=Resources(vcpu=4), env={"TOKEN": "hunter2"})
        newest, older, created = store.config_history(vm.meta.uid)
        assert newest.changes == {"env.TOKEN": {"old": None, "new": digest("hunter2")}}
        assert older.changes == {"resources.vcpu": {"old": 1, "new": 4}}
        assert (older.author, older.request_id, older.generation) == ("api", "r-1", 2)
        assert created.changes == {"created": True}


async def test_what_changes_no_config_is_no_entry(tmp_path: Path) -> None:
    """V4"""
    async with a_store(tmp_path) as store:
        vm = await store.create(a_vm(), CREATED)
        vm = await store.update_status(vm, running_status(), STARTED)
        spec = replace(vm.spec, restart_nonce=1)
        vm = await store.write(lambda tx: tx.update_spec(vm, spec, BY_API))
        vm = await configured(store, vm, resources=vm.spec.config.resources)
        assert len(store.config_history(vm.meta.uid)) == 1


async def test_no_secret_reaches_the_disk_by_the_history(tmp_path: Path) -> None:
    """Once it is replaced, nothing of it is left where anybody would look."""
    async with a_store(tmp_path) as store:
        vm = await store.create(a_vm(config=VMConfig(env={"A": "hunter2"})), CREATED)
        await configured(store, vm)
        assert "hunter2" not in str(store.config_history(vm.meta.uid))


async def test_a_history_goes_with_its_vm(tmp_path: Path) -> None:
    async with a_store(tmp_path) as store:
        vm = await store.create(a_vm(), CREATED)
        stays = await store.create(a_vm("stays"), CREATED)
        gone = await store.write(lambda tx: tx.mark_deleting(vm, DELETING))
        assert len(store.config_history(vm.meta.uid)) == 1
        await store.finalize(gone, FINALIZER, DELETED)
        assert store.config_history(vm.meta.uid) == []
        assert len(store.config_history(stays.meta.uid)) == 1


async def test_a_vm_of_the_same_name_has_a_history_of_its_own(tmp_path: Path) -> None:
    async with a_store(tmp_path) as store:
        first = await store.create(a_vm(), CREATED)
        first = await configured(store, first, resources=Resources(vcpu=4))
        going = await store.write(lambda tx: tx.mark_deleting(first, DELETING))
        await store.finalize(going, FINALIZER, DELETED)
        second = await store.create(a_vm(uid="2" * 32), CREATED)
        assert [entry.changes for entry in store.config_history(second.meta.uid)] == [{"created": True}]


async def test_a_job_that_fails_leaves_no_entry(tmp_path: Path) -> None:
    async with a_store(tmp_path) as store:
        vm = await store.create(a_vm(), CREATED)
        spec = replace(vm.spec, config=VMConfig(resources=Resources(vcpu=4)))

        def job(tx: Transaction) -> None:
            tx.update_spec(vm, spec, BY_API)
            raise Conflict("changed its mind")

        with pytest.raises(Conflict):
            await store.write(job)
        assert len(store.config_history(vm.meta.uid)) == 1


async def test_other_kinds_have_no_history(tmp_path: Path) -> None:
    async with a_store(tmp_path) as store:
        for obj in (a_deployment(), a_plugin()):
            await store.create(obj, told("plugin.installed"))
            assert store.config_history(obj.meta.uid) == []


async def test_a_vm_of_an_earlier_database_was_created_at_least(tmp_path: Path) -> None:
    """An operator starts a newer Volant."""
    path = tmp_path / "volant.db"
    connection = open_writing(path, StoreSettings())
    migrate(connection, path, MIGRATIONS[:1])
    mine, theirs = a_vm("mine"), a_vm("theirs", owner=owner_of(a_deployment()))
    for vm in (mine, theirs, a_deployment()):
        connection.execute(
            "INSERT INTO objects (kind, name, uid, revision, generation, is_running, is_ready, is_deleting, doc) "
            "VALUES (?, ?, ?, 1, 1, 0, 0, 0, ?)",
            (vm.meta.kind, vm.meta.name, vm.meta.uid, msgspec.json.encode(vm)),
        )
    connection.close()
    async with a_store(tmp_path) as store:
        (entry,) = store.config_history(mine.meta.uid)
        assert (entry.changes, entry.at, entry.author) == ({"created": True}, NOW, "api")
        assert [entry.author for entry in store.config_history(theirs.meta.uid)] == ["deployment"]
        assert store.config_history(a_deployment().meta.uid) == []
        await configured(store, store.vm("mine"), resources=Resources(vcpu=4))
        assert len(store.config_history(mine.meta.uid)) == 2
