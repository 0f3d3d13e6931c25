"""The processes that are measured: a real daemon, or the baseline. Black boxes that are spoken to over HTTP.

Each has a directory of its own and is ended by its own pid, guests included. A server that does not come up, or ends by
itself, is a measurement that could not be made, and the end of its log says why.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal, TypeVar
from urllib.parse import urlsplit

from bench.host import ALL_CORES, SERVER_CORES, on_cores
from bench.report import NotMeasured
from bench.wire import API, Address

T = TypeVar("T")
ROOT = Path(__file__).resolve().parents[1]
START_S = 30.0
PLUGIN = "bench"


def until(what: str, check: Callable[[], T | None], bound_s: float, every_s: float = 0.002) -> T:
    """The first answer of `check` that is not None; NotMeasured when it does not come in time."""
    deadline = time.monotonic() + bound_s
    while time.monotonic() < deadline:
        found = check()
        if found is not None:
            return found
        time.sleep(every_s)
    raise NotMeasured(f"{what}: not within {bound_s:.0f} s")


class Server:
    """A process that writes its URL into a file when it listens."""

    def __init__(self, command: list[str], url_file: Path, log: Path, cores: frozenset[int]) -> None:
        self.log = log
        with log.open("wb") as out, on_cores(cores):
            self.process = subprocess.Popen(command, stdout=out, stderr=out, cwd=ROOT)
        self.pid = self.process.pid
        try:
            self.url = until("the server listens", lambda: self._url(url_file), START_S)
        except BaseException:
            self.kill()
            raise
        parts = urlsplit(self.url)
        self.address: Address = (str(parts.hostname), int(parts.port or 0))

    def _url(self, file: Path) -> str | None:
        self.check()
        return (file.read_text().strip() or None) if file.exists() else None

    def check(self) -> None:
        """Raise NotMeasured when the process has ended."""
        if self.process.poll() is not None:
            said = self.log.read_text(errors="replace").strip().splitlines() or ["it said nothing"]
            raise NotMeasured(f"the server ended with status {self.process.returncode}: {said[-1][:500]}")

    def kill(self) -> None:
        """End it whatever state it is in. Harmless when it is gone."""
        self.process.kill()
        self.process.wait()


class Daemon(Server):
    """A `volant serve` with a data directory of its own."""

    def __init__(
        self, home: Path, hypervisor: Literal["simulated", "qemu"], cores: frozenset[int], *flags: str
    ) -> None:
        self.data = home / "data"
        command = [sys.executable, "-m", "volant", "serve", "--listen", "127.0.0.1:0", "--data-dir", str(self.data)]
        command += ["--hypervisor", hypervisor, "--log-level", "warning", *flags]
        super().__init__(command, self.data / "api.url", home / "daemon.log", cores)

    def call(self, method: str, path: str, body: Any = None, *, bound_s: float = 60.0) -> Any:
        """One request; the decoded body. NotMeasured with the error's sentence unless it succeeds."""
        connection = http.client.HTTPConnection(*self.address, timeout=bound_s)
        try:
            payload = None if body is None else json.dumps(body)
            connection.request(method, API + path, payload, {"content-type": "application/json"} if payload else {})
            got = connection.getresponse()
            text = got.read()
        except (OSError, http.client.HTTPException) as exc:
            self.check()
            raise NotMeasured(f"{method} {path} got no answer: {exc!r}") from exc
        finally:
            connection.close()
        if got.status >= 400:
            raise NotMeasured(f"{method} {path}: {got.status} {text.decode(errors='replace')[:300]}")
        return json.loads(text) if text else None

    def kill(self) -> None:
        """End the daemon and whatever guests it left."""
        super().kill()
        for pid in processes_naming(str(self.data)):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def processes_naming(text: str) -> list[int]:
    """Pids of the QEMU processes whose working directory contains `text`."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                # QEMU is given descriptors, not paths: what ties it to a data directory is where it works.
                program = (entry / "cmdline").read_bytes().split(b"\0", 1)[0]
                if text in str((entry / "cwd").readlink()) and b"qemu-system" in program:
                    found.append(int(entry.name))
    return sorted(found)


@contextlib.contextmanager
def temporary() -> Iterator[Path]:
    """A directory that a VMM without root may pass through, gone at the end."""
    home = Path(tempfile.mkdtemp(prefix="volant-bench-"))
    home.chmod(0o711)
    try:
        yield home
    finally:
        shutil.rmtree(home, ignore_errors=True)


@contextlib.contextmanager
def simulated(*flags: str, cores: frozenset[int] = SERVER_CORES) -> Iterator[Daemon]:
    """A daemon on the simulated hypervisor, with the plugin `bench` installed and ready."""
    with temporary() as home:
        artifacts = home / "artifacts"
        artifacts.mkdir()
        for role in ("kernel", "initramfs"):
            (artifacts / role).write_bytes(f"the {role} of guests that are not real\n".encode())
        daemon = Daemon(home, "simulated", cores, "--artifact-root", str(artifacts), *flags)
        try:
            install(daemon, manifest(PLUGIN, artifacts))
            yield daemon
        finally:
            daemon.kill()


def manifest(name: str, artifacts: Path) -> dict[str, Any]:
    """A plugin whose artifacts are the files `kernel` and `initramfs` of a directory."""
    return {
        "name": name,
        "version": "1",
        "workload": {"type": "http", "port": 8080},
        "resources": {"vcpu": 1, "memory_mb": 128},
        "kernel": {"url": (artifacts / "kernel").as_uri()},
        "initramfs": {"url": (artifacts / "initramfs").as_uri()},
    }


def install(daemon: Daemon, plugin: dict[str, Any]) -> None:
    """Install a plugin and wait until its artifacts are in the cache."""
    daemon.call("POST", "/plugins", plugin)
    until("the plugin is ready", lambda: _ready_or_none(daemon, plugin["name"]), 30)


def _ready_or_none(daemon: Daemon, name: str) -> bool | None:
    artifacts = daemon.call("GET", f"/plugins/{name}")["artifacts"]
    states = {artifact["state"] for artifact in artifacts.values()}
    if "error" in states:
        raise NotMeasured(f"the plugin {name} failed: {artifacts}")
    return True if states == {"ready"} else None


@contextlib.contextmanager
def baseline(cores: frozenset[int] = SERVER_CORES) -> Iterator[Server]:
    """The bare endpoint."""
    with _module("bench.baseline", cores) as server:
        yield server


@contextlib.contextmanager
def admission(cores: frozenset[int] = SERVER_CORES) -> Iterator[Server]:
    """API and store without controllers, with the plugin `bench`."""
    with _module("bench.admission", cores) as server:
        yield server


@contextlib.contextmanager
def _module(name: str, cores: frozenset[int]) -> Iterator[Server]:
    with temporary() as home:
        file = home / "url"
        server = Server([sys.executable, "-m", name, str(file)], file, home / "log", cores)
        try:
            yield server
        finally:
            server.kill()


ANYWHERE = ALL_CORES
"""For daemons of real guests: what they start inherits their cores, and a guest must not share one with its daemon."""
