"""The revisions of a set as the store keeps them: bounded, and what it takes to go back for as long as that may be."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from msgspec.structs import replace
from tests.builders.objects import NOW, a_vm
from tests.builders.stores import CREATED, a_store

from volant.model.apply.sets import Change, SetRevision, SetState, Undo, image
from volant.store import RESTORABLE_S, Store, setlog

DB = a_vm("db")
UNDO = Undo(changes=(Change(before=None, after=image(DB, {}, "infra")),), doomed=(DB.meta.uid,))


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    async with a_store(tmp_path) as store:
        yield store


async def begun(
    store: Store, number: int, *, name: str = "infra", at: float = NOW, said: bytes = b"[]", undo: Undo = UNDO
) -> SetRevision:
    """A revision that progresses."""
    revision = SetRevision(set=name, number=number, state="progressing", digest="d", manager="m", at=at, deadline_s=9.0)
    await store.write(lambda tx: tx.begin_set_revision(revision, said, undo))
    return revision


async def ended(store: Store, revision: SetRevision, state: SetState) -> None:
    await store.write(lambda tx: tx.amend_set_revision(replace(revision, state=state, ended_at=NOW)))


async def test_a_revision_is_kept_with_what_it_takes_to_go_back(store: Store) -> None:
    """Until it has ended: then it cannot be taken back any more."""
    revision = await begun(store, 1, said=b'[{"kind":"VM"}]')
    assert store.set_revision("infra") == revision
    assert store.sets_progressing() == ["infra"]
    assert store.set_documents("infra", 1) == b'[{"kind":"VM"}]'
    assert await store.write(lambda tx: tx.set_undo(revision)) == UNDO
    later = replace(revision, deadline_s=30.0)
    await store.write(lambda tx: tx.amend_set_revision(later))
    assert await store.write(lambda tx: tx.set_undo(revision)) == UNDO
    await ended(store, later, "healthy")
    assert store.sets_progressing() == []
    assert await store.write(lambda tx: tx.set_undo(revision)) == Undo()


async def test_a_revision_supersedes_one_that_progresses_and_no_other(store: Store) -> None:
    await ended(store, await begun(store, 1), "healthy")
    await begun(store, 2)
    await begun(store, 3)
    assert [one.state for one in store.set_revisions("infra")] == ["progressing", "superseded", "healthy"]
    assert store.sets_progressing() == ["infra"]


async def test_ten_revisions_are_kept_and_the_last_healthy_one(store: Store) -> None:
    await ended(store, await begun(store, 1), "healthy")
    await ended(store, await begun(store, 2), "healthy")
    for number in range(3, 15):
        await begun(store, number)
    assert [one.number for one in store.set_revisions("infra")] == [*range(14, 4, -1), 2]
    assert [one.number for one in store.set_revisions("other")] == []


async def test_so_many_bytes_of_manifests_are_kept_and_those_of_the_newest(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(setlog, "KEPT_BYTES", 100)
    for number, size in enumerate((60, 30, 30, 200, 10), start=1):
        await begun(store, number, said=b"x" * size)
        kept = [one for one in range(1, number + 1) if store.set_documents("infra", one) is not None]
        assert kept == {1: [1], 2: [1, 2], 3: [2, 3], 4: [4], 5: [5]}[number]
    assert len(store.set_revisions("infra")) == 5, "what became of them is told all the same"


async def test_what_is_left_of_a_set_without_objects_goes_after_a_day(store: Store) -> None:
    await ended(store, await begun(store, 1, name="gone"), "reverted")
    vm = await store.create(DB, CREATED)
    await store.write(lambda tx: tx.join("kept", vm.meta.uid))
    await ended(store, await begun(store, 1, name="kept"), "healthy")
    await begun(store, 1, name="busy")
    assert store.sets() == ["busy", "gone", "kept"]
    await begun(store, 1, name="new", at=NOW + RESTORABLE_S + 1.0)
    assert store.sets() == ["busy", "kept", "new"]
