"""`.../why` and `.../events` over a real socket, with real controllers on a host that is simulated."""

from __future__ import annotations

import asyncio
import hashlib
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from tests.builders.artifact_server import Writer, answer, head
from tests.builders.artifact_server import serving as serving_artifacts
from tests.builders.engines import alive
from tests.builders.objects import a_vm
from tests.builders.server import serving

from volant.cli import volant
from volant.cli.why import lines
from volant.drivers.simulated import Behaviour
from volant.images.http import CHUNK_BYTES
from volant.model.event import Happening

CONTENT = b"artifact" * 1000
DIGEST = hashlib.sha256(CONTENT).hexdigest()


def manifest(url: str, **more: Any) -> dict[str, Any]:
    """A plugin whose both artifacts are at that address."""
    said = {"name": "hello", "version": "1", "kernel": {"url": url}, "initramfs": {"url": url}}
    return {**said, **more}


def chain(said: dict[str, Any]) -> list[tuple[int, str, str]]:
    """Level, kind and reason of each link."""
    return [(link["level"], link["kind"], link["reason"]) for link in said["chain"]]


async def test_a_crash_loop_tells_how_it_ended_how_often_and_when_it_is_tried_again(tmp_path: Path) -> None:
    """P1, P2"""
    async with (
        serving_artifacts(answer(CONTENT)) as files,
        alive(tmp_path, behaviour=Behaviour(ends_after_s=0.02)) as d,
    ):
        await d.served.post("/plugins", **manifest(files.url()))
        await d.served.post("/vms", name="web", plugin="hello")
        said = await d.why("/vms/web", until=lambda s: s["chain"][0].get("numbers", {}).get("failures", 0) >= 2)
        if said["chain"][0]["reason"] != "Crashed":
            said = await d.why("/vms/web", until=lambda s: s["chain"][0]["reason"] == "Crashed")
    first = said["chain"][0]
    assert said["outlook"] == "by_itself"
    assert "guest_panic" in first["says"]
    assert "times in a row" in first["says"]
    assert first["next_try_at"] > said["at"]
    assert said["turns"][-1]["controller"] == "vm"
    assert "vm.error" in [event["type"] for event in said["events"]]
    text = "\n".join(lines(said))
    assert "[Crashed; since " in text
    assert "next try " in text


async def test_a_wrong_checksum_is_the_end_of_the_chain(tmp_path: Path) -> None:
    """Nobody waits for what will not come."""
    async with serving_artifacts(answer(CONTENT)) as files, alive(tmp_path) as d:
        wrong = {"url": files.url(), "checksum": "sha256:" + "0" * 64}
        await d.served.post("/plugins", **manifest(files.url(), initramfs=wrong))
        await d.served.post("/deployments", name="api", plugin="hello", replicas=7)
        said = await d.why("/deployments/api", until=lambda s: (1, "VM", "PluginFailed") in chain(s))
    assert said["outlook"] == "not_by_itself"
    found = chain(said)
    assert found[0] == (0, "Deployment", "ReplicasNotReady")
    assert found[1:4] == [
        (1, "VM", "PluginFailed"),
        (2, "Plugin", "ArtifactRefused"),
        (3, "Plugin", "ArtifactRefused"),
    ]
    assert found[4:] == [(1, "VM", "PluginFailed")] * 4 + [(1, "Deployment", "MoreReplicas")]
    assert said["chain"][0]["numbers"] == {"replicas": 7, "ready": 0, "vms": 7}
    assert DIGEST in said["chain"][3]["says"]
    assert "next_try_at" in said["chain"][2]


