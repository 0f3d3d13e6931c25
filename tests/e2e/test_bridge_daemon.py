"""A real daemon with real guests on a bridge, in a namespace of the test's own."""

from __future__ import annotations

import asyncio
import contextlib
import time
from pathlib import Path
from typing import Any

import httpx2
import pytest
from tests.builders.bridge_world import BRIDGE, sh
from tests.builders.daemon import RunningDaemon, daemon, guests, hello_manifest, until
from tests.builders.netns import in_a_namespace

from volant.clock import Uid
from volant.drivers.bridge.names import tap_name

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]

FLAGS = ("--network", "bridge")


def has_page(url: str) -> bool:
    with contextlib.suppress(httpx2.HTTPError):
        return httpx2.get(url, timeout=1, trust_env=False).status_code == 200
    return False


def two_guests(running: RunningDaemon) -> list[dict[str, Any]]:
    """One that may go everywhere and is published, and one that may go nowhere."""
    running.post("/plugins", hello_manifest())
    publish = [{"guest_port": 8080, "host_port": 9090}]
    free = {"network": {"egress": "all", "publish": publish}}
    running.post("/vms", {"name": "free", "plugin": "hello", "config": free})
    running.post("/vms", {"name": "shut", "plugin": "hello", "config": {"network": {"egress": "deny"}}})
    vms = running.running(2)
    for vm in vms:
        assert vm["name"] in running.page(vm)
    return sorted(vms, key=lambda vm: str(vm["name"]))


@in_a_namespace
async def test_guests_on_a_bridge_keep_their_network_whatever_is_taken_from_it(tmp_path: Path) -> None:
    """Tap, bridge and rules removed by hand, the daemon killed: same processes, same addresses, pages again."""
    await asyncio.to_thread(_live, tmp_path / "data")


def _live(data_dir: Path) -> None:
    with daemon(data_dir, *FLAGS) as first:
        free, shut = two_guests(first)
        assert free["ip"].startswith("10.127.")
        assert has_page("http://127.0.0.1:9090/")
        places = (f"http://{free['ip']}:8080/", "http://127.0.0.1:9090/")
        tap = tap_name(Uid(free["uid"]))
        for harm in (f"ip link del {tap}", "nft flush ruleset", f"ip link del {BRIDGE}", f"ip addr flush dev {BRIDGE}"):
            sh(harm)
            began = time.monotonic()
            until(f"back after {harm}", lambda: all(has_page(url) for url in places))
            print(f"{harm}: {time.monotonic() - began:.3f} s")
        assert {vm["pid"] for vm in first.get("/vms")} == {free["pid"], shut["pid"]}
        assert {vm["restarts"] for vm in first.get("/vms")} == {0}
        first.kill()
        sh(f"ip link del {tap}")
        assert set(guests(data_dir).values()) == {free["pid"], shut["pid"]}
        with daemon(data_dir, *FLAGS) as second:
            until("back after the restart", lambda: has_page(f"http://{free['ip']}:8080/"))
            assert has_page(f"http://{shut['ip']}:8080/")
            assert {vm["pid"] for vm in second.get("/vms")} == {free["pid"], shut["pid"]}
            second.delete("/vms/free")
            assert tap not in sh("ip -br link")
            assert "9090" not in sh("nft list ruleset")
            second.delete("/vms/shut")
            assert "vt" not in sh("ip -br link")
            assert second.stop() == 0


@in_a_namespace
async def test_the_api_says_no_to_what_the_bridge_cannot_give(tmp_path: Path) -> None:
    """F4, B7: with the path of the field."""
    await asyncio.to_thread(_refused, tmp_path / "data")


def _refused(data_dir: Path) -> None:
    with daemon(data_dir, *FLAGS) as running:
        running.post("/plugins", hello_manifest())
        port = int(running.url.rpartition(":")[2])
        for asked in (
            {"mode": "dhcp"},
            {"mode": "bridge", "bridge_name": "docker0"},
            {"publish": [{"guest_port": 80, "host_port": 80}]},
            {"publish": [{"guest_port": 80, "host_port": port}]},
            {"egress": ["10.0.0.1/8"]},
        ):
            answer = running.api.post("/vms", json={"name": "no", "plugin": "hello", "config": {"network": asked}})
            assert answer.status_code == 400, (asked, answer.text)
            [field] = answer.json()["details"]["fields"]
            assert field["path"].startswith("/config/network/"), field
        assert running.stop() == 0
