"""An image from a registry becomes a plugin, and its guest runs what the image says, as the image says."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import httpx2
import pytest
from tests.builders.daemon import ROOT, daemon
from tests.builders.oci import Image, a_directory, a_file, a_link, a_registry, an_image, layer
from tests.builders.plugins import endpoint, ready

pytestmark = [pytest.mark.e2e, pytest.mark.gate, pytest.mark.timeout(300)]
TOLD = "#!/bin/sh\necho Content-Type: text/plain\necho\necho $(id -u):$(id -g) $(pwd) $GREETING\nls -ln /bin/secret\n"


def the_image() -> Image:
    """busybox that serves who it is, where it is and what it was told, in two layers."""
    busybox = Path("/bin/busybox").read_bytes()
    base = layer(
        a_directory("bin"),
        a_file("bin/busybox", busybox, mode=0o755),
        *(a_link(f"bin/{applet}", "busybox") for applet in ("sh", "id", "pwd", "ls", "httpd")),
        a_file("etc/passwd", b"app:x:1234:1235::/srv:/bin/sh\n"),
        a_file("srv/cgi-bin/old", b"gone"),
    )
    above = layer(
        a_file("srv/cgi-bin/.wh.old"),
        a_file("srv/cgi-bin/told", TOLD.encode(), mode=0o755, uid=1234, gid=1235),
        a_file("bin/secret", b"x", mode=0o4710, uid=7, gid=1235),
    )
    said = {
        "Entrypoint": ["/bin/busybox", "httpd", "-f"],
        "Cmd": ["-p", "8080", "-h", "/srv"],
        "Env": ["PATH=/bin", "GREETING=a  word 'quoted'"],
        "User": "app",
        "WorkingDir": "/srv",
        "ExposedPorts": {"8080/tcp": {}},
    }
    return an_image(base, above, said=said)


async def built(out: Path) -> dict[str, Any]:
    """The manifest of the plugin, made from a registry on loopback by the command."""
    async with a_registry(the_image(), asks=True) as registry:
        command = [sys.executable, "-m", "volant", "image", "build", "--oci", registry.reference, "--name", "told"]
        process = await asyncio.create_subprocess_exec(
            *command, "--output", str(out), cwd=ROOT, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
        )
        said, _ = await process.communicate()
    assert process.returncode == 0, said.decode()
    manifest: dict[str, Any] = json.loads((out / "told.json").read_text())
    return manifest


def test_a_guest_of_an_oci_image_runs_what_the_image_says(tmp_path: Path) -> None:
    """Entrypoint, environment, user, directory, and the owners and modes of its files."""
    manifest = asyncio.run(built(tmp_path / "built"))
    assert manifest["workload"]["port"] == 8080
    manifest |= {"workload": {"type": "http", "port": 8080}, "health_check": {"path": "/cgi-bin/told"}}
    with daemon(tmp_path / "data", artifact_root=tmp_path) as running:
        running.post("/plugins", manifest)
        running.post("/vms", {"name": "told", "plugin": "told", "config": {"env": {"MORE": "1"}}})
        address, port = endpoint(ready(running, "told"))
        page = httpx2.get(f"http://{address}:{port}/cgi-bin/told", timeout=20, trust_env=False)
        who, file = page.text.splitlines()
        assert who == "1234:1235 /srv/cgi-bin a word 'quoted'"
        assert file.split()[:4] == ["-rws--x---", "1", "7", "1235"]
        assert httpx2.get(f"http://{address}:{port}/cgi-bin/old", timeout=20, trust_env=False).status_code == 404
