"""What a job may do to objects: revisions, generations, statuses, deletion; one event for each write."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from tests.builders.objects import NOW, a_deployment, a_plugin, a_vm, running_status, stopped_status
from tests.builders.stores import CREATED, DELETED, DELETING, STARTED, UPDATED, HandClock, a_store, told

from volant.bus import Bus
from volant.errors import AlreadyExists, Conflict, Invalid, NotFound, VolantError
from volant.model.deployment import DeploymentStatus
from volant.model.event import Committed
from volant.model.meta import Key
from volant.model.objects import Object
from volant.model.vm import FINALIZER, VM, VMStatus
from volant.store import Store, Transaction


class Heard(list[Committed]):
    """What the bus published."""

    def types(self) -> list[str]:
        return [event.type for event in self]


@pytest.fixture
def heard() -> Heard:
    return Heard()


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
async def store(tmp_path: Path, heard: Heard, clock: HandClock) -> AsyncIterator[Store]:
    bus = Bus()
    bus.listen(heard.extend)
    async with a_store(tmp_path, bus=bus, clock=clock) as opened:
        yield opened


def other_spec(vm: VM, **spec: Any) -> Any:
    return replace(vm.spec, **spec)


class TestRevisions:
    async def test_every_write_gets_the_next_revision_of_the_whole_store(self, store: Store) -> None:
        """V1"""
        vm = await store.create(a_vm("a"), CREATED)
        deployment = await store.create(a_deployment("b"), told("deployment.created"))
        vm = await store.update_status(vm, running_status(), STARTED)
        assert [deployment.meta.revision, vm.meta.revision, store.revision] == [2, 3, 3]

    async def test_several_writes_of_one_job_get_a_revision_each(self, store: Store, heard: Heard) -> None:
        """V1, E3"""

        def job(tx: Transaction) -> tuple[int, int]:
            vm = tx.insert(a_vm(), CREATED)
            return vm.meta.revision, tx.update_status(vm, running_status(), STARTED).meta.revision

        assert await store.write(job) == (1, 2)
        assert [event.revision for event in heard] == [1, 2]

    async def test_of_two_writers_who_saw_the_same_one_wins(self, store: Store, heard: Heard) -> None:
        """V2"""
        seen = await store.create(a_vm(), CREATED)
        won = await store.update_status(seen, running_status(pid=1), STARTED)
        with pytest.raises(Conflict, match=r"cannot go on with VM web-1 at revision 1: it is at revision 2"):
            await store.update_status(seen, running_status(pid=2), STARTED)
        assert store.find(seen.meta.key) == won
        assert heard.types() == ["vm.created", "vm.started"]

    async def test_a_stale_object_is_refused_by_every_write(self, store: Store) -> None:
        """V2, V11"""
        seen = await store.create(a_vm(), CREATED)
        await store.update_status(seen, running_status(), STARTED)
        writes: list[Any] = [
            lambda tx: tx.update_spec(seen, other_spec(seen, power="stopped"), UPDATED),
            lambda tx: tx.update_status(seen, stopped_status(), UPDATED),
            lambda tx: tx.mark_deleting(seen, DELETING),
            lambda tx: tx.finalize(seen, FINALIZER, DELETED),
        ]
        for write in writes:
            with pytest.raises(Conflict) as refused:
                await store.write(write)
            assert refused.value.details == {"name": "web-1", "revision": 2}

    async def test_a_name_is_taken_once(self, store: Store, heard: Heard) -> None:
        """V3"""
        first = await store.create(a_vm(uid="1"), CREATED)
        with pytest.raises(AlreadyExists) as refused:
            await store.create(a_vm(uid="2"), CREATED)
        assert refused.value.code == "vm_already_exists"
        assert store.vm("web-1") == first
        assert len(heard) == 1

    async def test_kinds_have_names_of_their_own(self, store: Store) -> None:
        await store.create(a_vm("hello"), CREATED)
        await store.create(a_plugin("hello"), told("plugin.installed"))
        assert store.plugin("hello").meta.kind == "Plugin"

    async def test_a_uid_is_given_once(self, store: Store) -> None:
        await store.create(a_vm("a", uid="1"), CREATED)
        with pytest.raises(Conflict, match="cannot create VM b: its uid is another's"):
            await store.create(a_vm("b", uid="1"), CREATED)

    async def test_a_recreated_object_is_not_the_old_one(self, store: Store) -> None:
        """V11"""
        old = await store.create(a_vm(uid="1"), CREATED)
        gone = await store.write(lambda tx: tx.mark_deleting(old, DELETING))
        await store.finalize(gone, FINALIZER, DELETED)
        new = await store.create(a_vm(uid="2"), CREATED)
        with pytest.raises(Conflict, match="cannot go on with VM web-1 at revision 2: it is gone"):
            await store.finalize(gone, FINALIZER, DELETED)
        with pytest.raises(Conflict):
            await store.write(lambda tx: tx.mark_deleting(old, DELETING))
        assert store.vm("web-1") == new


class TestSpecs:
    async def test_generation_grows_by_one_iff_the_spec_differs(self, store: Store) -> None:
        """V4"""
        vm = await store.create(a_vm(), CREATED)
        vm = await store.write(lambda tx: tx.update_spec(vm, other_spec(vm, power="stopped"), UPDATED))
        assert (vm.meta.generation, vm.spec.power) == (2, "stopped")
        vm = await store.update_status(vm, stopped_status(), told("vm.stopped"))
        assert vm.meta.generation == 2

    async def test_a_spec_that_does_not_differ_is_not_written(self, store: Store, heard: Heard) -> None:
        """V4, A5"""
        vm = await store.create(a_vm(meta={"labels": {"tier": "web"}}), CREATED)
        same = await store.write(lambda tx: tx.update_spec(vm, other_spec(vm), UPDATED, labels={"tier": "web"}))
        assert same == vm
        assert store.revision == 1
        assert heard.types() == ["vm.created"]

    async def test_labels_leave_the_generation(self, store: Store) -> None:
        """V4"""
        vm = await store.create(a_vm(), CREATED)
        new = await store.write(lambda tx: tx.update_spec(vm, vm.spec, UPDATED, labels={"tier": "web"}))
        assert (new.meta.generation, new.meta.revision, new.meta.labels) == (1, 2, {"tier": "web"})
        assert store.vm("web-1") == new

    async def test_labels_stay_when_none_are_given(self, store: Store) -> None:
        vm = await store.create(a_vm(meta={"labels": {"tier": "web"}}), CREATED)
        new = await store.write(lambda tx: tx.update_spec(vm, other_spec(vm, power="stopped"), UPDATED))
        assert new.meta.labels == {"tier": "web"}

    async def test_writing_a_spec_leaves_the_status(self, store: Store) -> None:
        """V5"""
        vm = await store.create(a_vm(status=running_status()), CREATED)
        forged = replace(vm, status=stopped_status())
        await store.write(lambda tx: tx.update_spec(forged, other_spec(vm, power="stopped"), UPDATED))
        assert store.vm("web-1").status == running_status()

    async def test_another_plugin_is_found_by_the_plugin(self, store: Store) -> None:
        await store.create(a_deployment("d", plugin="old"), told("deployment.created"))
        seen = store.deployment("d")
        await store.write(lambda tx: tx.update_spec(seen, replace(seen.spec, plugin="new"), told("deployment.updated")))
        assert await store.write(lambda tx: (tx.deployments_using("old"), tx.deployments_using("new"))) == ([], ["d"])

    async def test_a_spec_of_another_kind_is_refused(self, store: Store) -> None:
        vm = await store.create(a_vm(), CREATED)
        with pytest.raises(Invalid):
            await store.write(lambda tx: tx.update_spec(vm, a_deployment().spec, UPDATED))


class TestStatuses:
    async def test_writing_a_status_leaves_the_spec_and_the_meta(self, store: Store) -> None:
        """V5: even when the caller's copy of the object was tampered with."""
        vm = await store.create(a_vm(), CREATED)
        forged = replace(
            vm, spec=other_spec(vm, power="stopped"), meta=replace(vm.meta, generation=7, labels={"a": "b"})
        )
        new = await store.update_status(forged, running_status(), STARTED)
        assert new == replace(vm, status=running_status(), meta=replace(vm.meta, revision=2))
        assert store.vm("web-1") == new

    async def test_a_status_that_does_not_differ_is_not_written(self, store: Store, heard: Heard) -> None:
        """L7, V10: 0 writes and 0 events."""
        vm = await store.create(a_vm(status=running_status()), CREATED)
        assert await store.update_status(vm, running_status(), STARTED) is vm
        assert await store.write(lambda tx: tx.update_status(vm, running_status(), STARTED)) == vm
        assert store.revision == 1
        assert heard.types() == ["vm.created"]

    async def test_a_stale_object_is_refused_even_for_the_status_it_has(self, store: Store) -> None:
        """V2"""
        seen = await store.create(a_vm(status=running_status()), CREATED)
        await store.update_status(seen, stopped_status(), told("vm.stopped"))
        with pytest.raises(Conflict):
            await store.update_status(seen, running_status(), STARTED)

    @pytest.mark.parametrize("observed", [0, 3])
    async def test_observed_generation_never_goes_back_nor_ahead(self, store: Store, observed: int) -> None:
        """V6"""
        vm = await store.create(a_vm(status=running_status(observed_generation=1)), CREATED)
        vm = await store.write(lambda tx: tx.update_spec(vm, other_spec(vm, power="stopped"), UPDATED))
        with pytest.raises(Invalid, match=f"cannot report generation {observed} of VM web-1"):
            await store.update_status(vm, VMStatus(observed_generation=observed), STARTED)
        assert store.vm("web-1") == vm

    async def test_a_status_of_another_kind_is_refused(self, store: Store) -> None:
        vm = await store.create(a_vm(), CREATED)
        with pytest.raises(Invalid):
            await store.update_status(vm, DeploymentStatus(), STARTED)

    async def test_what_could_not_be_read_back_is_not_written(self, store: Store) -> None:
        vm = await store.create(a_vm(), CREATED)
        with pytest.raises(VolantError, match="cannot store VM web-1") as refused:
            await store.update_status(vm, VMStatus(pid="seven"), STARTED)  # type: ignore[arg-type]
        assert refused.value.code == "unreadable"
        assert store.vm("web-1") == vm


