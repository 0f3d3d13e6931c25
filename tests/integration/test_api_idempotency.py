"""Idempotency-Key: sent twice, done once; the test plays the controllers."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import httpx2
import pytest
from tests.builders.server import Served, serving

from volant.model.meta import Key

VM = Key("VM", "a")
NEW: dict[str, Any] = {"name": "a", "plugin": "hello"}


async def ask(
    api: Served, method: str, path: str, body: dict[str, Any] | None = None, *, key: str = "k-1", **headers: str
) -> httpx2.Response:
    headers = {name.replace("_", "-"): value for name, value in headers.items()}
    return await api.http.request(method, path, json=body, headers={"idempotency-key": key, **headers})


def is_replay_of(second: httpx2.Response, first: httpx2.Response) -> bool:
    """The same in everything but what names the request, and said to be a replay."""
    varying = ("x-request-id", "date", "idempotent-replayed")
    kept = [[(k, v) for k, v in answer.headers.items() if k not in varying] for answer in (first, second)]
    assert "idempotent-replayed" not in first.headers
    assert second.headers["idempotent-replayed"] == "true"
    return (first.status_code, first.content, kept[0]) == (second.status_code, second.content, kept[1])


async def test_a_create_that_is_sent_twice_makes_one_vm(tmp_path: Path) -> None:
    async with serving(tmp_path) as api:
        await api.installed()
        first = await ask(api, "POST", "/vms", NEW)
        await api.runs("a")
        revision = api.store.revision
        second = await ask(api, "POST", "/vms", NEW)
        assert first.status_code == 201
        assert is_replay_of(second, first)
        assert (api.store.count("VM"), api.store.revision) == (1, revision)


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/vms/a/restart", None),
        ("POST", "/vms/a/stop?wait=none", None),
        ("DELETE", "/vms/a?wait=none", None),
        ("PATCH", "/deployments/web", {"replicas": 2}),
        ("DELETE", "/deployments/web?wait=none", None),
        ("POST", "/plugins/spare/enabled", {"enabled": False}),
        ("DELETE", "/plugins/spare?wait=none", None),
        ("POST", "/deployments", {"name": "new", "plugin": "hello"}),
        ("POST", "/plugins", {"name": "p", "version": "1", "rootfs": {"url": "http://a/b", "format": "raw"}}),
        ("PATCH", "/vms/a/config", {"resources": {"vcpu": 2}}),
        ("POST", "/deployments/web/restart", None),
        (
            "POST",
            "/apply",
            {
                "set": "s",
                "objects": [{"kind": "VM", "metadata": {"name": "b"}, "spec": {"plugin": "hello"}}],
            },
        ),
    ],
)
async def test_every_write_is_done_once(tmp_path: Path, method: str, path: str, body: dict[str, Any] | None) -> None:
    async with serving(tmp_path) as api:
        await api.installed()
        await api.installed("spare")
        await api.post("/vms", **NEW)
        await api.post("/deployments", name="web", plugin="hello", replicas=1)
        await api.runs("a")
        first = await ask(api, method, path, body)
        assert first.is_success, first.text
        revision = api.store.revision
        assert is_replay_of(await ask(api, method, path, body), first)
        assert api.store.revision == revision


async def test_a_key_is_one_request_s(tmp_path: Path) -> None:
    async with serving(tmp_path) as api:
        await api.installed()
        await ask(api, "POST", "/vms", NEW)
        others = [
            ("POST", "/vms", {**NEW, "name": "b"}),
            ("POST", "/vms?wait=none", NEW),
            ("POST", "/vms/a/restart", None),
            ("DELETE", "/vms/a", None),
        ]
        for method, path, body in others:
            answer = await ask(api, method, path, body)
            assert (answer.status_code, answer.json()["code"]) == (422, "idempotency_key_reused")
        assert api.store.count("VM") == 1
        assert (await ask(api, "POST", "/vms", {**NEW, "name": "b"}, key="k-2")).status_code == 201


@pytest.mark.parametrize("key", ["", "a" * 256, "a\tb", "\xe9"])
async def test_what_is_no_key_is_refused(tmp_path: Path, key: str) -> None:
    async with serving(tmp_path) as api:
        await api.installed()
        headers = {b"idempotency-key": key.encode("latin-1"), b"content-type": b"application/json"}
        for path in ("/vms", "/vms?dry_run=true"):
            answer = await api.http.post(path, content=b'{"name": "a", "plugin": "hello"}', headers=headers)
            assert answer.status_code == 400
            assert answer.json()["details"]["fields"][0]["path"] == "Idempotency-Key"
        assert api.store.count("VM") == 0


async def test_while_the_first_is_answered_the_second_is_told_to_come_again(tmp_path: Path) -> None:
    async with serving(tmp_path) as api, asyncio.TaskGroup() as tasks:
        await api.installed()
        first = tasks.create_task(ask(api, "POST", "/vms?wait=running", NEW))
        await api.waited_for(VM)
        early = await ask(api, "POST", "/vms?wait=running", NEW)
        assert (early.status_code, early.json()["code"]) == (409, "idempotency_in_progress")
        assert early.headers["retry-after"] == "1"
        other = await ask(api, "POST", "/vms", {**NEW, "name": "b"})
        assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")
        await api.runs("a")
        assert (await first).json()["status"] == "running"
        await api.stops("a")
        assert is_replay_of(await ask(api, "POST", "/vms?wait=running", NEW), await first)


async def test_of_many_at_once_one_makes_the_vm(tmp_path: Path) -> None:
    async with serving(tmp_path) as api:
        await api.installed()
        async with asyncio.TaskGroup() as tasks:
            asked = [tasks.create_task(ask(api, "POST", "/vms", NEW)) for _ in range(12)]
        answers = [task.result() for task in asked]
        assert {answer.status_code for answer in answers} <= {201, 409}
        made = [answer for answer in answers if answer.status_code == 201]
        assert {answer.json()["uid"] for answer in made} == {api.store.vm("a").meta.uid}
        assert {a.json()["code"] for a in answers if a.status_code == 409} <= {"idempotency_in_progress"}
        assert sum("idempotent-replayed" not in answer.headers for answer in made) == 1
        assert api.store.count("VM") == 1


async def test_a_refusal_is_no_answer_to_keep(tmp_path: Path) -> None:
    """It has changed nothing, and the next try with the key is the first."""
    async with serving(tmp_path) as api:
        refused = await ask(api, "POST", "/vms", NEW)
        assert (refused.status_code, refused.json()["code"]) == (404, "plugin_not_found")
        await api.installed()
        made = await ask(api, "POST", "/vms", NEW)
        assert (made.status_code, "idempotent-replayed" in made.headers) == (201, False)


async def test_a_replay_comes_before_every_precondition(tmp_path: Path) -> None:
    """V2: the first one held it, and moved the revision on."""
    async with serving(tmp_path) as api:
        await api.installed()
        await api.post("/vms", **NEW)
        tag = f'"{api.store.vm("a").meta.revision}"'
        first = await ask(api, "POST", "/vms/a/restart", if_match=tag)
        assert is_replay_of(await ask(api, "POST", "/vms/a/restart", if_match=tag), first)
        assert (await ask(api, "POST", "/vms/a/restart", if_match=tag, key="k-2")).status_code == 412


async def test_an_end_that_was_waited_for_is_replayed_when_it_is_long_past(tmp_path: Path) -> None:
    async with serving(tmp_path) as api, asyncio.TaskGroup() as tasks:
        await api.installed()
        await api.post("/vms", **NEW)
        await api.runs("a")
        stop = tasks.create_task(ask(api, "POST", "/vms/a/stop"))
        await api.asked("a", "stopped")
        await api.stops("a")
        assert (await stop).json()["status"] == "stopped"
        await api.post("/vms/a/start")
        assert is_replay_of(await ask(api, "POST", "/vms/a/stop"), await stop)
        delete = tasks.create_task(ask(api, "DELETE", "/vms/a", key="k-2"))
        await api.clears(await api.asked_to_go(VM))
        assert (await delete).status_code == 204
        assert is_replay_of(await ask(api, "DELETE", "/vms/a", key="k-2"), await delete)
        assert (await ask(api, "DELETE", "/vms/a", key="k-3")).status_code == 404


async def test_a_wait_that_timed_out_is_replayed_as_such(tmp_path: Path) -> None:
    async with serving(tmp_path) as api:
        await api.installed()
        first = await ask(api, "POST", "/vms?wait=running&timeout=0", NEW)
        assert first.headers["volant-wait"] == "timeout"
        await api.runs("a")
        assert is_replay_of(await ask(api, "POST", "/vms?wait=running&timeout=0", NEW), first)


async def test_what_one_daemon_began_to_wait_for_the_next_one_answers(tmp_path: Path) -> None:
    async with serving(tmp_path) as api, asyncio.TaskGroup() as tasks:
        await api.installed()
        for name in ("a", "b", "c"):
            await api.post("/vms", name=name, plugin="hello")
            await api.runs(name)
        begun = [
            tasks.create_task(ask(api, "DELETE", "/vms/a", key="k-a")),
            tasks.create_task(ask(api, "DELETE", "/vms/b", key="k-b")),
            tasks.create_task(ask(api, "POST", "/vms/c/restart?wait=running", key="k-c")),
        ]
        await api.waited_for(VM, Key("VM", "b"), Key("VM", "c"))
        api.deps.stopping.set()
        assert [(await answer).headers["volant-wait"] for answer in begun] == ["stopping"] * 3
    async with serving(tmp_path) as api, asyncio.TaskGroup() as tasks:
        await api.clears(api.store.vm("a"))
        gone = await ask(api, "DELETE", "/vms/a", key="k-a")
        assert (gone.status_code, gone.headers["idempotent-replayed"]) == (204, "true")
        revision = api.store.revision
        delete = tasks.create_task(ask(api, "DELETE", "/vms/b", key="k-b"))
        restart = tasks.create_task(ask(api, "POST", "/vms/c/restart?wait=running", key="k-c"))
        await api.waited_for(Key("VM", "b"), Key("VM", "c"))
        assert api.store.revision == revision
        await api.clears(api.store.vm("b"))
        await api.runs("c")
        assert (await delete).status_code == 204
        assert ((await restart).status_code, (await restart).json()["status"]) == (200, "running")
        assert api.store.vm("c").spec.restart_nonce == 1


async def test_a_recorded_vm_is_not_mistaken_for_another_of_its_name(tmp_path: Path) -> None:
    """D5"""
    async with serving(tmp_path) as api, asyncio.TaskGroup() as tasks:
        await api.installed()
        await api.post("/vms", **NEW)
        delete = tasks.create_task(ask(api, "DELETE", "/vms/a"))
        await api.waited_for(VM)
        api.deps.stopping.set()
        await delete
    async with serving(tmp_path) as api:
        await api.clears(api.store.vm("a"))
        await api.post("/vms", **NEW)
        assert (await ask(api, "DELETE", "/vms/a")).status_code == 204
        assert not api.store.vm("a").meta.is_deleting


async def test_a_trial_keeps_no_key(tmp_path: Path) -> None:
    """A4"""
    async with serving(tmp_path) as api:
        await api.installed()
        tried = await ask(api, "POST", "/vms?dry_run=true", NEW)
        made = await ask(api, "POST", "/vms", NEW)
        assert (tried.status_code, made.status_code) == (201, 201)
        assert "idempotent-replayed" not in made.headers
