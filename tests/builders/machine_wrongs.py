"""Requests that deserve to be refused whatever the world looks like, each with the statuses that do that."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from tests.builders.machine_client import Request


class Wrong(NamedTuple):
    """One of them. 404 and 409 are right besides, where the name is nobody's or the object is on its way out."""

    request: Request
    statuses: tuple[int, ...]


def _wrong(status: int, method: str, to: str, body: object = None, **headers: str) -> Wrong:
    also = (404, 409) if "/web" in to or "/api" in to else ()
    said = tuple((name.replace("_", "-"), value) for name, value in headers.items())
    return Wrong(Request(method, to, body, said), (status, *also))


WRONGS: Sequence[Wrong] = (
    _wrong(400, "POST", "/vms", b"{"),
    _wrong(400, "POST", "/vms", {"name": "Bad Name", "plugin": "hello"}),
    _wrong(400, "POST", "/vms", {"name": "web", "plugin": "hello", "size": 3}),
    _wrong(400, "POST", "/vms", {"name": "web", "plugin": "hello", "config": {"resources": {"vcpu": 0}}}),
    _wrong(400, "POST", "/vms", {"name": "web", "plugin": "hello", "config": {"network": {"mode": "bridge"}}}),
    _wrong(404, "POST", "/vms", {"name": "nobody", "plugin": "nothing"}),
    _wrong(415, "POST", "/vms", b"name=web", content_type="text/plain"),
    _wrong(403, "POST", "/vms", {"name": "web", "plugin": "hello"}, origin="http://evil.example"),
    _wrong(403, "POST", "/vms", {"name": "web", "plugin": "hello"}, host="evil.example"),
    _wrong(400, "POST", "/vms", {"name": "web", "plugin": "hello"}, idempotency_key=""),
    _wrong(400, "POST", "/deployments", {"name": "api", "plugin": "hello", "replicas": -1}),
    _wrong(400, "PATCH", "/deployments/api", {"replicas": "3"}),
    _wrong(400, "PATCH", "/deployments/api", {"strategy": {"max_surge": 0, "max_unavailable": 0}}),
    _wrong(400, "PATCH", "/vms/web/config", {"resources": {"memory_mb": -5}}),
    _wrong(400, "PATCH", "/vms/web/config", {"power": "stopped"}),
    _wrong(400, "POST", "/vms/web/stop?force=perhaps&wait=none"),
    _wrong(400, "POST", "/vms/web/start?wait=available"),
    _wrong(400, "DELETE", "/vms/web?wait=none&timeout=1h"),
    _wrong(405, "PUT", "/vms", {}),
    _wrong(404, "DELETE", "/vms/web/config/past"),
    _wrong(404, "POST", "/deployments/nobody/stop"),
    _wrong(400, "POST", "/plugins", {"name": "hello"}),
    _wrong(400, "POST", "/plugins/hello/enabled", {"enabled": "yes"}),
    _wrong(400, "GET", "/events?since=999999999"),
    _wrong(400, "GET", "/vms?limit=-1"),
    _wrong(400, "GET", "/vms?label_selector=a%3D%3D%3Db"),
)
