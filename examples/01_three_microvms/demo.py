"""Three real microVMs from one PATCH: the main job of Volant, end to end, on this machine.

Everything goes over HTTP, as any client would do it. Every wait is bounded; whatever goes wrong, the guests and the
daemon of this script are gone when it ends (unless `--keep` asked for them to stay).
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import httpx2
from rich.console import Console

ROOT = Path(__file__).resolve().parents[2]
HELLO = ROOT / ".cache" / "volant" / "hello"
BOOT_S = 120.0
out = Console(highlight=False)


class Failure(Exception):
    """What this script promised does not hold."""


def step(text: str) -> None:
    """Say what happens next."""
    out.print(f"\n[bold cyan]==>[/] [bold]{text}[/]")


def until(what: str, check: Callable[[], Any], bound_s: float) -> Any:
    """The first truthy answer of `check`, or Failure when it does not come in time."""
    deadline = time.monotonic() + bound_s
    while time.monotonic() < deadline:
        answer = check()
        if answer:
            return answer
        time.sleep(0.05)
    raise Failure(f"{what}: not within {bound_s:.0f} s")


class Daemon:
    """A `volant serve` of our own, on a free port."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.log = home / "daemon.log"
        command = [sys.executable, "-m", "volant", "serve", "--listen", "127.0.0.1:0"]
        command += ["--data-dir", str(home / "data"), "--artifact-root", str(HELLO)]
        # Loopback addresses of its own, so that a Volant that runs here already is not in the way.
        command += ["--pool", f"127.{100 + os.getpid() % 100}.{os.getpid() // 100 % 250}.0/24"]
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
        url_file = home / "data" / "api.url"
        self.url = until("the daemon is up", lambda: self._url(url_file), 60)
        self.api = httpx2.Client(base_url=self.url + "/api/v1", timeout=90, trust_env=False)

    def _url(self, file: Path) -> str:
        if self.process.poll() is not None:
            raise Failure(f"the daemon ended with status {self.process.returncode}:\n{self.log.read_text()}")
        return file.read_text().strip() if file.exists() else ""

    def call(self, method: str, path: str, body: Any = None) -> Any:
        """One request; Failure with the error's sentence unless it succeeds."""
        answer = self.api.request(method, path, json=body)
        if answer.is_error:
            raise Failure(f"{method} {path}: {answer.status_code} {answer.text}")
        return answer.json() if answer.content else None

    def vms(self) -> list[dict[str, Any]]:
        """What the API says of the VMs."""
        found: list[dict[str, Any]] = self.call("GET", "/vms")
        return found

    def stop(self) -> int:
        """SIGTERM; the exit status."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(30)


class Stream(threading.Thread):
    """Prints the event stream beside whatever else happens."""

    def __init__(self, url: str) -> None:
        super().__init__(daemon=True)
        self.url = url
        self.seen: list[tuple[str, str, str]] = []
        self.connected = threading.Event()
        self.ended_with = ""

    def run(self) -> None:
        """Follow `/events` until the daemon says bye."""
        started = time.monotonic()
        timeout = httpx2.Timeout(10, read=60)
        client = httpx2.Client(timeout=timeout, trust_env=False)
        with client, client.stream("GET", self.url + "/api/v1/events") as answer:
            self.connected.set()
            for kind, data in frames(answer.iter_lines()):
                self.ended_with = kind
                if kind == "bye":
                    return
                self.show(time.monotonic() - started, kind, data)

    def show(self, at_s: float, kind: str, data: dict[str, Any]) -> None:
        """One line for one event."""
        name = str(data.get("name", ""))
        self.seen.append((kind, name, str(data.get("uid", ""))))
        if kind.endswith(".updated"):
            return
        more = " ".join(str(data[k]) for k in ("ip", "reason", "message") if data.get(k))
        out.print(f"    [dim]{at_s:6.2f}s[/]  [green]{kind:24}[/] {name:10} [dim]{more}[/]", soft_wrap=True)


def frames(lines: Iterator[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    """The events of an SSE stream."""
    kind = ""
    for line in lines:
        if line.startswith("event: "):
            kind = line[7:]
        elif line.startswith("data: "):
            yield kind, json.loads(line[6:])


def fetch(vm: dict[str, Any]) -> str:
    """The page that a guest serves at its own address; empty while it does not answer yet."""
    endpoint = vm["endpoints"][0]
    try:
        answer = httpx2.get(f"http://{endpoint['address']}:{endpoint['port']}/", timeout=5, trust_env=False)
    except httpx2.HTTPError:
        return ""
    return answer.text if answer.status_code == 200 and vm["name"] in answer.text else ""


def all_answer(daemon: Daemon, count: int) -> dict[str, str]:
    """Name -> page, once `count` VMs run and each has answered."""

    def running() -> list[dict[str, Any]]:
        found = [vm for vm in daemon.vms() if vm["status"] == "running" and vm.get("endpoints")]
        return found if len(found) == count else []

    pages = {}
    for vm in until(f"{count} VMs run", running, BOOT_S):
        page = until(f"{vm['name']} answers at {vm['ip']}", partial(fetch, vm), BOOT_S)
        title = next(line for line in page.splitlines() if vm["name"] in line)
        out.print(f"    [bold]{vm['ip']}[/] pid {vm['pid']}: {title.strip()}")
        pages[vm["name"]] = page
    return pages


def processes_of(home: Path) -> list[int]:
    """Pids of every QEMU that works below our data directory."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        # Processes of others may not be looked into, and some are gone by now.
        with contextlib.suppress(OSError):
            is_below = (entry / "cwd").readlink().is_relative_to(home / "data")
            if is_below and b"qemu-system" in (entry / "cmdline").read_bytes():
                found.append(int(entry.name))
    return found


