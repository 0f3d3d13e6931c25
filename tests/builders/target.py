"""A real daemon under fire: what every answer has, and what must hold after each of them."""

from __future__ import annotations

import json
from typing import Any

from tests.builders.daemon import RunningDaemon
from tests.builders.raw_http import Address, Reply, exchange, request

BASE = "/api/v1"
VMS = f"{BASE}/vms"
MIB = b" " * (1 << 20)
SOURCE = {"url": "file:///nonexistent"}


class Target:
    """The daemon under fire, and every answer that it gave."""

    def __init__(self, running: RunningDaemon) -> None:
        self.running = running
        host, _, port = running.url.removeprefix("http://").partition(":")
        self.address: Address = (host, int(port))
        self.slowest: tuple[float, str] = (0.0, "")
        running.post("/plugins", {"name": "p", "version": "1", "kernel": SOURCE, "initramfs": SOURCE})

    def ask(self, *pieces: bytes) -> Reply:
        """One answer. Nothing may follow it that was not asked for."""
        reply, *more = exchange(self.address, *pieces)
        assert not more
        return self.seen(reply, pieces[0])

    def seen(self, reply: Reply, sent: bytes) -> Reply:
        """Every answer has an id, allows no other site to read it, and an error has the error body."""
        self.slowest = max(self.slowest, (reply.seconds, repr(sent[:80])))
        assert "x-request-id" in reply.headers
        assert not [name for name in reply.headers if name.startswith("access-control-")]
        if reply.status >= 400:
            assert set(reply.json) == {"error", "code", "details", "request_id"}
            assert reply.json["request_id"] == reply.headers["x-request-id"]
        return reply

    def check(self) -> None:
        """Alive, ready, and without anything that was not asked for."""
        assert self.running.process.poll() is None
        assert exchange(self.address, request("GET", "/readyz"))[0].status == 200
        assert exchange(self.address, request("GET", VMS))[0].json == []
        assert exchange(self.address, request("GET", f"{BASE}/deployments"))[0].json == []


def vm(**fields: Any) -> bytes:
    """A body for `POST /vms`, right but for the given fields."""
    return json.dumps({"name": "a", "plugin": "p", **fields}).encode()