async def test_a_download_tells_how_far_it_has_come(tmp_path: Path) -> None:
    big, go_on = bytes(3 * CHUNK_BYTES), asyncio.Event()

    async def slowly(path: str, writer: Writer) -> None:
        writer.write(head(content_length=str(len(big))) + big[: 2 * CHUNK_BYTES])
        await writer.drain()
        await go_on.wait()
        writer.write(big[2 * CHUNK_BYTES :])

    async with serving_artifacts(slowly) as files, alive(tmp_path) as d:
        await d.served.post("/plugins", **manifest(files.url("/a"), initramfs={"url": files.url("/b")}))
        await d.served.post("/vms", name="web", plugin="hello")
        said = await d.why("/vms/web", until=lambda s: _received(s) == 2 * CHUNK_BYTES)
        assert chain(said) == [
            (0, "VM", "PluginNotReady"),
            (1, "Plugin", "Downloading"),
            (2, "Plugin", "Downloading"),
            (2, "Plugin", "Pending"),
        ]
        assert said["chain"][2]["numbers"] == {"received_bytes": 2 * CHUNK_BYTES, "total_bytes": len(big)}
        go_on.set()
        ready = await d.why("/vms/web", until=lambda s: s["outlook"] == "ready")
    assert chain(ready) == [(0, "VM", "Running")]


async def test_a_plugin_that_is_not_there_is_named(tmp_path: Path) -> None:
    async with alive(tmp_path) as d:
        await d.served.store.create(a_vm("web", plugin="nobody"), Happening(type="vm.created"))
        said = await d.why("/vms/web", until=lambda s: s["chain"][0]["reason"] == "PluginMissing")
    assert chain(said) == [(0, "VM", "PluginMissing"), (1, "Plugin", "PluginMissing")]
    assert said["outlook"] == "not_by_itself"
    assert said["chain"][1]["says"] == "there is no plugin nobody: install it"


