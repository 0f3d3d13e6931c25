"""A rolling update as a client sees it: version 1 becomes 2, a broken version 3 is taken back, no request fails.

The client follows the endpoints of the deployment, as a load balancer does, and asks them in turn. Waits are bounded;
whatever goes wrong, the guests and the daemon of this script are gone when it ends.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

from rich.console import Console

from volant.client import AsyncClient
from volant.client.call import Call, at, shown
from volant.model.views import DeploymentView, ReplicaView

ROOT = Path(__file__).resolve().parents[2]
HELLO = ROOT / ".cache" / "volant" / "hello"
REPLICAS = 2
EVERY_S, PATIENCE_S, BOOT_S = 0.05, 20.0, 120.0
CHECK = {"path": "/version", "startup": {"period_s": 0.5, "failure_threshold": 200}, "readiness": {"period_s": 1}}
STRATEGY = {"max_surge": 1, "max_unavailable": 0, "drain_s": 1, "auto_revert": True, "progress_deadline_s": 600}
out = Console(highlight=False)


class Failure(Exception):
    """What this script promised does not hold."""


def config(version: str, page: str = "version") -> dict[str, Any]:
    """What the guests are told: to serve their version at /version, which their health check asks for."""
    user_data = f"#cloud-config\nwrite_files:\n- path: /www/{page}\n  content: '{version}'\n"
    return {"cloud_init": {"user_data": user_data}, "env": {"VERSION": version}}


class LoadBalancer:
    """Asks one endpoint after another, every 50 ms, and counts what it hears."""

    def __init__(self, volant: AsyncClient) -> None:
        self._volant = volant
        self._replicas: tuple[ReplicaView, ...] = ()
        self._second: Counter[str] = Counter()
        self.versions: list[str] = []
        self.failed: list[str] = []
        self.asked = 0

    async def follow(self) -> None:
        """Know who may be asked."""
        async for now in self._volant.follow_endpoints("web"):
            self._replicas = now.endpoints

    async def ask(self) -> None:
        """For ever, whether the one before was answered or not."""
        async with asyncio.TaskGroup() as tasks:
            while not self._replicas:
                await asyncio.sleep(EVERY_S)
            while True:
                tasks.create_task(self._ask_one())
                await asyncio.sleep(EVERY_S)

    async def tell(self) -> None:
        """A line a second."""
        began = time.monotonic()
        while True:
            await asyncio.sleep(1.0)
            second, self._second = self._second, Counter()
            heard = "  ".join(f"v{version} {times}" for version, times in sorted(second.items()))
            names = " ".join(replica.vm for replica in self._replicas)
            at_s = time.monotonic() - began
            out.print(f"    {at_s:5.1f} s  {second.total():3} answered   {heard:16} [dim]{names}[/]", soft_wrap=True)

    async def _ask_one(self) -> None:
        self.asked += 1
        if not self._replicas:
            self.failed.append("there is nobody to ask")
            return
        replica = self._replicas[self.asked % len(self._replicas)]
        try:
            async with asyncio.timeout(PATIENCE_S):
                version = await fetched(replica)
        except (OSError, ValueError) as error:
            self.failed.append(f"{replica.vm}: {error!r}")
        else:
            self._second[version] += 1
            if version not in self.versions:
                self.versions.append(version)


async def fetched(replica: ReplicaView) -> str:
    """The version that a replica serves. OSError or ValueError when it does not."""
    at_ = replica.ports[0]
    reader, writer = await asyncio.open_connection(at_.address, at_.port)
    try:
        writer.write(f"GET /version HTTP/1.0\r\nHost: {at_.address}\r\n\r\n".encode())
        head, _, body = (await reader.read()).partition(b"\r\n\r\n")
    finally:
        writer.close()
    if b" 200 " not in head.split(b"\r\n")[0] or not body:
        raise ValueError(f"{head[:40]!r}")
    return body.decode().strip()


@asynccontextmanager
async def daemon(home: Path) -> AsyncIterator[str]:
    """The address of a `volant serve` of our own."""
    command = [sys.executable, "-m", "volant", "serve", "--listen", "127.0.0.1:0", "--data-dir", str(home / "data")]
    # Loopback addresses of its own, so that a Volant that runs here already is not in the way.
    pool = f"127.{100 + os.getpid() % 100}.{os.getpid() // 100 % 250}.0/24"
    with (home / "daemon.log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            *command, "--artifact-root", str(HELLO), "--pool", pool, stdout=log, stderr=log, start_new_session=True
        )
    url_file = home / "data" / "api.url"
    try:
        await until("the daemon is up", lambda: url_file.exists() and url_file.read_text().strip())
        yield url_file.read_text().strip()
    finally:
        with suppress(ProcessLookupError):
            process.send_signal(signal.SIGTERM)
        await process.wait()


async def until(what: str, is_so: Callable[[], object]) -> None:
    """Failure when it does not come in time."""
    deadline = time.monotonic() + BOOT_S
    while not is_so():
        if time.monotonic() > deadline:
            raise Failure(f"{what}: not within {BOOT_S:.0f} s")
        await asyncio.sleep(0.05)


async def rolled(volant: AsyncClient, body: dict[str, Any]) -> DeploymentView:
    """PATCH the deployment, and see its rollout to an end: that of the new template, or of the one before."""
    call = Call(
        method="PATCH", path=at("deployments", "web"), body=json.dumps(body).encode(), read=shown(DeploymentView)
    )
    asked = await volant.send(call)
    deadline = time.monotonic() + BOOT_S
    while time.monotonic() < deadline:
        now = await volant.deployments.get("web")
        is_seen = now.status.observed_generation >= max(asked.generation, now.generation)
        left = await volant.vms.list(deployment="web")
        if is_seen and now.rollout == "complete" and len(left) == REPLICAS:
            return now
        await asyncio.sleep(0.2)
    raise Failure(f"the rollout did not come to an end within {BOOT_S:.0f} s")


async def play(volant: AsyncClient, balancer: LoadBalancer) -> None:
    """Version 2, then version 3."""
    out.print('\n[bold cyan]==>[/] [bold]Version 2:  PATCH /api/v1/deployments/web {"config": ...}[/]')
    await rolled(volant, {"config": config("2")})
    await asyncio.sleep(1.0)
    out.print("\n[bold cyan]==>[/] [bold]Version 3, which does not serve its page[/]")
    now = await rolled(volant, {"config": config("3", page="elsewhere"), "strategy": {"progress_deadline_s": 10}})
    for event in await volant.deployments.events("web"):
        if event.reason in ("RolloutStarted", "ProgressDeadlineExceeded", "RolledBack", "RolloutComplete"):
            out.print(f"    [green]{event.reason:24}[/] [dim]{event.message or ''}[/]", soft_wrap=True)
    if now.config.env["VERSION"] != "2":
        raise Failure("version 3 was not taken back")
    if balancer.versions != ["1", "2"]:
        raise Failure(f"the client has seen {balancer.versions}")


async def watched(volant: AsyncClient) -> LoadBalancer:
    """All of it, with the client beside it."""
    balancer = LoadBalancer(volant)
    playing = asyncio.create_task(play(volant, balancer))
    others = [asyncio.create_task(job()) for job in (balancer.follow, balancer.ask, balancer.tell)]
    done, _ = await asyncio.wait([playing, *others], return_when=asyncio.FIRST_COMPLETED)
    for task in (playing, *others):
        task.cancel()
    await asyncio.wait([playing, *others])
    for task in done:
        task.result()
    if balancer.failed:
        raise Failure(f"{len(balancer.failed)} requests failed, the first: {balancer.failed[0]}")
    return balancer


async def main(home: Path) -> None:
    """Two replicas, then everything."""
    manifest = json.loads((HELLO / "hello.json").read_text())
    async with daemon(home) as url, AsyncClient(url, timeout_s=60) as volant:
        out.print(f"[bold cyan]==>[/] [bold]Version 1, two replicas[/]  {url}")
        await volant.plugins.create({**manifest, "health_check": CHECK}, wait="ready", timeout_s=60)
        web = {"name": "web", "plugin": "hello", "replicas": REPLICAS, "config": config("1"), "strategy": STRATEGY}
        try:
            await volant.deployments.create(web, wait="available", timeout_s=BOOT_S)
            balancer = await watched(volant)
        finally:
            await volant.deployments.delete("web", wait="deleted", timeout_s=60)
    out.print(
        f"\n[bold green]Done[/]: {balancer.asked} requests, none failed; versions {' then '.join(balancer.versions)}."
    )


if __name__ == "__main__":
    place = Path(tempfile.mkdtemp(prefix="volant-demo-"))
    try:
        asyncio.run(main(place))
    except Failure as failure:
        out.print(f"\n[bold red]Failed:[/] {failure}")
        out.print((place / "daemon.log").read_text()[-4000:], markup=False)
        sys.exit(1)
    finally:
        shutil.rmtree(place, ignore_errors=True)
