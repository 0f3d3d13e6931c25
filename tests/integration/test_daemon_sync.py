"""`examples/gitops` kept as a bare repository says it: by the command, and by the daemon itself."""

from __future__ import annotations

import os
import re
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from tests.builders.commands import run
from tests.builders.daemon import RunningDaemon, daemon, until
from tests.builders.repositories import Shop

COMMIT = "volant.sync/commit"
EVERYTHING = {"Plugin/hello", "VM/db", "Deployment/web", "Deployment/workers"}


class Turn(NamedTuple):
    """What a turn said: why it could not be applied, or what was done."""

    error: str
    done: str


Keeper = Callable[[], Turn]


def options(shop: Shop) -> tuple[str, ...]:
    return ("--hypervisor", "simulated", "--artifact-root", str(shop.files), "--artifact-checksums", "optional")


def synced(shop: Shop, *more: str) -> tuple[str, ...]:
    """As `options`, and a sync that is tried when it is asked for."""
    words = f"set=infra git={shop.bare} path=infra interval=1h prune force {' '.join(more)}"
    return (*options(shop), "--sync", words)


def by_command(running: RunningDaemon, shop: Shop) -> Keeper:
    state = str(shop.bare.parent / "state")
    words = ("--git", str(shop.bare), "--path", "infra", "--prune", "--force", "--once", "--state-dir", state)

    def turn() -> Turn:
        done = run(running.url, "sync", *words)
        assert done.exit_code in (0, 1), done.output
        return Turn(done.stderr if done.exit_code else "", done.stdout)

    return turn


def status(running: RunningDaemon) -> dict[str, Any]:
    found: dict[str, Any] = running.get("/syncs/infra")["status"]
    return found


def by_daemon(running: RunningDaemon, shop: Shop) -> Keeper:
    last = [0]

    def turn() -> Turn:
        until("it is there", lambda: running.get("/syncs"))
        found = running.post("/syncs/infra/sync?wait=tried")["status"]
        told = [one for one in events(running, "/syncs/infra") if one["id"] > last[0]]
        last[0] = max([last[0], *(one["id"] for one in told)])
        done = [one.get("message", "") for one in told if one["type"] in ("sync.applied", "sync.drift")]
        assert (found["state"] == "synced") == ("error" not in found), found
        return Turn(found.get("error", ""), "\n".join(done))

    return turn


def events(running: RunningDaemon, path: str) -> list[dict[str, Any]]:
    """The events of one object, in their order."""
    found: list[dict[str, Any]] = running.get(f"{path}/events")
    return found


def objects(running: RunningDaemon) -> set[str]:
    return {f"{one['kind']}/{one['metadata']['name']}" for one in running.get("/manifests")}