def files_of_vms(home: Path) -> list[Path]:
    """Whatever lies in the run directory."""
    run = home / "data" / "run"
    return sorted(run.rglob("*")) if run.exists() else []


def three_from_one_patch(daemon: Daemon) -> None:
    """Install, create, scale, and read a page from each guest."""
    step("Install the plugin from its manifest:  POST /api/v1/plugins")
    manifest = json.loads((HELLO / "hello.json").read_text())
    daemon.call("POST", "/plugins", manifest)
    step("Create a deployment, then scale it:  PATCH /api/v1/deployments/web {'replicas': 3}")
    daemon.call("POST", "/deployments", {"name": "web", "plugin": "hello", "replicas": 1})
    answer = daemon.call("PATCH", "/deployments/web", {"replicas": 3})
    short = {key: answer[key] for key in ("name", "replicas", "ready_replicas", "vms", "scaling")}
    out.print(f"    [dim]{json.dumps(short)}[/]", soft_wrap=True)
    pages = all_answer(daemon, 3)
    if len(set(pages.values())) != 3:
        raise Failure("the three pages are not of three guests")
    # The same look that finds nothing at the end has to find three now, or it would prove nothing then.
    if set(processes_of(daemon.home)) != {vm["pid"] for vm in daemon.vms()} or not files_of_vms(daemon.home):
        raise Failure(f"there should be three QEMU processes with files: {processes_of(daemon.home)}")


def survives_a_kill(daemon: Daemon) -> None:
    """SIGKILL one QEMU and see the replica come back."""
    victim = daemon.vms()[1]
    step(f"Kill one QEMU process:  kill -9 {victim['pid']}  ({victim['name']})")
    os.kill(victim["pid"], signal.SIGKILL)

    def is_back() -> dict[str, Any] | None:
        vm: dict[str, Any] = daemon.call("GET", f"/vms/{victim['name']}")
        return vm if vm["status"] == "running" and vm["pid"] != victim["pid"] else None

    back = until(f"{victim['name']} is back", is_back, BOOT_S)
    until(f"{back['name']} answers again", lambda: fetch(back), BOOT_S)
    out.print(f"    {back['name']} is back: pid {victim['pid']} -> {back['pid']}, restarts {back['restarts']}")


