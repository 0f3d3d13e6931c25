"""Kept bodies are those of the row as it is, whatever happened to it since they were kept."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.builders.objects import a_vm, running_status
from tests.builders.stores import a_store, told

from volant.api.bodies import Bodies
from volant.errors import NotFound
from volant.model.meta import Key
from volant.model.vm import VM, Health


class Asked:
    """What `Bodies` needs of the application: a store, and when a guest was probed last."""

    def __init__(self, store: Any) -> None:
        self.store = store
        self.probed_at: float | None = None

    def last_check(self, vm: VM) -> float | None:
        """The time this test has set."""
        return self.probed_at


async def test_a_change_of_the_row_is_shown_at_once(tmp_path: Path) -> None:
    async with a_store(tmp_path) as store:
        bodies = Bodies(Asked(store))  # type: ignore[arg-type]
        vm = await store.create(a_vm("web-1"), told("vm.created"))
        before = msgspec.json.decode(bodies.of("web-1")[1])
        assert bodies.of("web-1")[1] is bodies.of("web-1")[1]
        await store.update_status(vm, running_status(), told("vm.started"))
        after = msgspec.json.decode(bodies.of("web-1")[1])
        assert (before["status"], after["status"]) == ("starting", "running")
        assert after["revision"] > before["revision"]


async def test_another_vm_of_the_same_name_is_another(tmp_path: Path) -> None:
    """V11: nothing of the old one is shown of the new one."""
    async with a_store(tmp_path) as store:
        bodies = Bodies(Asked(store))  # type: ignore[arg-type]
        old = await store.create(a_vm("web-1", uid="a" * 32), told("vm.created"))
        bodies.of("web-1")
        await store.write(lambda tx: tx.mark_deleting(tx.get(Key("VM", "web-1")), told("vm.deleting")))
        row = store.vm("web-1")
        for finalizer in row.meta.finalizers:
            await store.finalize(store.vm("web-1"), finalizer, told("vm.deleted"))
        with pytest.raises(NotFound):
            bodies.of("web-1")
        await store.create(a_vm("web-1", uid="b" * 32), told("vm.created"))
        assert msgspec.json.decode(bodies.of("web-1")[1])["uid"] == "b" * 32 != old.meta.uid


async def test_a_probe_is_shown_though_the_row_is_the_same(tmp_path: Path) -> None:
    async with a_store(tmp_path) as store:
        asked = Asked(store)
        bodies = Bodies(asked)  # type: ignore[arg-type]
        await store.create(a_vm("web-1", status=running_status(health=Health())), told("vm.created"))
        first = bodies.of("web-1")[1]
        asked.probed_at = 1_700_000_000.0
        second = bodies.of("web-1")[1]
        asked.probed_at = 1_700_000_010.0
        third = bodies.of("web-1")[1]
        assert [msgspec.json.decode(body)["health"].get("last_check") for body in (first, second, third)] == [
            None,
            "2023-11-14T22:13:20Z",
            "2023-11-14T22:13:30Z",
        ]


async def test_what_was_written_at_a_revision_is_kept_until_it_is_written_again(tmp_path: Path) -> None:
    async with a_store(tmp_path) as store:
        bodies = Bodies(Asked(store))  # type: ignore[arg-type]
        vm = await store.create(a_vm("web-1"), told("vm.created"))
        assert bodies.at(vm.meta.revision) is None
        bodies.of("web-1")
        kept = bodies.at(vm.meta.revision)
        assert kept is not None
        assert (kept.obj, kept.body) == bodies.of("web-1")
        later = await store.update_status(vm, running_status(), told("vm.started"))
        bodies.of("web-1")
        assert bodies.at(vm.meta.revision) is None
        assert bodies.at(later.meta.revision) is not None


async def test_no_more_are_kept_than_was_said(tmp_path: Path) -> None:
    async with a_store(tmp_path) as store:
        bodies = Bodies(Asked(store), kept=2)  # type: ignore[arg-type]
        for number in range(5):
            await store.create(a_vm(f"web-{number}"), told("vm.created"))
            assert msgspec.json.decode(bodies.of(f"web-{number}")[1])["name"] == f"web-{number}"
        assert len(bodies._bodies) <= 2
