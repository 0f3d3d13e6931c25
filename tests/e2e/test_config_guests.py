"""A real guest, whose config is changed while it runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.builders.daemon import RunningDaemon, daemon, hello_manifest, until

pytestmark = pytest.mark.e2e


def looks(running: RunningDaemon) -> tuple[Any, ...]:
    vm = running.get("/vms/a")
    return vm["pid"], vm["resources"]["memory_mb"], vm["restart_required"], running.get("/vms/a/config")["resources"]


def test_a_guest_that_outlives_its_daemon_still_needs_its_restart(tmp_path: Path) -> None:
    """P10: what it was booted with is read off the guest's own record, not remembered."""
    data_dir = tmp_path / "data"
    with daemon(data_dir) as first:
        first.post("/plugins", hello_manifest())
        first.post("/vms", {"name": "a", "plugin": "hello", "config": {"resources": {"memory_mb": 128}}})
        (vm,) = first.running(1)
        assert first.patch("/vms/a/config", {"resources": {"memory_mb": 160}})["restart_required"] is True
        before, history = looks(first), first.get("/vms/a/config/history")
        assert before[:3] == (vm["pid"], 128, True)
        first.kill()
        with daemon(data_dir) as second:
            second.running(1)
            assert looks(second) == before
            assert second.get("/vms/a/config/history") == history
            assert second.patch("/vms/a/config", {"resources": {"memory_mb": 128}})["restart_required"] is False
            assert second.patch("/vms/a/config", {"resources": {"memory_mb": 160}})["restart_required"] is True
            second.post("/vms/a/restart")
            until("it runs with the new config", lambda: second.get("/vms/a")["resources"]["memory_mb"] == 160)
            (vm,) = second.running(1)
            assert looks(second)[1:3] == (160, False)
            assert f"{160}M" in Path(f"/proc/{vm['pid']}/cmdline").read_text().replace("\0", " ")
            second.delete("/vms/a")
