"""Revisions as ETags: what a client saw is what it writes to."""

from __future__ import annotations

import asyncio
from pathlib import Path

import httpx2
import pytest
from tests.builders.server import Served, serving

from volant.model.meta import Key


async def some_of_each(api: Served) -> None:
    await api.installed("hello")
    await api.post("/vms", name="a", plugin="hello")
    await api.post("/deployments", name="web", plugin="hello", replicas=1)


WRITES = [
    ("POST", "/vms/a/start", None),
    ("POST", "/vms/a/stop", None),
    ("POST", "/vms/a/restart", None),
    ("DELETE", "/vms/a", None),
    ("PATCH", "/deployments/web", {"replicas": 3}),
    ("DELETE", "/deployments/web", None),
    ("DELETE", "/plugins/hello", None),
    ("POST", "/plugins/hello/enabled", {"enabled": False}),
]


@pytest.mark.parametrize(("method", "path", "body"), WRITES)
async def test_a_write_to_another_revision_is_refused_with_the_current_one(
    tmp_path: Path, method: str, path: str, body: object
) -> None:
    """V2, V11: deletes among them."""
    async with serving(tmp_path) as api:
        await some_of_each(api)
        before = api.store.revision
        answer = await api.http.request(method, path, json=body, headers={"If-Match": '"99"'})
        assert (answer.status_code, answer.json()["code"]) == (412, "precondition_failed")
        name = path.split("/")[2]
        kind = {"vms": "VM", "deployments": "Deployment", "plugins": "Plugin"}[path.split("/")[1]]
        stored = api.store.find(Key(kind, name))  # type: ignore[arg-type]
        assert stored is not None
        assert answer.json()["details"] == {"name": name, "revision": stored.meta.revision}
        assert api.store.revision == before


async def test_of_two_writers_who_saw_the_same_one_wins(tmp_path: Path) -> None:
    """V2"""
    async with serving(tmp_path) as api:
        await some_of_each(api)
        seen = (await api.get("/deployments/web")).headers["etag"]

        async def scale(replicas: int) -> httpx2.Response:
            return await api.http.patch("/deployments/web", json={"replicas": replicas}, headers={"If-Match": seen})

        async with asyncio.TaskGroup() as tasks:
            scales = [tasks.create_task(scale(n)) for n in (5, 7)]
        assert sorted(scale.result().status_code for scale in scales) == [200, 412]


@pytest.mark.parametrize("shape", ["{0}", "W/{0}", "*", '"1", {0}'])
async def test_a_write_to_the_revision_that_was_seen_is_made(tmp_path: Path, shape: str) -> None:
    async with serving(tmp_path) as api:
        await some_of_each(api)
        seen = (await api.get("/deployments/web")).headers["etag"]
        answer = await api.http.patch(
            "/deployments/web", json={"replicas": 2}, headers={"If-Match": shape.format(seen)}
        )
        assert answer.status_code == 200
        assert answer.headers["etag"] == f'"{api.store.deployment("web").meta.revision}"'


@pytest.mark.parametrize("path", ["/vms/a", "/vms/a/config", "/plugins/hello"])
async def test_what_a_client_has_already_is_not_sent_again(tmp_path: Path, path: str) -> None:
    async with serving(tmp_path) as api:
        await some_of_each(api)
        first = await api.get(path)
        again = await api.get(path, If_None_Match=first.headers["etag"])
        assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", first.headers["etag"])
        assert (await api.get(path, If_None_Match='"0"')).json() == first.json()


async def test_a_revision_that_has_passed_is_sent_anew(tmp_path: Path) -> None:
    async with serving(tmp_path) as api:
        await some_of_each(api)
        first = await api.get("/vms/a")
        await api.runs("a")
        again = await api.get("/vms/a", If_None_Match=first.headers["etag"])
        assert (again.status_code, again.json()["status"]) == (200, "running")


async def test_reports_leave_the_generation_and_move_the_revision(tmp_path: Path) -> None:
    """V4"""
    async with serving(tmp_path) as api:
        await some_of_each(api)
        before = (await api.get("/vms/a")).json()
        await api.runs("a")
        after = (await api.get("/vms/a")).json()
        assert after["generation"] == before["generation"] == 1
        assert after["revision"] > before["revision"]
        assert (await api.post("/vms/a/restart")).json()["generation"] == 2
