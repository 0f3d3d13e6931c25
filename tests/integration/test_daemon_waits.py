"""Waits and keys against a real daemon with its controllers, and one that is killed in between."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx2
import pytest
from tests.builders.daemon import BOUND_S, RunningDaemon, daemon, until

FLAGS = ("--hypervisor", "simulated")
KEY = {"idempotency-key": "deploy-42"}


def manifest_of(artifacts: Path, name: str = "p") -> dict[str, Any]:
    """A plugin whose artifacts are the files of that directory, or would be."""
    urls = {role: {"url": f"file://{artifacts}/{role}"} for role in ("kernel", "initramfs")}
    return {"name": name, "version": "1", **urls}


@pytest.fixture
def artifacts(tmp_path: Path) -> Path:
    directory = tmp_path / "artifacts"
    directory.mkdir()
    for role in ("kernel", "initramfs"):
        (directory / role).write_bytes(role.encode())
    return directory


class Nothing(BaseHTTPRequestHandler):
    """A web server that has nothing."""

    def do_GET(self) -> None:
        self.send_error(404)

    def log_message(self, *_: object) -> None:
        """Says nothing."""


@contextmanager
def nothing_to_fetch() -> Iterator[str]:
    """The address of a web server that answers 404."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Nothing) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()


class Asked(threading.Thread):
    """A request whose answer may never come; ended by it or by the death of who would give it."""

    def __init__(self, running: RunningDaemon, method: str, path: str, **request: Any) -> None:
        super().__init__(daemon=True)
        self._ask: Callable[[], httpx2.Response] = lambda: httpx2.request(
            method, running.url + "/api/v1" + path, timeout=BOUND_S, trust_env=False, **request
        )
        self.answer: httpx2.Response | None = None
        self.start()

    def run(self) -> None:
        try:
            self.answer = self._ask()
        except httpx2.TransportError:
            return


def test_a_wait_for_a_vm_whose_image_is_missing_ends_with_the_reason(tmp_path: Path, artifacts: Path) -> None:
    """A11: it has ten minutes, and takes until the plugin controller has looked once."""
    flags = (*FLAGS, "--artifact-allow", "127.0.0.0/8")
    with nothing_to_fetch() as url, daemon(tmp_path / "data", *flags, artifact_root=artifacts) as running:
        missing = {"url": f"{url}/missing", "checksum": "sha256:" + "0" * 64}
        manifest = {**manifest_of(artifacts), "initramfs": missing}
        installed = running.api.post("/plugins?wait=ready&timeout=10m", json=manifest)
        assert (installed.status_code, installed.headers["volant-wait"]) == (201, "failed")
        answer = running.api.post("/vms?wait=running&timeout=10m", json={"name": "a", "plugin": "p"})
        assert (answer.status_code, answer.headers["volant-wait"], answer.json()["status"]) == (201, "failed", "error")
        told = running.api.get("/vms/a/wait?state=ready&timeout=10m")
        assert (told.status_code, told.json()["code"]) == (409, "vm_failed")
        assert told.json()["details"]["reason"] == "PluginFailed"
        made = running.api.post("/deployments?wait=available&timeout=10m", json={"name": "web", "plugin": "p"})
        assert (made.status_code, made.headers["volant-wait"]) == (201, "failed")


def test_the_whole_life_of_a_vm_is_waited_for(tmp_path: Path, artifacts: Path) -> None:
    """A11: every answer shows the state that was asked for, of the guest that the request was about."""
    with daemon(tmp_path / "data", *FLAGS, artifact_root=artifacts) as running:
        api = running.api
        assert api.post("/plugins?wait=ready", json=manifest_of(artifacts)).json()["conditions"][0]["status"] == "true"
        made = api.post("/vms?wait=ready", json={"name": "a", "plugin": "p"}).json()
        assert made["status"] == "running"
        again = api.post("/vms/a/restart?wait=running").json()
        assert (again["status"], again["restarts"]) == ("running", 1)
        assert again["pid"] != made["pid"]
        assert api.post("/vms/a/stop").json()["status"] == "stopped"
        assert api.post("/vms/a/start?wait=running").json()["status"] == "running"
        web = api.post("/deployments?wait=available", json={"name": "web", "plugin": "p", "replicas": 2}).json()
        assert web["ready_replicas"] == 2
        web = api.patch("/deployments/web?wait=available", json={"replicas": 4}).json()
        assert (web["ready_replicas"], len(web["vms"])) == (4, 4)
        assert api.get("/deployments/web/wait?timeout=0").status_code == 200
        for path in ("/deployments/web", "/vms/a", "/plugins/p"):
            assert api.delete(path).status_code == 204
            assert api.get(f"{path}/wait?state=deleted&timeout=0").status_code == 204


def test_a_request_is_done_once_though_the_daemon_is_killed_before_it_answers(tmp_path: Path, artifacts: Path) -> None:
    """The same request with the same key goes on waiting for the VM that was made, and is answered as the first was to
    be; from then on it is replayed."""
    data_dir, path = tmp_path / "data", "/vms?wait=stopped&timeout=5m"
    body = {"name": "a", "plugin": "p"}
    with daemon(data_dir, *FLAGS, artifact_root=artifacts) as first:
        first.post("/plugins?wait=ready", manifest_of(artifacts))
        asked = Asked(first, "POST", path, json=body, headers=KEY)
        until("the VM runs", lambda: [vm for vm in first.get("/vms") if vm["status"] == "running"])
        early = first.api.post(path, json=body, headers=KEY)
        assert (early.status_code, early.json()["code"]) == (409, "idempotency_in_progress")
        uid = first.get("/vms/a")["uid"]
        first.kill()
        asked.join(BOUND_S)
        assert asked.answer is None
    with daemon(data_dir, *FLAGS, artifact_root=artifacts) as second:
        again = Asked(second, "POST", path, json=body, headers=KEY)
        second.api.get("/vms/a/wait?state=running").raise_for_status()
        second.post("/vms/a/stop")
        again.join(BOUND_S)
        assert again.answer is not None
        assert (again.answer.status_code, again.answer.json()["status"]) == (201, "stopped")
        assert again.answer.json()["uid"] == uid
        second.delete("/vms/a")
        replayed = second.api.post(path, json=body, headers=KEY)
        assert (replayed.status_code, replayed.content) == (201, again.answer.content)
        assert replayed.headers["idempotent-replayed"] == "true"
        assert second.get("/vms") == []


def test_a_delete_whose_object_is_gone_is_answered_as_the_first_would_have_been(
    tmp_path: Path, artifacts: Path
) -> None:
    """204 and not 404: the key says that this very request has deleted it."""
    data_dir = tmp_path / "data"
    with daemon(data_dir, *FLAGS, artifact_root=artifacts) as first:
        first.post("/plugins?wait=ready", manifest_of(artifacts))
        first.post("/deployments?wait=available", {"name": "web", "plugin": "p", "replicas": 30})
        asked = Asked(first, "DELETE", "/deployments/web", headers=KEY)
        until("it is being deleted", lambda: first.api.get("/deployments/web/wait?timeout=0").status_code >= 404)
        first.kill()
        asked.join(BOUND_S)
    with daemon(data_dir, *FLAGS, artifact_root=artifacts) as second:
        assert second.api.get("/deployments/web/wait?state=deleted").status_code == 204
        assert second.api.delete("/deployments/web").status_code == 404
        assert second.api.delete("/deployments/web", headers=KEY).status_code == 204