class TestDeletion:
    async def test_the_time_of_deletion_is_set_once(self, store: Store, clock: HandClock, heard: Heard) -> None:
        """D1"""
        vm = await store.create(a_vm(), CREATED)
        marked = await store.write(lambda tx: tx.mark_deleting(vm, DELETING))
        clock.forward(60)
        again = await store.write(lambda tx: tx.mark_deleting(marked, DELETING))
        assert marked.meta.deleting_since == NOW
        assert again == marked
        assert heard.types() == ["vm.created", "vm.deleting"]

    async def test_nothing_takes_a_deletion_back(self, store: Store) -> None:
        """D1"""
        vm = await store.create(a_vm(), CREATED)
        vm = await store.write(lambda tx: tx.mark_deleting(vm, DELETING))
        alive = replace(vm, meta=replace(vm.meta, deleting_since=None))
        vm = await store.update_status(alive, running_status(), STARTED)
        vm = await store.write(lambda tx: tx.update_spec(vm, other_spec(vm, power="stopped"), UPDATED))
        assert vm.meta.deleting_since == NOW

    async def test_a_deletion_may_be_made_forceful_later(self, store: Store, clock: HandClock) -> None:
        """D1"""
        vm = await store.create(a_vm(), CREATED)
        vm = await store.write(lambda tx: tx.mark_deleting(vm, DELETING))
        clock.forward(60)
        forced = await store.write(lambda tx: tx.mark_deleting(vm, DELETING, spec=other_spec(vm, force=True)))
        assert forced.spec.force
        assert (forced.meta.generation, forced.meta.deleting_since) == (2, NOW)

    async def test_the_row_goes_with_the_last_finalizer(self, store: Store, heard: Heard) -> None:
        """D2: in any order."""
        vm = await store.create(a_vm(meta={"finalizers": ("one", "two", "three")}), CREATED)
        vm = await store.write(lambda tx: tx.mark_deleting(vm, DELETING))
        for finalizer in ("two", "three"):
            await store.finalize(store.vm("web-1"), finalizer, DELETED)
        assert store.vm("web-1").meta.finalizers == ("one",)
        await store.finalize(store.vm("web-1"), "one", DELETED)
        assert store.find(vm.meta.key) is None
        assert heard.types() == ["vm.created", "vm.deleting", "vm.updated", "vm.updated", "vm.deleted"]

    async def test_an_object_that_nobody_wants_gone_outlives_its_finalizers(self, store: Store) -> None:
        """D2"""
        vm = await store.create(a_vm(), CREATED)
        await store.finalize(vm, FINALIZER, DELETED)
        assert store.vm("web-1").meta.finalizers == ()

    async def test_an_unknown_finalizer_changes_nothing(self, store: Store, heard: Heard) -> None:
        """D2, L7"""
        vm = await store.create(a_vm(), CREATED)
        vm = await store.write(lambda tx: tx.mark_deleting(vm, DELETING))
        await store.finalize(vm, "somebody-else", DELETED)
        assert store.vm("web-1") == vm
        assert heard.types() == ["vm.created", "vm.deleting"]

    async def test_an_object_without_finalizers_goes_at_once(self, store: Store, heard: Heard) -> None:
        """D2"""
        vm = await store.create(a_vm(meta={"finalizers": ()}), CREATED)
        await store.write(lambda tx: tx.mark_deleting(vm, DELETING))
        assert store.find(vm.meta.key) is None
        assert heard.types() == ["vm.created", "vm.deleting", "vm.deleted"]

    async def test_the_finalizer_is_in_the_row_from_its_first_revision_on(self, store: Store, heard: Heard) -> None:
        """D3: who reads the creating event finds the finalizer already there."""
        found: list[tuple[str, ...]] = []
        store._bus.listen(lambda batch: found.extend(store.vm(e.key.name).meta.finalizers for e in batch))
        await store.create(a_vm(), CREATED)
        assert found == [(FINALIZER,)]

    async def test_no_write_adds_a_finalizer(self, store: Store) -> None:
        """D2: to what is on its way out, nor to anything else."""
        vm = await store.create(a_vm(), CREATED)
        vm = await store.write(lambda tx: tx.mark_deleting(vm, DELETING))
        more = replace(vm, meta=replace(vm.meta, finalizers=(FINALIZER, "more")))
        vm = await store.update_status(more, running_status(), STARTED)
        assert store.vm("web-1").meta.finalizers == (FINALIZER,)


