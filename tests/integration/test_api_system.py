"""What the daemon says of itself, and how every error looks."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.builders.server import FACTS, Served, serving

from volant.api import Check, HealthReport
from volant.api.call import MAX_BODY
from volant.store import StoreSettings


async def test_system_information_counts_what_there_is(tmp_path: Path) -> None:
    async with serving(tmp_path) as api:
        await api.installed("hello")
        for name in ("a", "b"):
            await api.post("/vms", name=name, plugin="hello")
        await api.runs("a")
        await api.post("/deployments", name="web", plugin="hello")
        body = (await api.get("/system/info")).json()
        assert body["stats"] == {"total_vms": 2, "running_vms": 1, "total_deployments": 1, "total_plugins": 1}
        assert body["go_version"] is None
        assert (body["hypervisor"], body["accelerator"]) == (FACTS.hypervisor, FACTS.accelerator)


async def test_health_is_what_the_daemon_reports(tmp_path: Path) -> None:
    """S5"""
    async with serving(tmp_path) as api:
        base = api.http.base_url.copy_with(path="/")
        for is_live, is_ready, statuses in (
            (True, True, [200, 200]),
            (True, False, [200, 503]),
            (False, False, [503, 503]),
        ):
            checks = {"vm": Check(ok=is_live, message="" if is_live else "stuck")}
            api.health.report = HealthReport(is_live=is_live, is_ready=is_ready, checks=checks)
            answers = [await api.http.get(base.join(path)) for path in ("/healthz", "/readyz")]
            assert [answer.status_code for answer in answers] == statuses
            assert [answer.json()["status"] for answer in answers] == [
                "ok" if s == 200 else "failing" for s in statuses
            ]
        assert answers[0].json()["checks"] == {"vm": {"ok": False, "message": "stuck"}}
        assert answers[1].json()["checks"]["store"] == {"ok": True}


async def test_a_request_keeps_the_id_it_came_with(tmp_path: Path) -> None:
    async with serving(tmp_path) as api:
        answer = await api.get("/vms/none", X_Request_Id="deploy-42")
        assert answer.headers["x-request-id"] == answer.json()["request_id"] == "deploy-42"


async def test_a_request_without_an_id_or_with_a_bad_one_is_given_one(tmp_path: Path) -> None:
    async with serving(tmp_path) as api:
        bad = ("", "a b", "x" * 65, '"')
        ids = [(await api.get("/vms", X_Request_Id=given)).headers["x-request-id"] for given in bad]
        assert len({*ids, (await api.get("/vms")).headers["x-request-id"]}) == 5
        assert not set(bad) & set(ids)


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/nothing", 404, "not_found"),
        ("GET", "/vms/", 404, "not_found"),
        ("GET", "/vms/a/b/c", 404, "not_found"),
        ("GET", "/../../etc/passwd", 404, "not_found"),
        ("GET", "/vms/%2e%2e%2f", 404, "not_found"),
        ("GET", "/vms/..%2f..", 404, "not_found"),
        ("GET", "/vms/%2e%2e", 404, "vm_not_found"),
        ("GET", "/vms/a%00b", 404, "vm_not_found"),
        ("GET", "/vms/%ff", 404, "vm_not_found"),
        ("GET", "/vms/" + "a" * 4000, 404, "vm_not_found"),
        ("GET", "/vms/a%0d%0aX-Evil:%201", 404, "vm_not_found"),
        ("DELETE", "/plugins/%2e%2e", 404, "plugin_not_found"),
        ("PATCH", "/vms/a", 405, "method_not_allowed"),
        ("OPTIONS", "/vms", 405, "method_not_allowed"),
        ("GET", "/vms?limit=x", 400, "invalid"),
        ("DELETE", "/vms/a?froce=true", 400, "invalid"),
    ],
)
async def test_every_error_has_the_reference_s_body(
    tmp_path: Path, method: str, path: str, status: int, code: str
) -> None:
    """G11"""
    async with serving(tmp_path) as api:
        reader = await api.open(path, method=method)
        body = await api.http.request(method, api.http.base_url.copy_with(raw_path=f"/api/v1{path}".encode()))
        assert reader.status == body.status_code == status
        assert reader.headers["content-type"] == "application/json"
        assert set(body.json()) == {"error", "code", "details", "request_id"}
        assert body.json()["code"] == code
        await reader.close()


@pytest.mark.parametrize(
    ("path", "allow"),
    [
        ("/vms", "GET, HEAD, POST"),
        ("/vms/a", "DELETE, GET, HEAD, PUT"),
        ("/vms/a/start", "POST"),
        ("/deployments/a", "DELETE, GET, HEAD, PATCH, PUT"),
        ("/events/vms", "GET, HEAD"),
    ],
)
async def test_a_405_names_every_method_of_the_path(tmp_path: Path, path: str, allow: str) -> None:
    async with serving(tmp_path) as api:
        answer = await api.http.request("TRACE", path)
        assert (answer.status_code, answer.headers["allow"]) == (405, allow)
        assert answer.json()["details"]["allow"] == allow.split(", ")


@pytest.mark.parametrize("path", ["/vms", "/vms/a", "/vms/none", "/system/info"])
async def test_head_is_get_without_the_body(tmp_path: Path, path: str) -> None:
    async with serving(tmp_path) as api:
        await api.installed("hello")
        await api.post("/vms", name="a", plugin="hello")
        get, head = (
            await api.get(path, X_Request_Id="same"),
            await api.http.head(path, headers={"X-Request-Id": "same"}),
        )
        assert (head.status_code, head.content) == (get.status_code, b"")
        assert {k: v for k, v in head.headers.items() if k != "date"} == {
            k: v for k, v in get.headers.items() if k != "date"
        }


async def test_another_site_s_page_gets_nothing(tmp_path: Path) -> None:
    """G2"""
    async with serving(tmp_path) as api:
        await api.installed("hello")
        rebound = await api.get("/vms", Host="evil.com")
        assert (rebound.status_code, rebound.json()["code"]) == (403, "host_not_allowed")
        form = await api.http.post(
            "/vms", content=b'{"name":"a","plugin":"hello"}', headers={"Content-Type": "text/plain"}
        )
        assert (form.status_code, form.json()["code"]) == (415, "unsupported_media_type")
        page = await api.http.post("/vms", json={"name": "a", "plugin": "hello"}, headers={"Origin": "http://evil.com"})
        assert (page.status_code, page.json()["code"]) == (403, "origin_not_allowed")
        preflight = await api.http.options("/vms", headers={"Origin": "http://evil.com"})
        for answer in (rebound, form, page, preflight, await api.get("/vms", Origin="http://evil.com")):
            assert not [name for name in answer.headers if name.startswith("access-control-")]
        assert api.store.count("VM") == 0


async def test_a_body_that_is_too_large_is_refused_whether_it_says_so_or_not(tmp_path: Path) -> None:
    """G7"""
    async with serving(tmp_path) as api:
        headers = {"Content-Type": "application/json"}
        said = await api.open("/vms", method="POST", Content_Type="application/json", Content_Length=str(100 << 20))
        assert said.status == 413

        async def chunks() -> AsyncIterator[bytes]:
            for _ in range(MAX_BODY // 65536 + 2):
                yield b" " * 65536

        unsaid = await api.http.post("/vms", content=chunks(), headers=headers)
        assert (unsaid.status_code, unsaid.json()["details"]) == (413, {"limit_bytes": MAX_BODY})
        await said.close()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b'{"a":' * 1000 + b"1" + b"}" * 1000,
        b'{"name": 1e400}',
        b'{"name":"a","name":"b"}',
        b'{"name":"\xff"}',
    ],
)
async def test_what_is_not_sound_json_is_the_caller_s_mistake(tmp_path: Path, content: bytes) -> None:
    """G7"""
    async with serving(tmp_path) as api:
        answer = await api.http.post("/vms", content=content, headers={"Content-Type": "application/json"})
        assert answer.status_code == 400
        assert answer.json()["code"] in {"malformed_json", "invalid"}


async def test_what_is_our_fault_tells_nothing_of_us(tmp_path: Path) -> None:
    def broken() -> HealthReport:
        raise RuntimeError("secret path /var/lib/volant")

    async with serving(tmp_path, health=broken) as api:
        answer = await api.http.get(api.http.base_url.copy_with(path="/healthz"))
        assert answer.status_code == 500
        body = answer.json()
        assert body.pop("request_id")
        assert body == {"error": "internal error", "code": "internal", "details": {}}


async def test_a_store_that_cannot_write_is_worth_another_try(tmp_path: Path) -> None:
    """S4"""
    async with serving(tmp_path) as api:
        await api.installed("hello")
        await api.store.close()
        answer = await api.post("/vms", name="a", plugin="hello")
        assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")
        assert int(answer.headers["retry-after"]) >= 1


async def test_while_the_daemon_stops_it_takes_no_writes(tmp_path: Path) -> None:
    """S1"""
    async with serving(tmp_path) as api:
        api.deps.stopping.set()
        answer = await api.post("/vms", name="a", plugin="hello")
        assert (answer.status_code, answer.json()["code"]) == (503, "stopping")
        assert (await api.get("/vms")).status_code == 200
        ready = await api.http.get(api.http.base_url.copy_with(path="/readyz"))
        assert ready.status_code == 503


async def test_many_who_wait_and_many_who_write_do_not_disturb_each_other(tmp_path: Path) -> None:
    async with serving(tmp_path, settings=StoreSettings(synchronous="off")) as api:
        await api.installed("hello")
        async with asyncio.TaskGroup() as tasks:
            lives = [tasks.create_task(_whole_life(api, f"vm-{i}")) for i in range(40)]
        assert [life.result() for life in lives] == [204] * 40
        assert api.store.count("VM") == 0


async def _whole_life(api: Served, name: str) -> int:
    assert (await api.post("/vms", name=name, plugin="hello")).status_code == 201
    await api.runs(name)
    async with asyncio.TaskGroup() as tasks:
        stop = tasks.create_task(api.post(f"/vms/{name}/stop"))
        await api.asked(name, "stopped")
        await api.stops(name)
        assert (await stop).json()["status"] == "stopped"
        delete = tasks.create_task(api.delete(f"/vms/{name}"))
        await api.clears(await api.asked_to_go(api.store.vm(name).meta.key))
    return delete.result().status_code
