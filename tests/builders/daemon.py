"""A real `volant serve` in a process of its own, for tests that need one to kill."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2

ROOT = Path(__file__).resolve().parents[2]
HELLO = ROOT / ".cache" / "volant" / "hello"
BOUND_S = 90.0


def hello_manifest() -> dict[str, Any]:
    """The manifest of the demo guest that set-up has built."""
    found: dict[str, Any] = json.loads((HELLO / "hello.json").read_text())
    return found


def until(what: str, check: Callable[[], Any], bound_s: float = BOUND_S) -> Any:
    """The first truthy answer of `check`; fails when it does not come within the bound."""
    deadline = time.monotonic() + bound_s
    while time.monotonic() < deadline:
        answer = check()
        if answer:
            return answer
        time.sleep(0.02)
    raise AssertionError(f"{what}: not within {bound_s:.0f} s")


class RunningDaemon:
    """One life of a daemon on a data directory; a second one on the same directory is its successor."""

    def __init__(self, data_dir: Path, *flags: str, artifact_root: Path = HELLO) -> None:
        self.data_dir = data_dir
        self.log = data_dir.parent / f"{data_dir.name}.log"
        command = [sys.executable, "-m", "volant", "serve", "--listen", "127.0.0.1:0", "--log-format", "json"]
        command += ["--data-dir", str(data_dir), "--artifact-root", str(artifact_root), *flags]
        # Loopback addresses of its own for every test process: tests run side by side, and a host has one loopback.
        network = f"127.{100 + os.getpid() % 100}.{os.getpid() // 100 % 250}"
        command += ["--pool", f"{network}.0/24"]
        self.first_address = f"{network}.10"
        url_file = data_dir / "api.url"
        url_file.unlink(missing_ok=True)
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        self.url = until("the daemon answers", lambda: self._url(url_file))
        self.api = httpx2.Client(base_url=self.url + "/api/v1", timeout=BOUND_S, trust_env=False)

    def _url(self, file: Path) -> str:
        assert self.process.poll() is None, self.log.read_text()
        return file.read_text().strip() if file.exists() else ""

    def get(self, path: str, **query: Any) -> Any:
        """The JSON of a GET that succeeds."""
        return self.api.get(path, params=query).raise_for_status().json()

    def post(self, path: str, body: Any = None) -> Any:
        """The JSON of a POST that succeeds."""
        answer = self.api.post(path, json=body)
        assert answer.is_success, answer.text
        return answer.json() if answer.content else None

    def patch(self, path: str, body: Any) -> Any:
        """The JSON of a PATCH that succeeds."""
        answer = self.api.patch(path, json=body)
        assert answer.is_success, answer.text
        return answer.json()

    def delete(self, path: str) -> None:
        """A DELETE that succeeds."""
        answer = self.api.delete(path)
        assert answer.status_code == 204, answer.text

    def running(self, count: int) -> list[dict[str, Any]]:
        """The VMs, once `count` of them run."""

        def look() -> list[dict[str, Any]] | None:
            vms: list[dict[str, Any]] = self.get("/vms")
            return vms if sum(vm["status"] == "running" for vm in vms) == count == len(vms) else None

        found: list[dict[str, Any]] = until(f"{count} VMs run", look)
        return found

    def page(self, vm: dict[str, Any]) -> str:
        """The page of a guest, once it answers."""
        endpoint = vm["endpoints"][0]
        url = f"http://{endpoint['address']}:{endpoint['port']}/"

        def look() -> str:
            try:
                answer = httpx2.get(url, timeout=2, trust_env=False)
            except httpx2.HTTPError:
                return ""
            return answer.text

        found: str = until(f"{url} answers", look)
        return found

    def kill(self) -> None:
        """`kill -9`: no chance to do anything."""
        self.process.kill()
        self.process.wait(10)
        self.api.close()

    def stop(self) -> int:
        """SIGTERM; the exit status."""
        self.process.send_signal(signal.SIGTERM)
        self.api.close()
        return self.process.wait(30)


@contextmanager
def daemon(data_dir: Path, *flags: str, **more: Any) -> Iterator[RunningDaemon]:
    """A daemon that is gone at the end, and every guest of its data directory with it."""
    running = RunningDaemon(data_dir, *flags, **more)
    try:
        yield running
    finally:
        if running.process.poll() is None:
            running.kill()
        running.api.close()
        kill_guests(data_dir)


def guests(data_dir: Path) -> dict[str, int]:
    """uid -> pid of every live QEMU whose working directory is below the data directory."""
    found = {}
    for uid_dir in sorted((data_dir / "run").iterdir()) if (data_dir / "run").exists() else []:
        record = uid_dir / "instance.json"
        if record.exists():
            pid = json.loads(record.read_bytes())["identity"]["pid"]
            if uid_dir.name.encode() in _cmdline(pid):
                found[uid_dir.name] = pid
    return found


def kill_guests(data_dir: Path) -> None:
    """End what a test has left."""
    for uid, pid in guests(data_dir).items():
        handle = os.pidfd_open(pid)
        try:
            if uid.encode() in _cmdline(pid):
                signal.pidfd_send_signal(handle, signal.SIGKILL)
        except ProcessLookupError:
            pass
        finally:
            os.close(handle)


def _cmdline(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


async def frames(url: str, *, last_event_id: int | None = None, until_type: str = "bye") -> list[tuple[int, str]]:
    """(id, type) of every event of a stream, up to and with the first of `until_type`; bounded in time."""
    headers = {} if last_event_id is None else {"last-event-id": str(last_event_id)}
    seen: list[tuple[int, str]] = []
    event_id = 0
    client = httpx2.AsyncClient(timeout=None, trust_env=False)
    async with asyncio.timeout(BOUND_S), client, client.stream("GET", url, headers=headers) as answer:
        assert answer.status_code == 200
        async for line in answer.aiter_lines():
            if line.startswith("id: "):
                event_id = int(line[4:])
            elif line.startswith("event: "):
                seen.append((event_id, line[7:]))
                if line[7:] == until_type:
                    return seen
    raise AssertionError(f"the stream ended without {until_type}: {seen[-3:]}")
