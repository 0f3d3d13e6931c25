"""A real guest that is probed over its published port: ready when it serves, ended when it hangs."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import pytest
from tests.builders.daemon import RunningDaemon, daemon, guests, hello_manifest, until

pytestmark = pytest.mark.e2e

CHECK = {
    "startup": {"period_s": 0.5, "failure_threshold": 120},
    "readiness": {"period_s": 0.5, "failure_threshold": 2},
    "liveness": {"period_s": 0.5, "failure_threshold": 4},
}


def until_it_is(running: RunningDaemon, status: str) -> dict[str, Any]:
    """The one VM, once its health is so."""

    def look() -> dict[str, Any] | None:
        vm: dict[str, Any] = running.get("/vms/web-1")
        return vm if vm.get("health", {}).get("status") == status else None

    found: dict[str, Any] = until(f"web-1 is {status}", look)
    return found


def test_a_real_guest_is_ready_when_it_serves_and_ended_when_it_hangs(tmp_path: Path) -> None:
    """P4, P10: the verdict follows the guest, outlives the daemon, and costs one restart."""
    data_dir = tmp_path / "data"
    with daemon(data_dir) as first:
        first.post("/plugins", {**hello_manifest(), "health_check": CHECK})
        first.post("/vms", {"name": "web-1", "plugin": "hello", "grace_s": 1})
        vm = until_it_is(first, "healthy")
        assert vm["restarts"] == 0
        until("it counts as ready", lambda: first.get("/vms/web-1")["conditions"][0]["status"] == "true")
        settled = first.get("/vms/web-1")
        assert "Hello from web-1" in first.page(settled)
        checked = settled["health"]["last_check"]
        until("it is checked again", lambda: first.get("/vms/web-1")["health"]["last_check"] != checked)
        assert first.get("/vms/web-1")["revision"] == settled["revision"]
        first.kill()
        with daemon(data_dir) as second:
            adopted = second.get("/vms/web-1")
            kept = ("pid", "revision", "restarts")
            assert [adopted[field] for field in kept] == [settled[field] for field in kept]
            assert adopted["health"]["status"] == "healthy"
            os.kill(guests(data_dir)[adopted["uid"]], signal.SIGSTOP)
            until("its failure is reported", lambda: second.get("/vms/web-1").get("exit"))
            again = until_it_is(second, "healthy")
            assert again["exit"]["reason"] == "unhealthy"
            assert (again["restarts"], again["pid"] != adopted["pid"]) == (1, True)
            second.delete("/vms/web-1")
            assert second.stop() == 0
