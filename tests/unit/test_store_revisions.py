"""The templates that a deployment has had, and what its VMs are made of, as the store keeps them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from msgspec.structs import replace
from tests.builders.objects import NOW, a_deployment, a_vm, running_status
from tests.builders.stores import CREATED, a_store

from volant.model.deployment import FINALIZER, Deployment, template_of, with_template
from volant.model.event import Happening
from volant.model.rollout import Strategy, Template, digest_of
from volant.store import Store

ROLLED = Happening(type="deployment.updated", reason="RolloutStarted", message="labels.v")


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    async with a_store(tmp_path) as store:
        yield store


async def relabelled(store: Store, value: str) -> Deployment:
    old = store.deployment("web")
    return await store.write(lambda tx: tx.update_spec(old, replace(old.spec, labels={"v": value}), ROLLED))


async def test_each_template_is_a_revision_with_its_cause(store: Store) -> None:
    """U7"""
    made = await store.create(a_deployment("web"), CREATED)
    await relabelled(store, "1")
    found = store.templates(store.deployment("web"))
    assert [(one.number, one.cause, one.template.labels) for one in found] == [
        (2, "labels.v", {"v": "1"}),
        (1, "created", {}),
    ]
    assert found[-1].digest == digest_of(template_of(made.spec))
    assert with_template(made.spec, found[0].template) == store.deployment("web").spec


async def test_so_many_are_kept_as_were_asked_for_and_the_last_complete_one(store: Store) -> None:
    """U7, U10: a rollout that fails has something to go back to, however often it was changed meanwhile."""
    web = await store.create(a_deployment("web", strategy=Strategy(revisions_kept=2)), CREATED)
    status = replace(web.status, completed=digest_of(template_of(web.spec)))
    await store.update_status(web, status, Happening(type="deployment.available", actor="deployment"))
    for value in "12345":
        await relabelled(store, value)
    assert [one.number for one in store.templates(store.deployment("web"))] == [6, 5, 4, 1]


async def test_revisions_go_with_the_deployment(store: Store) -> None:
    """U7, V11: one of the same name begins anew."""
    await store.create(a_deployment("web"), CREATED)
    web = await relabelled(store, "1")
    assert store.template_number(web.meta.uid) == 2
    going = await store.write(lambda tx: tx.mark_deleting(web, Happening(type="deployment.deleting")))
    await store.finalize(going, FINALIZER, Happening(type="deployment.deleted", actor="deployment"))
    assert store.template_number(web.meta.uid) == 1


async def test_a_vm_without_a_template_is_of_the_one_that_is_replaced_next(store: Store) -> None:
    """U11: a Volant that knew no templates has made it, and a newer one that starts rolls nothing."""
    web = await store.create(a_deployment("web"), CREATED)
    await store.create(a_vm("web-1", owner=web), CREATED)
    own = digest_of(template_of(web.spec))
    assert store.tally(web.meta.uid, template=own).old == 0
    new = digest_of(template_of((await relabelled(store, "1")).spec))
    assert [child.template for child in store.children(web.meta.uid)] == [own]
    assert store.tally(web.meta.uid, template=new).old == 1


async def test_the_tally_tells_old_ones_and_those_that_are_not_ready_for_long(store: Store) -> None:
    """U4"""
    web = await store.create(a_deployment("web"), CREATED)
    for name, template, status in (
        ("web-1", "a", running_status()),
        ("web-2", "b", running_status()),
        ("web-3", "b", running_status(ready=False)),
    ):
        await store.create(a_vm(name, owner=web, template=template, status=status), CREATED)
    tally = store.tally(web.meta.uid, template="a", ready_by=NOW)
    assert (tally.old, tally.old_available, tally.unripe, tally.next_ready) == (2, 1, 0, None)
    tally = store.tally(web.meta.uid, template="a", ready_by=NOW - 1)
    assert (tally.ready, tally.old, tally.old_available, tally.unripe, tally.next_ready) == (2, 2, 0, 2, NOW)


def test_a_template_that_is_said_otherwise_has_the_same_digest() -> None:
    """U11: the order of keys, and defaults."""
    first = Template(plugin="hello", labels={"a": "1", "b": "2"})
    assert digest_of(first) == digest_of(Template(plugin="hello", labels={"b": "2", "a": "1"}, restart_policy="always"))
    assert digest_of(first) != digest_of(replace(first, nonce=1))