class TestEvents:
    async def test_an_event_says_what_happened_to_whom(self, store: Store, heard: Heard) -> None:
        """E3, E4"""
        owner = await store.create(a_deployment("web"), told("deployment.created"))
        why = told("vm.created", reason="ScaledUp", message="web wants 1", request_id="r-1")
        vm = await store.create(a_vm("web-1", owner=owner), why)
        event = heard[-1]
        assert (event.revision, event.type, event.key, event.uid) == (2, "vm.created", vm.meta.key, vm.meta.uid)
        assert (event.owner, event.plugin, event.at) == (vm.meta.owner, "hello", NOW)
        assert b'"reason":"ScaledUp"' in event.data
        assert b'"request_id":"r-1"' in event.data

    async def test_a_job_that_raises_leaves_no_event_and_no_revision(self, store: Store, heard: Heard) -> None:
        """E3"""

        def job(tx: Transaction) -> None:
            tx.insert(a_vm("a"), CREATED)
            tx.insert(a_vm("b"), CREATED)
            raise Conflict("cannot: changed my mind")

        with pytest.raises(Conflict):
            await store.write(job)
        assert heard == []
        assert (await store.create(a_vm("c"), CREATED)).meta.revision == 1
        assert store.keys("VM") == [Key("VM", "c")]

    async def test_a_job_may_go_on_after_an_error(self, store: Store, heard: Heard) -> None:
        """E3: what failed has changed nothing, and no revision is left out."""
        await store.create(a_vm("a"), CREATED)

        def job(tx: Transaction) -> Object:
            with pytest.raises(AlreadyExists):
                tx.insert(a_vm("a"), CREATED)
            return tx.insert(a_vm("b"), CREATED)

        assert (await store.write(job)).meta.revision == 2
        assert [event.revision for event in heard] == [1, 2]