def leaves_nothing(daemon: Daemon) -> None:
    """Scale down, delete, and look for what is left."""
    step("Scale to 1:  PATCH /api/v1/deployments/web {'replicas': 1}")
    daemon.call("PATCH", "/deployments/web", {"replicas": 1})
    until("one VM is left", lambda: len(daemon.vms()) == 1, 60)
    step("Delete everything:  DELETE /api/v1/deployments/web, DELETE /api/v1/plugins/hello")
    daemon.call("DELETE", "/deployments/web")
    daemon.call("DELETE", "/plugins/hello")
    left = (daemon.vms(), processes_of(daemon.home), files_of_vms(daemon.home))
    if any(left):
        raise Failure(f"something is left: VMs {left[0]}, processes {left[1]}, files {left[2]}")
    out.print("    no VM, no QEMU process, no file of a VM is left")


def say_goodbye(daemon: Daemon) -> None:
    """What to try with the daemon that stays."""
    url = daemon.url
    step("The daemon stays. Try:")
    vm = daemon.vms()[0]
    endpoint = vm["endpoints"][0]
    for line in (
        f"curl {url}/api/v1/vms",
        f"curl http://{endpoint['address']}:{endpoint['port']}/",
        f"curl -N {url}/api/v1/events",
        f"curl -X PATCH {url}/api/v1/deployments/web -H 'Content-Type: application/json' -d '{{\"replicas\": 5}}'",
        f"curl -X POST {url}/api/v1/vms/{vm['name']}/restart",
    ):
        out.print(f"    {line}", soft_wrap=True)
    out.print("\n    To end it, delete the deployment and then stop the daemon:")
    out.print(
        f"    curl -X DELETE {url}/api/v1/deployments/web; kill {daemon.process.pid}; rm -r {daemon.home}",
        soft_wrap=True,
    )


def main() -> int:
    """Run it all; 0 iff everything that was promised held."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--keep", action="store_true", help="leave the guests and the daemon running at the end")
    keep = parser.parse_args().keep
    home = Path(tempfile.mkdtemp(prefix="volant-demo-"))
    daemon: Daemon | None = None
    kept = False
    began = time.monotonic()
    try:
        step("Start the daemon:  volant serve")
        daemon = Daemon(home)
        info = daemon.call("GET", "/system/info")
        out.print(
            f"    {daemon.url}  volant {info['version']}, {info['hypervisor']}, accelerator {info['accelerator']}"
        )
        stream = Stream(daemon.url)
        stream.start()
        if not stream.connected.wait(10):
            raise Failure("the event stream did not open")
        three_from_one_patch(daemon)
        survives_a_kill(daemon)
        if keep:
            say_goodbye(daemon)
            kept = True
            return 0
        leaves_nothing(daemon)
        step("Stop the daemon:  SIGTERM")
        status = daemon.stop()
        stream.join(10)
        if status != 0 or stream.ended_with != "bye":
            raise Failure(f"the daemon ended with status {status}, the stream with '{stream.ended_with}'")
        out.print(f"\n[bold green]Done[/] in {time.monotonic() - began:.1f} s: everything held.")
    except Failure as failure:
        out.print(f"\n[bold red]Failed:[/] {failure}")
        if daemon is not None:
            out.print(daemon.log.read_text()[-4000:], markup=False)
        return 1
    finally:
        if not kept:
            clean_up(daemon, home)
    return 0


def clean_up(daemon: Daemon | None, home: Path) -> None:
    """End what this script started, whatever happened before."""
    if daemon is not None and daemon.process.poll() is None:
        daemon.process.kill()
        daemon.process.wait(10)
    for pid in processes_of(home):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    shutil.rmtree(home, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
