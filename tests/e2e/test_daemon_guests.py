"""A real daemon with real guests, through what happens at three in the morning."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from pathlib import Path
from typing import Any

import pytest
from tests.builders.daemon import RunningDaemon, daemon, frames, guests, hello_manifest, until

pytestmark = pytest.mark.e2e


def three_guests(running: RunningDaemon) -> list[dict[str, Any]]:
    """Install the plugin and have three replicas that answer."""
    running.post("/plugins", hello_manifest())
    running.post("/deployments", {"name": "web", "plugin": "hello", "replicas": 1})
    assert running.patch("/deployments/web", {"replicas": 3})["scaling"] is True
    vms = running.running(3)
    pages = {running.page(vm) for vm in vms}
    assert len(pages) == 3
    assert all(any(vm["name"] in page for page in pages) for vm in vms)
    return vms


def identities(vms: list[dict[str, Any]]) -> dict[str, tuple[int, int]]:
    """Name -> pid and restarts."""
    return {vm["name"]: (vm["pid"], vm["restarts"]) for vm in vms}


def test_guests_outlive_a_killed_daemon_and_no_event_is_lost(tmp_path: Path) -> None:
    """P10, P13, W1, W5, L6: same pids, no restart; a resumed stream has neither gap nor duplicate."""
    data_dir = tmp_path / "data"
    with daemon(data_dir) as first:
        before = identities(three_guests(first))
        seen = asyncio.run(frames(first.url + "/api/v1/events", last_event_id=0, until_type="deployment.available"))
        until("nothing more is written", lambda: _is_settled(first))
        first.kill()
        assert {pid for pid, _ in before.values()} == set(guests(data_dir).values())
        with daemon(data_dir) as second:
            assert identities(second.running(3)) == before
            assert all(second.page(vm) for vm in second.get("/vms"))
            second.patch("/deployments/web", {"replicas": 2})
            rest = asyncio.run(
                frames(second.url + "/api/v1/events", last_event_id=seen[-1][0], until_type="vm.deleted")
            )
            ids = [event_id for event_id, _ in seen + rest]
            assert ids == list(range(1, len(ids) + 1))
            assert {pid for pid, _ in identities(second.get("/vms")).values()} <= {pid for pid, _ in before.values()}
            second.delete("/deployments/web")
            second.delete("/plugins/hello")
            assert guests(data_dir) == {}
            assert list((data_dir / "run").iterdir()) == []
            assert second.stop() == 0


def _is_settled(running: RunningDaemon) -> bool:
    return bool(running.get("/deployments/web")["status"]["phase"] == "running")


def test_a_killed_guest_comes_back_and_a_stopped_daemon_stops_no_guest(tmp_path: Path) -> None:
    """P1, P9, P13, L6: SIGKILL of a VMM is a crash with its reason; SIGTERM of the daemon leaves the guests alone."""
    data_dir = tmp_path / "data"
    with daemon(data_dir) as first:
        first.post("/plugins", hello_manifest())
        first.post("/vms", {"name": "solo", "plugin": "hello"})
        vm = first.running(1)[0]
        os.kill(vm["pid"], signal.SIGKILL)
        back = until("it is back", lambda: _with_other_pid(first, vm))
        assert back["restarts"] == 1
        assert back["exit"]["reason"] == "killed"
        assert first.page(back)
        assert first.stop() == 0
        assert set(guests(data_dir).values()) == {back["pid"]}
        os.kill(back["pid"], signal.SIGKILL)
        with daemon(data_dir) as second:
            again = until("it is back again", lambda: _with_other_pid(second, back))
            assert again["restarts"] == 2
            second.delete("/vms/solo")
            assert guests(data_dir) == {}


def _with_other_pid(running: RunningDaemon, vm: dict[str, Any]) -> dict[str, Any] | None:
    now: dict[str, Any] = running.get(f"/vms/{vm['name']}")
    return now if now["status"] == "running" and now["pid"] != vm["pid"] else None


def test_a_vm_stops_by_itself_starts_and_restarts(tmp_path: Path) -> None:
    """The whole life of one VM over the API: stop is graceful and observed, start and restart give new guests."""
    with daemon(tmp_path / "data") as running:
        running.post("/plugins", hello_manifest())
        running.post("/vms", {"name": "solo", "plugin": "hello", "config": {"resources": {"memory_mb": 160}}})
        first = running.running(1)[0]
        assert first["resources"] == {"vcpu": 1, "memory_mb": 160}
        assert running.page(first)
        stopped = running.post("/vms/solo/stop")
        assert stopped["status"] == "stopped"
        assert guests(tmp_path / "data") == {}
        assert running.api.post("/vms/solo/stop").json()["code"] == "vm_already_stopped"
        assert running.post("/vms/solo/start")["status"] == "starting"
        second = running.running(1)[0]
        assert running.api.post("/vms/solo/start").json()["code"] == "vm_already_running"
        assert running.post("/vms/solo/restart")["status"] == "restarting"
        third = until("it was restarted", lambda: _with_other_pid(running, second))
        assert third["ip"] == first["ip"]
        assert running.page(third)
        types = [kind for _, kind in asyncio.run(_events_until_deleted(running))]
        turns = ["vm.started", "vm.stopped"] * 2 + ["vm.started", "vm.deleted"]
        assert types == ["vm.created", *turns]


async def _events_until_deleted(running: RunningDaemon) -> list[tuple[int, str]]:
    await asyncio.to_thread(running.delete, "/vms/solo")
    return await frames(running.url + "/api/v1/events/vms", last_event_id=0, until_type="vm.deleted")


def test_a_taken_port_is_a_clear_condition_and_heals(tmp_path: Path) -> None:
    """A port on the VM's address that something else holds is named, and the VM starts when it is free."""
    with daemon(tmp_path / "data") as running:
        address = running.first_address
        with socket.create_server((address, 8080)):
            running.post("/plugins", hello_manifest())
            running.post("/vms", {"name": "solo", "plugin": "hello"})
            told = until("it says why", lambda: _ready(running, "false", "DriverUnavailable"))
            assert f"{address}:8080" in told["message"]
        until("it runs", lambda: _ready(running, "true", "Running"))


def _ready(running: RunningDaemon, status: str, reason: str) -> dict[str, Any] | None:
    conditions: list[dict[str, Any]] = running.get("/vms/solo").get("conditions", [])
    return next((c for c in conditions if c["status"] == status and c["reason"] == reason), None)