class TestJobs:
    async def test_a_job_sees_what_it_has_written(self, store: Store) -> None:
        def job(tx: Transaction) -> Object | None:
            tx.insert(a_vm(), CREATED)
            return tx.find(Key("VM", "web-1"))

        assert await store.write(job) == store.vm("web-1")

    async def test_a_job_has_one_instant(self, store: Store, clock: HandClock) -> None:
        def job(tx: Transaction) -> tuple[float, float]:
            before = tx.now
            clock.forward(1)
            return before, tx.now

        assert await store.write(job) == (NOW, NOW)

    async def test_a_job_looks_up_users_and_children(self, store: Store) -> None:
        owner = await store.create(a_deployment("web"), told("deployment.created"))
        await store.create(a_vm("web-2", owner=owner, status=running_status()), CREATED)
        await store.create(a_vm("web-1", owner=owner), CREATED)
        await store.create(a_vm("x", plugin="other"), CREATED)

        def job(tx: Transaction) -> tuple[list[str], list[str], list[str]]:
            children = [child.name for child in tx.children(owner.meta.uid) if child.is_running]
            return tx.vms_using("hello"), tx.deployments_using("hello"), children

        assert await store.write(job) == (["web-2", "web-1"], ["web"], ["web-2"])

    async def test_get_raises_what_the_api_answers(self, store: Store) -> None:
        with pytest.raises(NotFound) as refused:
            await store.write(lambda tx: tx.get(Key("Deployment", "web")))
        assert refused.value.code == "deployment_not_found"

    @pytest.mark.parametrize("fails", [False, True])
    async def test_a_transaction_is_worthless_after_its_job(self, store: Store, fails: bool) -> None:
        kept: list[Transaction] = []

        def job(tx: Transaction) -> None:
            kept.append(tx)
            if fails:
                raise Conflict("cannot")

        try:
            await store.write(job)
        except Conflict:
            assert fails
        with pytest.raises(RuntimeError, match="cannot use a transaction after its job has returned"):
            kept[0].find(Key("VM", "web-1"))
        with pytest.raises(RuntimeError):
            kept[0].insert(a_vm(), CREATED)

    async def test_uids_come_from_the_factory(self, store: Store) -> None:
        assert await store.write(lambda tx: [tx.new_uid(), tx.new_uid()]) == [f"{1:032x}", f"{2:032x}"]