@pytest.mark.parametrize("by", ["command", "daemon"])
def test_the_shop_is_as_its_repository_says(tmp_path: Path, by: str) -> None:
    """A1, A4, A6, A7, A9: applied, changed, pruned, brought back; nothing of a broken commit, all of a mended one."""
    shop = Shop(tmp_path)
    first = shop.push()
    flags = options(shop) if by == "command" else synced(shop)
    with daemon(tmp_path / "data", *flags) as running:
        keeper = (by_command if by == "command" else by_daemon)(running, shop)
        done = keeper()
        assert done.error == ""
        assert objects(running) == EVERYTHING
        assert all(one["metadata"]["annotations"][COMMIT] == first for one in running.get("/manifests"))
        created, *_ = events(running, "/vms/db")
        assert (created["type"], created["commit"]) == ("vm.created", first)
        until("all run", lambda: sum(one["status"] == "running" for one in running.get("/vms")) == 4)
        # What a controller does with it is of that commit too, down to the VMs of a deployment.
        assert events(running, "/vms/web-1")[0]["commit"] == first
        assert keeper() == Turn("", "")

        shop.change("web.yaml", "replicas: 2", "replicas: 3")
        (shop.infra / "db.yaml").unlink()
        second = shop.push()
        done = keeper()
        assert ("- vm/db" in done.done, "~ deployment/web" in done.done) == (True, True), done
        until("the VM is gone", lambda: objects(running) == EVERYTHING - {"VM/db"})
        assert events(running, "/deployments/web")[-1]["commit"] == second

        running.patch("/deployments/web", {"replicas": 1})
        done = keeper()
        assert ("~ deployment/web" in done.done, "vm/db" in done.done) == (True, False), done
        assert "brought back" in done.done
        assert running.get("/deployments/web")["replicas"] == 3

        shop.change("web.yaml", "replicas: 3", "replicas: [")
        (shop.infra / "plugins" / "hello.yaml").rename(shop.work / "hello.yaml")
        broken = shop.push()
        before = running.get("/deployments/web")["generation"]
        done = keeper()
        assert f"commit {broken[:12]}" in done.error
        assert re.search(r"^web\.yaml:\d+:\d+: not valid YAML", done.error, re.MULTILINE), done.error
        assert objects(running) == EVERYTHING - {"VM/db"}
        assert running.get("/deployments/web")["generation"] == before

        (shop.work / "hello.yaml").rename(shop.infra / "plugins" / "hello.yaml")
        shop.change("web.yaml", "replicas: [", "replicas: 2")
        third = shop.push()
        done = keeper()
        assert (done.error, "~ deployment/web" in done.done) == ("", True)
        if by == "daemon":
            found = status(running)
            assert (found["state"], found["commit"], found["drifts"], found["failures"]) == ("synced", third, 1, 0)
            said = [one["type"] for one in events(running, "/syncs/infra")]
            assert said == ["sync.created", "sync.applied", "sync.applied", "sync.drift", "sync.failed", "sync.applied"]


def test_a_sync_is_known_over_restarts_and_gone_when_the_settings_name_it_no_more(tmp_path: Path) -> None:
    shop = Shop(tmp_path)
    first = shop.push()
    with daemon(tmp_path / "data", *synced(shop)) as running:
        until("it is applied", lambda: running.get("/syncs") and status(running)["state"] == "synced")
        assert running.stop() == 0
    shop.bare.rename(tmp_path / "away.git")
    with daemon(tmp_path / "data", *synced(shop)) as running:
        until("it was tried", lambda: status(running)["failures"])
        found = status(running)
        assert (found["state"], found["commit"], found["failures"]) == ("failing", first, 1)
        assert "cannot fetch" in found["error"]
        assert objects(running) == EVERYTHING
        # As the command shows it.
        listed = run(running.url, "syncs", "list").stdout
        assert ("failing" in listed, first[:22] in listed) == (True, True), listed
        assert "cannot fetch" in run(running.url, "syncs", "get", "infra").stdout
        (tmp_path / "away.git").rename(shop.bare)
        now = run(running.url, "syncs", "now", "infra")
        assert (now.exit_code, f"at {first[:22]}: in order" in now.stdout) == (0, True), now.output
        assert status(running)["state"] == "synced"
        assert [one["type"] for one in events(running, "/syncs/infra")][-2:] == ["sync.failed", "sync.synced"]
        assert running.stop() == 0
    with daemon(tmp_path / "data", *options(shop)) as running:
        until("it is gone", lambda: running.get("/syncs") == [])
        assert objects(running) == EVERYTHING
        assert running.api.post("/syncs/infra/sync").json()["code"] == "sync_not_found"


def test_a_git_that_waits_keeps_no_daemon_from_stopping(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    begun = tmp_path / "begun"
    ssh = tmp_path / "ssh"
    ssh.write_text(f"#!/bin/sh\necho $$ > {begun}\nexec sleep 600\n")
    ssh.chmod(0o700)
    monkeypatch.setenv("GIT_SSH", str(ssh))
    words = "set=infra git=token@127.0.0.1:infra.git interval=1h"
    with daemon(tmp_path / "data", "--hypervisor", "simulated", "--sync", words) as running:
        until("git waits", begun.exists)
        assert running.get("/syncs")[0]["status"]["is_working"]
        started = time.monotonic()
        assert running.stop() == 0
        assert time.monotonic() - started < 15
    pid = int(begun.read_text())
    try:
        until("ssh has ended with git", lambda: not Path(f"/proc/{pid}").exists(), bound_s=20)
    finally:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
