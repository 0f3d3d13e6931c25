"""A real daemon in trouble, and real guests that nothing happens to."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from tests.builders.daemon import RunningDaemon, daemon, guests, hello_manifest, until
from tests.builders.troubled import a_disk_that_fails

pytestmark = [pytest.mark.e2e, pytest.mark.gate]


def a_guest(running: RunningDaemon) -> int:
    """Install the plugin and have one VM that answers; its pid."""
    running.post("/plugins", hello_manifest())
    running.post("/vms", {"name": "web", "plugin": "hello"})
    (vm,) = running.running(1)
    assert running.page(vm)
    return int(vm["pid"])


def is_ready(running: RunningDaemon) -> bool:
    return running.api.get(running.url + "/readyz").status_code == 200


def test_a_change_of_daemon_without_a_lock_harms_no_guest(tmp_path: Path) -> None:
    """S2, S3, P10: somebody deletes the lock file and starts a second daemon: same guest, and one daemon in the end."""
    data = tmp_path / "data"
    with daemon(data) as first:
        pid = a_guest(first)
        (data / "volant.lock").unlink()
        with daemon(data) as second:
            assert first.process.wait(30) == 1
            assert "cannot go on: another volant" in first.log.read_text()
            until("the second one has looked", lambda: is_ready(second))
            (vm,) = second.running(1)
            assert (vm["pid"], vm["restarts"]) == (pid, 0)
            assert list(guests(data).values()) == [pid]
            assert second.page(vm)
            second.delete("/vms/web?force=true")
            assert guests(data) == {}
            assert second.stop() == 0


def test_a_guest_that_dies_while_the_disk_fails_is_started_again_afterwards(tmp_path: Path) -> None:
    """S4: its restart could not be written down, so nobody starts it; then it is started once."""
    with daemon(tmp_path / "data") as running:
        pid = a_guest(running)
        with a_disk_that_fails(running):
            assert running.api.post("/vms/web/stop").status_code == 503
            os.kill(pid, signal.SIGKILL)
            until("its end is seen", lambda: guests(running.data_dir) == {})
            assert running.api.post("/vms/web/restart").status_code == 503
            assert guests(running.data_dir) == {}
        until("it is ready again", lambda: is_ready(running))
        (vm,) = until("it runs again", lambda: [vm for vm in running.get("/vms") if vm.get("pid", pid) != pid])
        assert vm["restarts"] == 1
        assert list(guests(running.data_dir).values()) == [vm["pid"]]
        assert running.stop() == 0
