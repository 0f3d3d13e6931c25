"""S4, S5: a real daemon whose disk fails or whose database is locked, and what comes of it when that is over."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import httpx2
import pytest
from tests.builders.daemon import RunningDaemon, daemon, frames, until
from tests.builders.troubled import a_disk_that_fails, a_locked_database

Trouble = Callable[[RunningDaemon], AbstractContextManager[str]]


async def at_once(*requests: Callable[[], httpx2.Response]) -> list[httpx2.Response]:
    """The answers to requests of which none waits for another."""
    return await asyncio.gather(*(asyncio.to_thread(request) for request in requests))


def health(running: RunningDaemon, path: str) -> tuple[int, dict[str, Any]]:
    """Status and checks."""
    answer = running.api.get(running.url + path)
    return answer.status_code, answer.json()["checks"]


def is_ready(running: RunningDaemon) -> bool:
    return health(running, "/readyz")[0] == 200


def plugin(directory: Path) -> dict[str, Any]:
    """A plugin whose artifacts are two small files."""
    for role in ("kernel", "initramfs"):
        (directory / role).write_text(role)
    return {
        "name": "hello",
        "version": "1",
        "workload": {"type": "http", "port": 8080},
        "kernel": {"url": (directory / "kernel").as_uri()},
        "initramfs": {"url": (directory / "initramfs").as_uri()},
    }


@pytest.mark.parametrize("trouble", [a_disk_that_fails, a_locked_database], ids=lambda made: made.__name__)
async def test_writes_are_refused_reads_go_on_and_it_heals_alone(trouble: Trouble, tmp_path: Path) -> None:
    """S4, S5, E3: 503 with Retry-After and nothing half done; no restart is asked for, none is needed."""
    with daemon(tmp_path / "data", "--hypervisor", "simulated", artifact_root=tmp_path) as running:
        running.post("/plugins", plugin(tmp_path))
        running.post("/vms", {"name": "before", "plugin": "hello"})
        running.running(1)
        until("it is ready", lambda: is_ready(running))
        with trouble(running) as said:
            for answer in await at_once(
                lambda: running.api.post("/vms", json={"name": "meanwhile", "plugin": "hello"}),
                lambda: running.api.post("/vms/before/stop"),
                lambda: running.api.post("/deployments", json={"name": "many", "plugin": "hello", "replicas": 3}),
            ):
                assert (answer.status_code, answer.headers["retry-after"]) == (503, "1"), answer.text
                assert said in answer.json()["error"]
            assert [vm["name"] for vm in running.running(1)] == ["before"]
            status, checks = health(running, "/readyz")
            assert status == 503
            assert said in checks["store"]["message"]
            assert health(running, "/healthz")[0] == 200
        until("it is ready again", lambda: is_ready(running))
        running.post("/vms", {"name": "after", "plugin": "hello"})
        running.running(2)
        running.delete("/vms/before")
        # Every revision from the first to the last, none of them twice: what was refused has left nothing.
        seen = await frames(running.url + "/api/v1/events", last_event_id=0, until_type="vm.deleted")
        assert [revision for revision, _ in seen] == list(range(1, len(seen) + 1))
        assert running.stop() == 0
