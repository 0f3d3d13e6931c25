"""A real guest, told things through the API: it knows them, and nothing of the host says them."""

from __future__ import annotations

from pathlib import Path

import httpx2
import pytest
from tests.builders.bare_qemu import the_kernel
from tests.builders.daemon import daemon, until

from volant.images.hello import build_hello

pytestmark = pytest.mark.e2e

SECRET = "hunter2 it's $(secret)"
USER_DATA = f"""#cloud-config
hostname: told
write_files:
- {{path: /www/file, content: "{SECRET} of a file"}}
runcmd:
- echo "$COLOR of a variable" >/www/variable
"""


def test_a_guest_is_told_its_environment_and_its_user_data_and_the_host_keeps_them(tmp_path: Path) -> None:
    """A7, E2, E5: they are on the seed, which only the VMM may read and which goes with the VM, and nowhere else."""
    image = build_hello(tmp_path / "image", the_kernel(), Path("/bin/busybox"))
    data_dir = tmp_path / "data"
    with daemon(data_dir, artifact_root=tmp_path / "image") as running:
        running.post("/plugins", image.content)
        config = {"env": {"COLOR": SECRET}, "cloud_init": {"user_data": USER_DATA}}
        running.post("/vms", {"name": "web-1", "plugin": "hello", "config": config})
        (vm,) = running.running(1)
        assert "Hello from told" in running.page(vm)
        endpoint = vm["endpoints"][0]
        for name in ("file", "variable"):
            url = f"http://{endpoint['address']}:{endpoint['port']}/{name}"
            assert httpx2.get(url, timeout=30, trust_env=False).text.strip() == f"{SECRET} of a {name}"
        (seed,) = data_dir.rglob("seed*")
        assert seed.stat().st_mode & 0o077 == 0
        for place in (f"/proc/{vm['pid']}/cmdline", f"/proc/{vm['pid']}/environ", str(running.log)):
            assert b"hunter2" not in Path(place).read_bytes()
        running.delete("/vms/web-1")
        until("the seed is gone", lambda: not seed.exists())
        assert b"hunter2" not in running.log.read_bytes()
