"""A set of real guests whose new version never becomes healthy goes back as a whole, and nobody was ended for it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.builders.daemon import RunningDaemon, daemon, guests, hello_manifest, until

pytestmark = [pytest.mark.e2e, pytest.mark.gate, pytest.mark.timeout(300)]

CHECK = {
    "startup": {"period_s": 0.5, "failure_threshold": 1000},
    "readiness": {"period_s": 0.5, "failure_threshold": 2},
}
NOBODY_LISTENS = 4242


def plugin(name: str, **spec: Any) -> dict[str, Any]:
    """A manifest of the demo guest, which is asked whether it is well."""
    said = {key: value for key, value in hello_manifest().items() if key not in ("name", "labels")}
    return {"kind": "Plugin", "metadata": {"name": name}, "spec": {**said, "health_check": {**CHECK, **spec}}}


def web(of: str) -> dict[str, Any]:
    """Two replicas, one of which may be away."""
    strategy = {"max_surge": 1, "max_unavailable": 0}
    spec = {"plugin": of, "replicas": 2, "strategy": strategy}
    return {"kind": "Deployment", "metadata": {"name": "web"}, "spec": spec}


def vm(name: str, **metadata: Any) -> dict[str, Any]:
    """One guest."""
    return {"kind": "VM", "metadata": {"name": name, **metadata}, "spec": {"plugin": "hello", "grace_s": 1}}


def applied(running: RunningDaemon, *objects: dict[str, Any], state: str, **asked: Any) -> dict[str, Any]:
    """The set, once it has come to that."""
    body = {"set": "shop", "atomic": True, "prune": True, "objects": list(objects), **asked}
    number = running.post("/apply", body)["revision"]

    def look() -> dict[str, Any] | None:
        shown: dict[str, Any] = running.get("/sets/shop")
        return shown if shown["revision"] == number and shown["state"] != "progressing" else None

    found: dict[str, Any] = until("the set has come to its end", look)
    assert found["state"] == state, found["revisions"][0]
    return found


def test_a_set_of_guests_with_one_bad_member_returns_whole(tmp_path: Path) -> None:
    """A2, U1, U6: the same processes serve on, what was new is gone, and the reason is told."""
    data_dir = tmp_path / "data"
    with daemon(data_dir) as running:
        applied(running, plugin("hello"), web("hello"), vm("db"), state="healthy", deadline_seconds=120)
        before = guests(data_dir)
        assert len(before) == 3
        mute = plugin("mute", type="http", port=NOBODY_LISTENS)
        bad = (plugin("hello"), mute, web("mute"), vm("extra", labels={"tier": "back"}))
        shown = applied(running, *bad, state="reverted", deadline_seconds=15)
        failure = shown["last_failure"]
        assert failure["reason"] == "DeadlineExceeded"
        assert failure["message"].startswith("Deployment web: ")
        until("what was new is gone", lambda: guests(data_dir).keys() == before.keys())
        assert guests(data_dir) == before, "nobody was ended, not even what the set no longer named"
        assert running.get("/deployments/web")["plugin"] == "hello"
        until("the plugin is gone", lambda: "mute" not in str(running.get("/plugins")))
        for one in running.get("/vms"):
            assert f"Hello from {one['name']}" in running.page(one)
        for path in ("/deployments/web", "/vms/db"):
            running.delete(path)
        assert running.stop() == 0
