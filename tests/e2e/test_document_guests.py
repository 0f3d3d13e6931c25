"""The OpenAPI document of a real guest, through a real daemon."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.builders.daemon import daemon, until
from tests.builders.qemu_guests import ROOT

from volant.images.hello import build_hello, hello_document
from volant.images.kernel import find_kernel

pytestmark = pytest.mark.e2e


def test_a_running_guest_gives_its_document_and_so_does_a_file_of_its_image(tmp_path: Path) -> None:
    kernel = find_kernel(ROOT / ".cache" / "volant" / "kernel")
    assert kernel is not None, "there is no guest kernel. Run: make setup"
    image = build_hello(tmp_path / "image", kernel, Path("/bin/busybox"))
    with daemon(tmp_path / "data", artifact_root=tmp_path / "image") as running:
        running.post("/plugins", image.content)
        running.post("/plugins", {**image.content, "name": "filed", "openapi": {"file": "/www/openapi.json"}})
        running.post("/vms", {"name": "web-1", "plugin": "hello"})
        running.post("/vms", {"name": "web-2", "plugin": "filed"})
        path = "/vms/web-1/openapi"
        until("the guest gives its document", lambda: running.api.get(path).status_code == 200)
        assert running.get(path) == hello_document()
        until("the image is there", lambda: running.api.get("/vms/web-2/openapi").status_code == 200)
        assert running.get("/vms/web-2/openapi") == hello_document()
        running.post("/vms/web-1/stop?force=true")
        answer = running.api.get(path)
        assert (answer.status_code, answer.json()["code"]) == (409, "openapi_unavailable")
