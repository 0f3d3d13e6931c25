"""The plugin postgres: SQL through the published port, and data that outlives guests and daemons."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import pytest
from tests.builders.daemon import daemon, until
from tests.builders.plugins import artifact_root, console, endpoint, example, is_clean, plugin, ready, sql

pytestmark = [pytest.mark.e2e, pytest.mark.gate, pytest.mark.timeout(420)]
PASSWORD = "a 'quoted\" $(word) \\"


def test_data_outlives_stop_start_restart_a_killed_daemon_and_a_killed_guest(tmp_path: Path) -> None:
    """E3, P13: every row that was committed is there each time, and after a clean stop nothing is recovered."""
    manifest = example("postgres/vm.yaml")
    manifest["spec"]["config"]["env"]["POSTGRES_PASSWORD"] = PASSWORD
    data_dir = tmp_path / "data"
    with daemon(data_dir, artifact_root=artifact_root()) as first:
        first.post("/plugins", plugin("postgres"))
        first.post("/apply", {"set": "shop", "objects": [manifest]})
        vm = ready(first, "db")
        assert endpoint(vm)[1] == 5432
        sql(vm, "create table kept (said text)", password=PASSWORD)
        _add(vm, "made")

        assert first.post("/vms/db/stop")["status"] == "stopped"
        first.post("/vms/db/start")
        vm = ready(first, "db", other_than=vm["pid"])
        assert _rows(vm) == ["made"]
        assert is_clean(console(first))
        _add(vm, "after a stop")

        first.post("/vms/db/restart")
        vm = ready(first, "db", other_than=vm["pid"])
        assert _rows(vm) == ["made", "after a stop"]
        assert is_clean(console(first))
        _add(vm, "after a restart")
        first.kill()
        _outlives_the_daemon(data_dir, vm)


def _outlives_the_daemon(data_dir: Path, vm: dict[str, Any]) -> None:
    assert _rows(vm)[-1] == "after a restart"
    with daemon(data_dir, artifact_root=artifact_root()) as second:
        same = ready(second, "db")
        assert same["pid"] == vm["pid"]
        _add(same, "without a daemon")
        os.kill(same["pid"], signal.SIGKILL)
        back = ready(second, "db", other_than=same["pid"])
        assert back["restarts"] == same["restarts"] + 1
        assert _rows(back) == ["made", "after a stop", "after a restart", "without a daemon"]
        assert not is_clean(console(second))
        second.delete("/vms/db")
        assert list((data_dir / "disks").iterdir()) == []


def test_a_database_without_a_password_does_not_start_and_says_why(tmp_path: Path) -> None:
    """Nothing listens that anybody may enter, unless it is asked for by name."""
    with daemon(tmp_path / "data", artifact_root=artifact_root()) as running:
        running.post("/plugins", plugin("postgres"))
        running.post("/vms", {"name": "open", "plugin": "postgres", "restart_policy": "never"})
        until("it says why", lambda: "Set POSTGRES_PASSWORD" in console(running))
        assert "ready to accept connections" not in console(running)


def _add(vm: dict[str, Any], said: str) -> None:
    sql(vm, f"insert into kept values ('{said}')", password=PASSWORD)


def _rows(vm: dict[str, Any]) -> list[str]:
    return sql(vm, "select said from kept", password=PASSWORD).splitlines()
