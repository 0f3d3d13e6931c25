"""Real guests are replaced under clients that ask every 50 ms: nobody is refused, whatever the new version is."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from msgspec import UNSET
from tests.builders.balancer import Balancer
from tests.builders.daemon import RunningDaemon, daemon, until
from tests.builders.plugins import BOOT_S, artifact_root, plugin

from volant.client import Client
from volant.model.event import EventData

pytestmark = [pytest.mark.e2e, pytest.mark.gate, pytest.mark.timeout(600)]

REPLICAS = 2
SLOW_S = 0.5
"""How much later than the stream a proxy acts whose configuration is written anew."""
CAREFUL = {"max_surge": 1, "max_unavailable": 0, "drain_s": 2 * SLOW_S}


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningDaemon]:
    """Two replicas of version 1, ready."""
    with daemon(tmp_path_factory.mktemp("shop") / "data", artifact_root=artifact_root()) as running:
        running.post("/plugins", plugin("user-api"))
        body = {"name": "users", "plugin": "user-api", "replicas": REPLICAS, "strategy": CAREFUL}
        running.post("/deployments", {**body, "config": {"env": {"VERSION": "1"}}})
        at_rest(running)
        yield running
        running.delete("/deployments/users")


def at_rest(running: RunningDaemon) -> dict[str, str]:
    """Name -> uid of the replicas, once the rollout is complete and nobody is on the way out."""

    def look() -> list[dict[str, Any]] | None:
        users, vms = running.get("/deployments/users"), running.get("/vms")
        is_done = users["rollout"] == "complete" and users["ready_replicas"] == REPLICAS == len(vms)
        return vms if is_done else None

    found: list[dict[str, Any]] = until("every replica is as it should be", look, 3 * BOOT_S)
    return {vm["name"]: vm["uid"] for vm in found}


def log(running: RunningDaemon, since: int) -> list[tuple[str, EventData]]:
    """What was committed after that revision, until now."""
    now, found = revision(running), []
    with Client(running.url) as client:
        for change in client.watch(since=since, initial=False):
            assert change.event is not None and change.id is not None
            found.append((change.type, change.event))
            if change.id >= now:
                break
    return found


def revision(running: RunningDaemon) -> int:
    """The last one."""
    found: int = running.get("/deployments/users/endpoints")["revision"]
    return found


def bounds(events: list[tuple[str, EventData]], ready: set[str]) -> tuple[int, int]:
    """The fewest endpoints and the most VMs that are to stay, after any of the events; `ready` are those before."""
    live, fewest, most = set(ready), len(ready), len(ready)
    for kind, event in events:
        if event.owner == "users":
            is_leaving = kind in ("vm.deleting", "vm.deleted")
            if kind == "vm.created":
                live.add(event.name)
            elif is_leaving:
                live.discard(event.name)
            if is_leaving or (event.new is not None and event.new.ready is False):
                ready.discard(event.name)
            elif event.new is not None and event.new.ready is not UNSET:
                ready.add(event.name)
        fewest, most = min(fewest, len(ready)), max(most, len(live))
    return fewest, most


def reasons(events: list[tuple[str, EventData]]) -> list[str]:
    """What was said of the rollout."""
    told = ("RolloutStarted", "ProgressDeadlineExceeded", "RolledBack", "RolloutComplete")
    return [event.reason for _, event in events if event.kind == "Deployment" and event.reason in told]


def test_nobody_is_refused_while_every_replica_is_replaced(shop: RunningDaemon) -> None:
    """U1, U3, U12: one more and none less. What answers goes from version 1 to version 2, for slow clients as well."""
    before, since = at_rest(shop), revision(shop)
    with Balancer(shop.url, "users") as client, Balancer(shop.url, "users", every_s=0.2, late_s=SLOW_S) as slow:
        shop.patch("/deployments/users", {"config": {"env": {"VERSION": "2"}}})
        after = at_rest(shop)
        asked = len(slow.asked)
        until("the clients go on", lambda: len(slow.asked) > asked + 5)
    events = log(shop, since)
    assert (client.failures, slow.failures) == ([], []), events
    assert client.versions() == slow.versions() == ["1", "2"]
    assert not {*before.values()} & {*after.values()}
    assert bounds(events, {*before}) == (REPLICAS, REPLICAS + 1)
    assert reasons(events) == ["RolloutStarted", "RolloutComplete"]


def test_a_version_that_never_serves_is_taken_back_and_nobody_notices(shop: RunningDaemon) -> None:
    """U1, U10: it listens where nobody asks it, so it is never ready. Those that serve stay the same guests."""
    before, since = at_rest(shop), revision(shop)
    env = shop.get("/deployments/users")["config"]["env"]
    with Balancer(shop.url, "users") as client:
        broken = {"config": {"env": {"VERSION": "3", "PORT": "8081"}}}
        shop.patch("/deployments/users", {**broken, "strategy": {"auto_revert": True, "progress_deadline_s": 12}})
        until("it is taken back", lambda: reasons(log(shop, since))[-1:] == ["RolloutComplete"], BOOT_S)
        after = at_rest(shop)
    assert client.failures == []
    assert client.versions() == [env["VERSION"]]
    assert after == before
    assert shop.get("/deployments/users")["config"]["env"] == env
    events = log(shop, since)
    assert bounds(events, {*before}) == (REPLICAS, REPLICAS + 1)
    assert reasons(events) == ["RolloutStarted", "ProgressDeadlineExceeded", "RolledBack", "RolloutComplete"]
    (broken_one,) = [event for kind, event in events if kind == "vm.created"]
    started = [kind for kind, event in events if event.uid == broken_one.uid]
    assert "vm.started" in started and started[-1] == "vm.deleted"
