"""A turn of a set: it ends the revision that it looked at, and no other."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

from msgspec.structs import replace
from tests.builders.objects import NOW, a_vm
from tests.builders.stores import CREATED, a_store

from volant.clock import SystemClock
from volant.controllers.sets import SetKey, SetReconciler
from volant.model.apply.sets import SetRevision, Undo, named
from volant.reconcile import DONE
from volant.reconcile.effects import Effects
from volant.store import Store

T = TypeVar("T")
KEY = SetKey("set", "infra")


class Late(Effects):
    """Somebody applies the set again just before the turn's write."""

    def __init__(self, store: Store, revision: SetRevision) -> None:
        super().__init__()
        self._store, self._revision = store, revision

    async def act(self, op: str, target: object, fn: Callable[[], Awaitable[T]]) -> T:
        """As the seam does, and late."""
        await self._store.write(lambda tx: tx.begin_set_revision(self._revision, b"[]", Undo()))
        return await super().act(op, target, fn)


def a_revision(number: int) -> SetRevision:
    """One that names a VM which is gone."""
    one = named(a_vm("gone"), None)
    return SetRevision(
        set="infra",
        number=number,
        state="progressing",
        digest="",
        manager="apply",
        at=NOW,
        deadline_s=1e9,
        named=(one,),
    )


async def test_a_revision_that_came_meanwhile_is_left_alone(tmp_path: Path) -> None:
    """V12: what was decided about the one before holds for that one only."""
    async with a_store(tmp_path) as store:
        await store.write(lambda tx: tx.begin_set_revision(a_revision(1), b"[]", Undo()))
        effects = Late(store, a_revision(2))
        turns = SetReconciler(store=store, clock=SystemClock(), effects=effects)
        assert await turns.reconcile(KEY) == DONE
        assert [one.state for one in store.set_revisions("infra")] == ["progressing", "superseded"]


async def test_only_sets_that_progress_are_looked_at(tmp_path: Path) -> None:
    """L7: the events of all others cost a look-up."""
    async with a_store(tmp_path) as store:
        turns = SetReconciler(store=store, clock=SystemClock())
        vm = await store.create(a_vm("db"), CREATED)
        await store.write(lambda tx: tx.join("infra", vm.meta.uid))
        (event,) = store.events_after(0, 10)
        assert list(turns.concerns(event)) == list(turns.resync_keys()) == []
        await store.write(lambda tx: tx.begin_set_revision(a_revision(1), b"[]", Undo()))
        touched = replace(vm.spec, grace_s=9.0)
        await store.write(lambda tx: tx.update_spec(vm, touched, replace(CREATED, type="vm.updated")))
        assert list(turns.concerns(event)) == list(turns.resync_keys()) == [KEY]


class Slow(SystemClock):
    """A second passes with every look at it."""

    at = 0.0

    def monotonic(self) -> float:
        """The next second."""
        self.at += 1.0
        return self.at


async def test_a_set_that_was_looked_at_just_now_is_not_looked_at_again(tmp_path: Path) -> None:
    """A look reads every object of the set, so that the next one without news is paced by what it takes."""
    async with a_store(tmp_path) as store:
        clock = Slow()
        turns = SetReconciler(store=store, clock=clock)
        vm = await store.create(a_vm("db"), CREATED)
        waits = replace(a_revision(1), named=(named(vm, None),))
        await store.write(lambda tx: tx.begin_set_revision(waits, b"[]", Undo()))
        assert list(turns.resync_keys()) == [KEY]
        assert await turns.reconcile(KEY) != DONE
        assert list(turns.resync_keys()) == []
        clock.at += turns.gap_s
        assert list(turns.resync_keys()) == [KEY]
