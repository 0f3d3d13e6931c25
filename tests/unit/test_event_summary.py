"""What an event says of its object: what the write changed, and nothing that it did not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from msgspec.structs import replace
from tests.builders.objects import NOW, a_deployment, a_plugin, a_vm, complete_status, owner_of, running_status
from tests.builders.stores import CREATED, DELETED, DELETING, STARTED, UPDATED, a_store, told

from volant.model.event import Happening, committed, said
from volant.model.objects import Object
from volant.model.summary import Summary
from volant.model.vm import FINALIZER, CloudInit, Health, Resources, VMConfig


def data(new: Object, old: Object | None = None, *, is_gone: bool = False) -> dict[str, Any]:
    """The `data:` line of a write."""
    event = committed(new, Happening(type="vm.updated"), 7, NOW, old=old, is_gone=is_gone)
    read: dict[str, Any] = json.loads(event.data)
    return read


def test_a_creation_has_every_word_and_nothing_before_it() -> None:
    """E4"""
    shown = data(a_vm("web-1"))
    assert "previous" not in shown
    assert shown["new"] == {
        "status": "starting",
        "power": "running",
        "ready": False,
        "health": None,
        "restarts": 0,
        "restart_required": False,
        "resources": {"vcpu": 1, "memory_mb": 256},
    }


def test_a_change_has_what_differs_before_and_after() -> None:
    """E4"""
    vm = a_vm("web-1")
    shown = data(replace(vm, status=running_status(health=Health(status="healthy"))), vm)
    assert shown["previous"] == {"status": "starting", "ready": False, "health": None}
    assert shown["new"] == {"status": "running", "ready": True, "health": "healthy"}


def test_an_end_has_every_word_before_it_and_nothing_after() -> None:
    """E4"""
    vm = a_vm("web-1", deleting=True)
    shown = data(vm, vm, is_gone=True)
    assert "new" not in shown
    assert shown["previous"]["status"] == "stopping"


def test_a_write_that_changes_no_word_has_neither() -> None:
    vm = a_vm("web-1", status=running_status())
    shown = data(replace(vm, status=replace(vm.status, node="here")), vm)
    assert "previous" not in shown
    assert "new" not in shown


def test_a_deployment_and_a_plugin_have_words_of_their_own() -> None:
    web = a_deployment("web", replicas=1)
    assert data(web)["new"] == {"phase": "pending", "replicas": 1, "ready_replicas": 0, "available": False}
    assert data(replace(web, spec=replace(web.spec, replicas=3)), web)["new"] == {"replicas": 3}
    hello = a_plugin("hello")
    done = replace(hello, status=complete_status(hello.spec.manifest))
    assert data(hello)["new"]["enabled"] is True
    assert data(replace(done, spec=replace(done.spec, enabled=False)), done)["previous"] == {"enabled": True}


def test_another_plugin_and_other_labels_are_changes() -> None:
    web = a_deployment("web", plugin="one")
    changed = replace(web, spec=replace(web.spec, plugin="two"), meta=replace(web.meta, labels={"tier": "front"}))
    shown = data(changed, web)
    assert (shown["previous"], shown["new"]) == (
        {"plugin": "one", "labels": {}},
        {"plugin": "two", "labels": {"tier": "front"}},
    )
    assert shown["labels"] == {"tier": "front"}


def test_no_secret_of_a_config_is_in_an_event() -> None:
    """E5"""
    vm = a_vm("web-1")
    config = VMConfig(resources=Resources(vcpu=2), cloud_init=CloudInit(user_data="password: hunter2"))
    changed = replace(vm, spec=replace(vm.spec, config=config))
    for event in (data(changed), data(changed, vm), data(changed, changed, is_gone=True)):
        assert "hunter2" not in json.dumps(event)


def test_data_of_any_age_can_be_read() -> None:
    """W1: what the log holds of earlier versions has neither labels nor what was before."""
    early = said(b'{"name":"web-1","timestamp":"2023-11-14T22:13:20Z","actor":"vm"}')
    assert (early.actor, early.labels, early.previous) == ("vm", {}, None)
    assert said(b'{"name":"web-1","actor":"api","word_of_the_future":[1]}').actor == "api"


async def test_the_words_of_all_events_laid_over_each_other_are_the_object(tmp_path: Path) -> None:
    """E4, W1: at every revision; and the log gives back what was published."""
    async with a_store(tmp_path) as store:
        web = await store.create(a_deployment("web"), told("deployment.created"))
        vm = await store.create(a_vm("web-1", owner=owner_of(web)), CREATED)
        vm = await store.update_status(vm, running_status(ready=False), STARTED)
        vm = await store.update_status(vm, running_status(restarts=2), UPDATED)
        spec = replace(vm.spec, config=VMConfig(resources=Resources(vcpu=4)))
        vm = await store.write(lambda tx: tx.update_spec(vm, spec, UPDATED, labels={"a": "b"}))
        vm = await store.write(lambda tx: tx.mark_deleting(vm, DELETING))
        await store.finalize(vm, FINALIZER, DELETED)
        words: dict[str, Any] = {}
        events = [event for event in store.events_after(0, 100) if event.key.name == "web-1"]
        for event in events:
            shown = json.loads(event.data)
            assert {name: words.get(name, {}) for name in shown.get("previous", {})} == shown.get("previous", {})
            words |= shown.get("new", {})
        assert words == {
            "status": "stopping",
            "power": "running",
            "ready": False,
            "health": None,
            "restarts": 2,
            "restart_required": True,
            "resources": {"vcpu": 4, "memory_mb": 256},
            "labels": {"a": "b"},
        }
        assert events[3].labels == {"a": "b"}
        assert events[3].previous is not None
        assert events[3].previous.labels == {}
        assert isinstance(events[-1].previous, Summary)
