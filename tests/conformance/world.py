"""The world that the reference's examples presume, made through the API itself.

Plugins, VMs and the deployment are those that the reference prints: the plugins that it lists, the VM that it creates,
the deployment that it creates. Every method leaves the world as its name says, whatever it was before, and waits until
that can be seen. Plugins have a health check, so that VMs have a `health`.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import httpx2
from tests.builders.daemon import until
from tests.conformance.reference import Reference

PATIENCE_S = 15.0
DISK = b"no guest of the simulation reads this".ljust(512, b"\0")
HEALTH_CHECK = {"readiness": {"period_s": 0.1}}
PLAIN = {"version": "1.0.0", "workload": {"type": "http", "port": 8080}}


class World:
    """One daemon's world. `artifacts` is a directory below its artifact root."""

    def __init__(self, api: httpx2.Client, reference: Reference, artifacts: Path) -> None:
        self.api = api
        self.reference = reference
        disk = artifacts / "disk.raw"
        disk.write_bytes(DISK)
        checksum = f"sha256:{hashlib.sha256(DISK).hexdigest()}"
        self.rootfs = {"format": "raw", "url": disk.as_uri(), "checksum": checksum}
        self.nowhere = {**self.rootfs, "checksum": "sha256:" + "0" * 64}

    # What the reference has written down.

    def printed(self, key: str) -> Any:
        """The example answer of an operation."""
        return self.reference.operation(key).answer

    def printed_body(self, key: str) -> Any:
        """The example body of an operation."""
        return self.reference.operation(key).body

    @property
    def plugin_names(self) -> list[str]:
        """In the order in which they are listed."""
        names: list[str] = self.printed("GET /api/v1/plugins")["plugins"]
        return names

    def manifest(self, name: str) -> dict[str, Any]:
        """As the reference shows the plugin, with a document of its API if the reference prints one."""
        shown = self.printed("GET /api/v1/plugins/{plugin}")
        told = shown if shown["name"] == name else PLAIN
        manifest = {key: value for key, value in told.items() if key != "installed_at"}
        manifest |= {"name": name, "rootfs": self.rootfs, "health_check": HEALTH_CHECK}
        document = self.printed("GET /api/v1/vms/{name}/openapi")
        return manifest | ({"openapi": {"document": document}} if name in document["info"]["title"].split() else {})

    # Plugins.

    def plugins(self) -> None:
        """Exactly those that the reference lists, installed in that order."""
        if self.get("/plugins")["plugins"] != self.plugin_names:
            self.nothing()
            for name in self.plugin_names:
                self.post("/plugins", self.manifest(name))
        for name in self.plugin_names:
            self.plugin(name)

    def plugin(self, name: str) -> None:
        """Installed, enabled, and ready to be used."""
        found = self.find(f"/plugins/{name}")
        if found is None:
            self.post("/plugins", self.manifest(name))
        elif not found["enabled"]:
            self.post(f"/plugins/{name}/enabled", {"enabled": True})
        self._until(f"plugin {name} is ready", lambda: _is_ready(self.get(f"/plugins/{name}")))

    def no_plugin(self, name: str) -> None:
        """Not installed."""
        if self.find(f"/plugins/{name}") is not None:
            self._unuse(name)
            self.delete(f"/plugins/{name}")

    def unused_plugin(self, name: str) -> None:
        """Installed, and no VM is made of it."""
        self.plugin(name)
        self._unuse(name)

    def broken_plugin(self, name: str) -> None:
        """Installed, with an artifact that is not what its checksum says: it never becomes ready."""
        self.no_plugin(name)
        self.post("/plugins", {**PLAIN, "name": name, "rootfs": self.nowhere})

    def _unuse(self, name: str) -> None:
        for path in ("/deployments", "/vms"):
            for obj in self.get(path):
                if obj["plugin"] == name:
                    self.delete(f"{path}/{obj['name']}")

    # VMs.

    def vm(self, name: str, **config: Any) -> None:
        """New, running and healthy, as the reference shows it or creates it; `config` is what else is asked of it."""
        asked = self.printed_body("POST /api/v1/vms")
        shown = {vm["name"]: vm for vm in self.printed("GET /api/v1/vms")}
        self.no_vm(name)
        if name in shown:
            asked = {"plugin": shown[name]["plugin"], "config": {"resources": shown[name].get("resources", {})}}
        self.plugin(asked["plugin"])
        self.post("/vms", {**asked, "name": name, "config": {**asked["config"], **config}})
        self.until_running(name)

    def vm_of(self, plugin: str, name: str) -> None:
        """New, of that plugin, in whatever state."""
        self.no_vm(name)
        self.post("/vms", {"name": name, "plugin": plugin})

    def no_vm(self, name: str) -> None:
        """There is none."""
        if self.find(f"/vms/{name}") is not None:
            self.delete(f"/vms/{name}?force=true")

    def stopped(self, name: str) -> None:
        """There, and stopped."""
        self.vm(name)
        self.post(f"/vms/{name}/stop")

    def until_running(self, name: str) -> None:
        """It runs, and its health check has said that it is well."""
        self._until(f"{name} runs", lambda: _is_well(self.get(f"/vms/{name}")))

    # Deployments.

    def deployment(self, name: str) -> None:
        """New, as the reference creates it, with all its replicas ready."""
        asked = self.printed_body("POST /api/v1/deployments")
        self.no_deployment(name)
        self.plugin(asked["plugin"])
        self.post("/deployments", {**asked, "name": name})
        self._until(f"{name} is available", lambda: _is_available(self.get(f"/deployments/{name}")))
        for vm in self.get(f"/deployments/{name}")["vms"]:
            self.until_running(vm)

    def no_deployment(self, name: str) -> None:
        """There is none."""
        if self.find(f"/deployments/{name}") is not None:
            self.delete(f"/deployments/{name}")

    # All of it.

    def nothing(self) -> None:
        """No deployments, no VMs, no plugins."""
        for path in ("/deployments", "/vms"):
            for obj in self.get(path):
                self.delete(f"{path}/{obj['name']}")
        for name in self.get("/plugins")["plugins"]:
            self.delete(f"/plugins/{name}")

    def listed(self) -> None:
        """The plugins, and of VMs and deployments exactly those that the reference lists, made in that order."""
        for path in ("/deployments", "/vms"):
            for obj in self.get(path):
                self.delete(f"{path}/{obj['name']}")
        self.plugins()
        deployments = self.printed("GET /api/v1/deployments")
        children = {vm for deployment in deployments for vm in deployment["vms"]}
        for vm in self.printed("GET /api/v1/vms"):
            if vm["name"] not in children:
                self.vm(vm["name"])
        for deployment in deployments:
            self.deployment(deployment["name"])

    # Requests.

    def find(self, path: str) -> Any:
        """What is there; None for a 404."""
        answer = self.api.get(path)
        return None if answer.status_code == 404 else _ok(answer).json()

    def get(self, path: str) -> Any:
        """What is there."""
        return _ok(self.api.get(path)).json()

    def post(self, path: str, body: Any = None) -> Any:
        """What a POST that succeeds answers."""
        return _ok(self.api.post(path, json=body)).json()

    def patch(self, path: str, body: Any) -> Any:
        """What a PATCH that succeeds answers."""
        return _ok(self.api.patch(path, json=body)).json()

    def delete(self, path: str) -> None:
        """It is gone, or was already."""
        answer = self.api.delete(path)
        assert answer.status_code in (204, 404), f"DELETE {path}: {answer.status_code} {answer.text}"

    def _until(self, what: str, check: Any) -> None:
        until(what, check, PATIENCE_S)


def _ok(answer: httpx2.Response) -> httpx2.Response:
    request = answer.request
    assert answer.is_success, f"{request.method} {request.url}: {answer.status_code} {answer.text}"
    return answer


def _is_ready(plugin: dict[str, Any]) -> bool:
    return any(c["type"] == "ready" and c["status"] == "true" for c in plugin.get("conditions", ()))


def _is_well(vm: dict[str, Any]) -> bool:
    return bool(vm["status"] == "running" and vm.get("health", {}).get("status") == "healthy")


def _is_available(deployment: dict[str, Any]) -> bool:
    conditions = deployment["status"]["conditions"]
    is_so = any(c["type"] == "available" and c["status"] == "true" for c in conditions)
    return bool(is_so and deployment["ready_replicas"] == deployment["replicas"] and not deployment["scaling"])