async def test_a_disk_that_takes_nothing_is_told_and_asking_goes_on(tmp_path: Path) -> None:
    """S4: nothing acts, and whoever asks hears why and when it is tried again."""
    async with alive(tmp_path) as d:
        await d.served.store.create(a_vm("web", plugin="nobody"), Happening(type="vm.created"))
        await d.why("/vms/web", until=lambda s: s["chain"][0]["reason"] == "PluginMissing")
        other = sqlite3.connect(tmp_path / "volant.db", isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        try:
            assert (await d.served.post("/vms/web/restart")).status_code == 503
            said = await d.why("/vms/web", until=lambda s: (1, "Store", "Unavailable") in chain(s))
            (store,) = (link for link in said["chain"] if link["kind"] == "Store")
            assert "nothing acts while the store cannot be written" in store["says"]
            assert said["at"] <= (await d.why("/vms/web", until=_has_next_try))["at"]
        finally:
            other.close()
        await d.why("/vms/web", until=lambda s: (1, "Store", "Unavailable") not in chain(s))


def _received(said: dict[str, Any]) -> int | None:
    return next(
        (n["received_bytes"] for link in said["chain"] if "received_bytes" in (n := link.get("numbers", {}))), None
    )


def _has_next_try(said: dict[str, Any]) -> bool:
    return any(link["kind"] == "Store" and "next_try_at" in link for link in said["chain"])


async def test_no_secret_is_in_it(tmp_path: Path) -> None:
    """Neither texts for cloud-init, nor variables, nor what is secret in an address."""
    async with serving_artifacts(answer(CONTENT)) as files, alive(tmp_path) as d:
        url = files.url("/a") + "?token=TOPSECRET"
        wrong = {"url": url, "checksum": "sha256:" + "0" * 64}
        said = manifest(url, initramfs=wrong, env={"A": "TOPSECRET"}, cloud_init="TOPSECRET")
        await d.served.post("/plugins", **said)
        config = {"env": {"PASSWORD": "TOPSECRET"}, "cloud_init": {"user_data": "TOPSECRET"}}
        await d.served.post("/vms", name="web", plugin="hello", config=config)
        await d.served.patch("/vms/web/config", env={"PASSWORD": "TOPSECRET2"})
        await d.served.post("/deployments", name="api", plugin="hello", config=config)
        await d.why("/vms/web", until=lambda s: s["chain"][0]["reason"] == "PluginFailed")
        for path in ("/vms/web", "/vms/api-1", "/deployments/api", "/plugins/hello"):
            for what in ("why", "events"):
                assert "TOPSECRET" not in (await d.served.get(f"{path}/{what}")).text


async def test_the_last_events_are_those_of_this_very_object_newest_last(tmp_path: Path) -> None:
    """W1, E3: and as a stream says them, with id and type beside them."""
    async with serving(tmp_path) as api:
        await api.installed()
        await api.post("/vms", name="web", plugin="hello")
        await api.post("/vms", name="other", plugin="hello")
        for _ in range(3):
            await api.runs("web")
            await api.stops("web")
        found = (await api.get("/vms/web/events")).json()
        log = [event for event in api.store.events_after(0, 100) if event.key.name == "web"]
        assert [event["id"] for event in found] == [event.revision for event in log]
        assert [event["type"] for event in found] == [event.type for event in log]
        assert [event["revision"] for event in found] == [event["id"] for event in found]
        assert (await api.get("/vms/web/events?limit=2")).json() == found[-2:]
        assert (await api.get("/plugins/hello/events")).json()[0]["type"] == "plugin.installed"
        for limit in ("0", "501", "x"):
            assert (await api.get(f"/vms/web/events?limit={limit}")).json()["code"] == "invalid"
        await api.post("/deployments", name="api", plugin="hello")
        assert [event["type"] for event in (await api.get("/deployments/api/events")).json()] == ["deployment.created"]


@pytest.mark.parametrize("path", ["/vms/nobody", "/deployments/nobody", "/plugins/nobody"])
@pytest.mark.parametrize("what", ["why", "events"])
async def test_nobody_has_no_reason(tmp_path: Path, path: str, what: str) -> None:
    async with serving(tmp_path) as api:
        answer = await api.get(f"{path}/{what}")
        assert answer.status_code == 404
        assert answer.json()["code"] == f"{path.split('/')[1].removesuffix('s')}_not_found"


async def test_without_controllers_it_still_says_that_nobody_has_looked(tmp_path: Path) -> None:
    """V6"""
    async with serving(tmp_path) as api:
        await api.installed()
        await api.post("/vms", name="web", plugin="hello")
        said = (await api.get("/vms/web/why")).json()
        assert chain(said) == [(0, "VM", "NotLookedAt")]
        assert said["turns"] == []
        assert [event["type"] for event in said["events"]] == ["vm.created"]


def ask(url: str, *words: str) -> tuple[int, str]:
    """Exit status and output of `volant why`."""
    result = CliRunner().invoke(volant, ["why", *words, "--url", url])
    return result.exit_code, result.output


async def test_the_command_has_an_exit_status_for_each_outlook(tmp_path: Path) -> None:
    async with serving(tmp_path) as api:
        url = f"http://127.0.0.1:{api.port}"
        await api.installed(ready=True)
        await api.post("/vms", name="web", plugin="hello")
        waiting = await asyncio.to_thread(ask, url, "vm", "web")
        await api.runs("web")
        ready = await asyncio.to_thread(ask, url, "web")
        await api.post("/vms/web/stop?wait=none")
        await api.stops("web")
        stopped = await asyncio.to_thread(ask, url, "vm", "web")
        gone = await asyncio.to_thread(ask, url, "plugin", "web")
        plugin = await asyncio.to_thread(ask, url, "hello", "--json")
        wrong = await asyncio.to_thread(ask, url, "pod", "web")
        odd = await asyncio.to_thread(ask, url, "vm", "../plugins/hello")
    assert waiting[0] == 1
    assert "VM web has not been looked at yet [NotLookedAt" in waiting[1]
    assert ready[0] == 0
    assert ready[1].startswith("VM web is ready [Running")
    assert stopped[0] == 2
    assert "VM web is stopped: as asked" in stopped[1]
    assert gone[0] == odd[0] == 3
    assert plugin[0] == 0
    assert '"kind": "Plugin"' in plugin[1]
    assert wrong[0] == 64
    assert (await asyncio.to_thread(ask, url, "web"))[0] == 1
