"""`GET /vms/{name}/openapi`: from the manifest, from a file of the initramfs, from the guest, and from nowhere."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
from tests.builders.daemon import RunningDaemon, daemon, until
from tests.builders.objects import a_manifest
from tests.builders.server import Served
from tests.builders.server import serving as serving_api

from volant.daemon.documents import Documents
from volant.drivers.pages import SocketPages
from volant.images.newc import directory, gzip_bytes, newc, regular, symlink
from volant.model.document import MAX_DOCUMENT, OpenApi
from volant.model.plugin import Rootfs, Workload
from volant.model.vm import Endpoint

HERE = "127.0.0.1"
DOCUMENT: dict[str, Any] = {
    "openapi": "3.0.3",
    "info": {"title": "nginx-alpine API", "version": "1.0.0"},
    "paths": {"/": {"get": {"summary": "Serve static content"}}},
}
RAW = json.dumps(DOCUMENT, indent=4).encode()
Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def image() -> bytes:
    """An initramfs with a document and what is none."""
    early = newc([directory("kernel"), regular("kernel/microcode", b"\0" * 100)])
    files = [
        directory("etc"),
        regular("etc/api.json", RAW),
        regular("etc/api.yaml", b"openapi: 3.0.3\n"),
        regular("etc/page.html", b"<script>alert(1)</script>"),
        regular("etc/large.json", b'{"openapi":"3.0.3","x":"' + b"y" * MAX_DOCUMENT + b'"}'),
        symlink("etc/passwd", "/etc/passwd"),
    ]
    return early + gzip_bytes(newc(files))


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with artifacts: nobody boots them."""
    where = tmp_path_factory.mktemp("artifacts")
    (where / "initramfs.gz").write_bytes(image())
    (where / "damaged").write_bytes(gzip_bytes(newc([regular("etc/api.json", RAW)]))[:-50])
    (where / "kernel").write_bytes(b"kernel")
    (where / "disk").write_bytes(RAW.ljust(-(-len(RAW) // 512) * 512, b"\0"))
    return where


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory, root: Path) -> Iterator[RunningDaemon]:
    """A daemon whose guests are simulated."""
    with daemon(tmp_path_factory.mktemp("daemon") / "data", "--hypervisor", "simulated", artifact_root=root) as found:
        yield found


def source(path: Path) -> dict[str, str]:
    """An artifact with its checksum."""
    return {"url": path.as_uri(), "checksum": "sha256:" + hashlib.sha256(path.read_bytes()).hexdigest()}


def a_running_vm(running: RunningDaemon, root: Path, name: str, **manifest: Any) -> None:
    """A VM of a plugin of its own."""
    body = {
        "name": name,
        "version": "1.0.0",
        "workload": {"type": "http", "port": 8080},
        "kernel": source(root / "kernel"),
        "initramfs": source(root / "initramfs.gz"),
        **manifest,
    }
    running.post("/plugins", {key: value for key, value in body.items() if value is not None})
    running.post("/vms", {"name": name, "plugin": name})
    until_running(running, name)


def until_running(running: RunningDaemon, name: str) -> None:
    """Wait for the VM."""
    until(f"{name} runs", lambda: running.get(f"/vms/{name}")["status"] == "running")


def refused(running: RunningDaemon, name: str) -> tuple[int, str, str]:
    """Status, code and message."""
    answer = running.api.get(f"/vms/{name}/openapi")
    problem = answer.json()
    return answer.status_code, problem["code"], problem["error"]


@pytest.mark.parametrize("openapi", [{"document": DOCUMENT}, DOCUMENT], ids=["wrapped", "bare"])
def test_a_document_of_the_manifest_is_served(
    running: RunningDaemon, root: Path, openapi: dict[str, Any], request: pytest.FixtureRequest
) -> None:
    """D8"""
    name = f"inline-{request.node.callspec.id}"
    a_running_vm(running, root, name, openapi=openapi)
    answer = running.api.get(f"/vms/{name}/openapi")
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json")
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.json() == DOCUMENT
    assert running.get(f"/plugins/{name}")["openapi"] == {"source": "document"}
    running.post(f"/vms/{name}/stop")
    assert running.get(f"/vms/{name}/openapi") == DOCUMENT, "nobody has to run for it"
    head = running.api.head(f"/vms/{name}/openapi")
    assert (head.status_code, head.content) == (200, b"")
    assert int(head.headers["content-length"]) == len(answer.content)


def test_a_document_in_the_initramfs_is_served(running: RunningDaemon, root: Path) -> None:
    a_running_vm(running, root, "in-file", openapi={"file": "/etc/api.json"})
    assert running.get("/vms/in-file/openapi") == DOCUMENT
    assert running.get("/vms/in-file/openapi") == DOCUMENT
    assert running.get("/plugins/in-file")["openapi"] == {"source": "file", "file": "/etc/api.json"}


@pytest.mark.parametrize(
    ("name", "path", "why"),
    [
        ("gone", "/etc/gone.json", "cannot find /etc/gone.json in the initramfs"),
        ("yaml", "/etc/api.yaml", "it is not JSON (YAML is not read)"),
        ("html", "/etc/page.html", "it is not JSON"),
        ("large", "/etc/large.json", "it is larger than 1048576 bytes"),
        ("link", "/etc/passwd", "it is a symbolic link"),
        ("folder", "/etc", "it is not a regular file"),
    ],
)
def test_a_file_that_is_no_document_is_not_found(
    running: RunningDaemon, root: Path, name: str, path: str, why: str
) -> None:
    a_running_vm(running, root, name, openapi={"file": path})
    for _ in range(2):
        status, code, message = refused(running, name)
        assert (status, code) == (404, "openapi_not_found")
        assert why in message


def test_a_damaged_initramfs_is_told(running: RunningDaemon, root: Path) -> None:
    a_running_vm(running, root, "damaged", openapi={"file": "/etc/api.json"}, initramfs=source(root / "damaged"))
    status, code, message = refused(running, "damaged")
    assert (status, code) == (404, "openapi_not_found")
    assert "ends in the middle" in message


def test_a_file_inside_a_root_disk_is_said_not_to_be_readable(running: RunningDaemon, root: Path) -> None:
    disk = {**source(root / "disk"), "format": "raw"}
    a_running_vm(running, root, "disk", openapi={"file": "/etc/api.json"}, rootfs=disk, initramfs=None)
    status, code, message = refused(running, "disk")
    assert (status, code) == (404, "openapi_not_found")
    assert "inside a root disk, and only files of an initramfs can be read" in message


def test_a_plugin_without_a_document_has_none(running: RunningDaemon, root: Path) -> None:
    a_running_vm(running, root, "plain")
    assert refused(running, "plain")[:2] == (404, "openapi_not_found")
    assert refused(running, "nobody")[:2] == (404, "vm_not_found")


def test_a_guest_is_asked_while_it_runs(running: RunningDaemon, root: Path) -> None:
    a_running_vm(running, root, "guest", openapi={"path": "/api", "port": 9000})
    assert [e["guest_port"] for e in running.get("/vms/guest")["endpoints"]] == [8080, 9000]
    assert running.get("/vms/guest/openapi")["info"]["title"] == "Simulated guest"
    running.post("/vms/guest/stop")
    status, code, message = refused(running, "guest")
    assert (status, code) == (409, "openapi_unavailable")
    assert "the VM is stopped" in message
    running.post("/vms/guest/start")
    until_running(running, "guest")
    assert running.get("/vms/guest/openapi")["openapi"] == "3.0.3"


def test_a_guest_without_a_network_cannot_be_asked(running: RunningDaemon, root: Path) -> None:
    a_running_vm(running, root, "alone", openapi={"path": "/api"}, network={"mode": "none"})
    assert running.get("/vms/alone/config")["network"] == {"mode": "none"}
    assert refused(running, "alone")[:2] == (409, "openapi_unavailable")


def test_what_a_manifest_says_is_what_its_vms_get(running: RunningDaemon, root: Path) -> None:
    a_running_vm(running, root, "defaults", env={"A": "1", "B": "2"}, cloud_init="#cloud-config")
    running.post("/vms", {"name": "asking", "plugin": "defaults", "config": {"env": {"B": "3"}}})
    assert running.get("/vms/defaults/config")["env"] == {"A": "1", "B": "2"}
    assert running.get("/vms/asking/config")["env"] == {"A": "1", "B": "3"}
    assert running.get("/vms/asking/config")["cloud_init"] == {"enabled": True, "user_data": "#cloud-config"}


def test_a_network_that_this_daemon_does_not_have_is_refused_at_once(running: RunningDaemon, root: Path) -> None:
    body = {
        "name": "bridged",
        "version": "1",
        "rootfs": {**source(root / "disk"), "format": "raw"},
        "network": {"mode": "bridge"},
    }
    answer = running.api.post("/plugins", json=body)
    assert answer.status_code == 400
    assert answer.json()["details"]["fields"][0]["path"] == "/network/mode"


# A guest that is a server of the test, on the address and port that its VM has published.


@asynccontextmanager
async def a_guest(directory: Path, serve: Serve, *, guest_s: float = 20.0) -> AsyncIterator[Served]:
    """The API with one VM that runs, `web-1`, whose guest is `serve`."""
    documents = Documents(SocketPages(), lambda digest: directory / digest, guest_s=guest_s)

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.readuntil(b"\r\n\r\n")
            await serve(reader, writer)
        except (OSError, EOFError):
            pass
        finally:
            writer.close()

    listening = await asyncio.start_server(answer, HERE, 0)
    port = listening.sockets[0].getsockname()[1]
    try:
        async with serving_api(directory, document=documents.of) as api:
            await api.installed(manifest=a_manifest(openapi=OpenApi(path="/api")), ready=True)
            await api.post("/vms", name="web-1", plugin="hello")
            await api.runs("web-1", endpoints=(Endpoint(address=HERE, port=port, guest_port=8080),))
            yield api
    finally:
        listening.close()
        await listening.wait_closed()


def saying(*parts: bytes, keep_open: bool = False) -> Serve:
    """Say that and end, or wait for the caller to."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for part in parts:
            writer.write(part)
            await writer.drain()
        if keep_open:
            await reader.read()

    return serve


async def endless(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """A body that never ends."""
    writer.write(OK)
    while True:
        writer.write(b" " * 65536)
        await writer.drain()
        await asyncio.sleep(0)


OK = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nSet-Cookie: a=b\r\n\r\n"


async def test_what_a_guest_serves_is_written_anew_with_headers_of_our_own(tmp_path: Path) -> None:
    """D8"""
    async with a_guest(tmp_path, saying(OK, RAW)) as api:
        answer = await api.get("/vms/web-1/openapi")
        assert answer.json() == DOCUMENT
        assert answer.content != RAW
        assert answer.headers["content-type"] == "application/json"
        assert "set-cookie" not in answer.headers


@pytest.mark.parametrize(
    ("serve", "why"),
    [
        (saying(b"HTTP/1.1 302 Found\r\nLocation: http://169.254.169.254/\r\n\r\n"), "302, which is not followed"),
        (endless, "larger than 1048576 bytes"),
        (saying(OK, b"x" * (2 << 20)), "larger than 1048576 bytes"),
        (saying(OK, b"<html><script>"), "it is not JSON"),
        (saying(OK, b"openapi: 3.0.3"), "YAML is not read"),
        (saying(OK, b"[]"), "it is not an object"),
        (saying(OK, b'{"hello": "world"}'), "it is no OpenAPI document"),
        (saying(OK, b"[" * 500_000), "nested"),
        (saying(b"HTTP/1.1 200 OK\r\nContent-"), "does not answer in HTTP"),
        (saying(b"HTTP/1.1 500 Oh\r\n\r\n"), "answers 500"),
        (saying(b""), "does not answer in HTTP"),
    ],
)
async def test_whatever_else_a_guest_does_is_its_own_fault(tmp_path: Path, serve: Serve, why: str) -> None:
    """D8: a redirect, a flood, what is no JSON and what is no document."""
    async with a_guest(tmp_path, serve) as api:
        answer = await api.get("/vms/web-1/openapi")
        assert (answer.status_code, answer.json()["code"]) == (409, "openapi_unavailable")
        assert why in answer.json()["error"]
        assert (await api.get("/vms/web-1")).status_code == 200


@pytest.mark.parametrize(
    "serve",
    [
        saying(OK, b'{"openapi": "3', keep_open=True),
        saying(b"HTTP/1.1 200 OK\r\nCont", keep_open=True),
        saying(keep_open=True),
    ],
    ids=["slow body", "half a head", "silence"],
)
async def test_a_guest_that_does_not_come_to_an_end_is_not_waited_for(tmp_path: Path, serve: Serve) -> None:
    """D8"""
    async with a_guest(tmp_path, serve, guest_s=0.3) as api:
        many = [asyncio.ensure_future(api.get("/vms/web-1/openapi")) for _ in range(40)]
        answers: list[httpx2.Response] = await asyncio.gather(*many)
        assert {answer.json()["code"] for answer in answers} == {"openapi_unavailable"}


async def test_a_document_of_a_vm_that_is_gone_meanwhile_is_not_shown(tmp_path: Path) -> None:
    asked, go_on = asyncio.Event(), asyncio.Event()

    async def wait(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.set()
        await go_on.wait()
        writer.write(OK + RAW)
        await writer.drain()

    async with a_guest(tmp_path, wait) as api:
        answer = asyncio.ensure_future(api.get("/vms/web-1/openapi"))
        await asked.wait()
        vm = api.store.vm("web-1")
        ending = asyncio.ensure_future(api.delete("/vms/web-1"))
        await api.clears(await api.asked_to_go(vm.meta.key))
        await ending
        go_on.set()
        assert (await answer).json()["code"] == "vm_not_found"


async def test_a_port_that_the_running_guest_does_not_publish_is_not_asked(tmp_path: Path) -> None:
    async with a_guest(tmp_path, saying(OK, RAW)) as api:
        other = a_manifest("other", workload=Workload(), openapi=OpenApi(path="/api", port=9))
        await api.installed("other", manifest=other, ready=True)
        await api.post("/vms", name="web-2", plugin="other")
        await api.runs("web-2", endpoints=api.store.vm("web-1").status.endpoints)
        answer = await api.get("/vms/web-2/openapi")
        assert answer.json()["code"] == "openapi_unavailable"
        assert "port 9 of the guest that runs is not published" in answer.json()["error"]


async def test_an_initramfs_that_is_not_here_yet_is_worth_another_try(tmp_path: Path) -> None:
    async with a_guest(tmp_path, saying(OK, RAW)) as api:
        manifest = a_manifest("other", openapi=OpenApi(file="/etc/api.json"))
        await api.installed("other", manifest=manifest)
        await api.post("/vms", name="web-2", plugin="other")
        answer = await api.get("/vms/web-2/openapi")
        assert (answer.status_code, answer.json()["code"]) == (409, "openapi_unavailable")
        assert answer.json()["details"] == {"name": "web-2", "source": "file", "status": "starting"}


async def test_an_artifact_that_has_vanished_is_worth_another_try(tmp_path: Path) -> None:
    async with a_guest(tmp_path, saying(OK, RAW)) as api:
        await api.installed("other", manifest=a_manifest("other", openapi=OpenApi(file="/etc/api.json")), ready=True)
        await api.post("/vms", name="web-2", plugin="other")
        assert (await api.get("/vms/web-2/openapi")).json()["code"] == "openapi_unavailable"
        digest = hashlib.sha256(b"initramfs").hexdigest()
        (tmp_path / digest).write_bytes(image())
        assert (await api.get("/vms/web-2/openapi")).json() == DOCUMENT


async def test_a_root_disk_is_not_looked_into(tmp_path: Path) -> None:
    async with a_guest(tmp_path, saying(OK, RAW)) as api:
        disk = Rootfs(url="https://example.com/disk", format="qcow2")
        manifest = a_manifest("other", initramfs=None, rootfs=disk, openapi=OpenApi(file="/etc/api.json"))
        await api.installed("other", manifest=manifest, ready=True)
        await api.post("/vms", name="web-2", plugin="other")
        assert (await api.get("/vms/web-2/openapi")).json()["code"] == "openapi_not_found"
