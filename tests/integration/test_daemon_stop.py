"""A daemon that is told to stop ends by itself, says goodbye to everybody, and takes nothing with it."""

from __future__ import annotations

import asyncio
import resource
import signal
import subprocess
import sys
from pathlib import Path

import httpx2
from tests.builders.daemon import BOUND_S, RunningDaemon, daemon, until

STREAMS = 100


async def _until_the_end(url: str, opened: asyncio.Semaphore) -> str:
    """Follow a stream until the server ends it; the last event's type."""
    last = ""
    client = httpx2.AsyncClient(timeout=None, trust_env=False)
    async with client, client.stream("GET", url) as answer:
        opened.release()
        async for line in answer.aiter_lines():
            last = line[7:] if line.startswith("event: ") else last
    return last


async def _stop_with_streams(running: RunningDaemon) -> list[str]:
    opened = asyncio.Semaphore(0)
    url = running.url + "/api/v1/events"
    async with asyncio.timeout(BOUND_S), asyncio.TaskGroup() as tasks:
        streams = [tasks.create_task(_until_the_end(url, opened)) for _ in range(STREAMS)]
        for _ in range(STREAMS):
            await opened.acquire()
        running.process.send_signal(signal.SIGTERM)
    return [stream.result() for stream in streams]


def test_a_hundred_streams_get_a_bye_and_the_status_is_zero(tmp_path: Path) -> None:
    """S1: an open stream does not keep the daemon from ending."""
    with daemon(tmp_path / "data", "--hypervisor", "simulated") as running:
        assert asyncio.run(_stop_with_streams(running)) == ["bye"] * STREAMS
        assert running.process.wait(BOUND_S) == 0
        assert not (tmp_path / "data" / "api.url").exists()


def test_an_interrupt_ends_it_as_well(tmp_path: Path) -> None:
    with daemon(tmp_path / "data", "--hypervisor", "simulated") as running:
        running.process.send_signal(signal.SIGINT)
        assert running.process.wait(BOUND_S) == 0


def test_what_was_acknowledged_is_there_after_a_kill(tmp_path: Path) -> None:
    """E3, V1: every write that was answered survives `kill -9`, and revisions go on from where they were."""
    with daemon(tmp_path / "data", "--hypervisor", "simulated") as first:
        first.post("/plugins", _plugin())
        names = [f"vm-{number}" for number in range(20)]
        last = max(first.post("/vms", {"name": name, "plugin": "p"})["revision"] for name in names)
        first.kill()
    with daemon(tmp_path / "data", "--hypervisor", "simulated") as second:
        assert [vm["name"] for vm in second.get("/vms")] == names
        assert second.post("/vms", {"name": "one-more", "plugin": "p"})["revision"] > last


def test_writes_are_refused_while_the_disk_is_full_and_go_on_afterwards(tmp_path: Path) -> None:
    """S4: 503 with Retry-After, nothing half done; the same daemon goes on when there is room again."""
    with daemon(tmp_path / "data", "--hypervisor", "simulated") as running:
        running.post("/plugins", _plugin())
        _limit_file_size(running.process.pid, 0)
        refused = running.api.post("/vms", json={"name": "a", "plugin": "p"})
        assert refused.status_code == 503, refused.text
        assert "retry-after" in refused.headers
        assert running.get("/vms") == []
        assert httpx2.get(running.url + "/readyz", trust_env=False).status_code == 503
        _limit_file_size(running.process.pid, resource.RLIM_INFINITY)
        until("it takes writes again", lambda: running.api.post("/vms", json={"name": "a", "plugin": "p"}).is_success)
        until("it is ready", lambda: httpx2.get(running.url + "/readyz", trust_env=False).status_code == 200)
        assert [vm["name"] for vm in running.get("/vms")] == ["a"]


def _limit_file_size(pid: int, size: int) -> None:
    """A file size limit stands for a full disk: the kernel refuses every write the same way."""
    hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)[1]
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (size, hard))


def _plugin() -> dict[str, object]:
    return {
        "name": "p",
        "version": "1",
        "kernel": {"url": "file:///nonexistent/kernel"},
        "initramfs": {"url": "file:///nonexistent/initramfs"},
    }


def test_drain_stops_every_vm(tmp_path: Path) -> None:
    """P13: stopping the daemon never stops a VM; `volant drain` is the explicit way."""
    artifacts = tmp_path / "artifacts"
    artifacts.mkdir()
    (artifacts / "k").write_bytes(b"k")
    with daemon(tmp_path / "data", "--hypervisor", "simulated", artifact_root=artifacts) as running:
        source = {"url": f"file://{artifacts}/k"}
        running.post("/plugins", {"name": "p", "version": "1", "kernel": source, "initramfs": source})
        for name in ("a", "b"):
            running.post("/vms", {"name": name, "plugin": "p"})
        running.running(2)
        command = [sys.executable, "-m", "volant", "drain", "--url", running.url]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
        assert done.stdout.splitlines() == ["a: stopped", "b: stopped"]
        assert {vm["status"] for vm in running.get("/vms")} == {"stopped"}
