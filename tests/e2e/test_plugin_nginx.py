"""The plugin nginx-alpine: a real nginx in every replica of a deployment."""

from __future__ import annotations

from pathlib import Path

import httpx2
import pytest
from tests.builders.daemon import daemon, until
from tests.builders.plugins import apply, artifact_root, endpoint, plugin, ready

pytestmark = [pytest.mark.e2e, pytest.mark.gate, pytest.mark.timeout(300)]


def test_a_deployment_of_nginx_serves_a_page_from_each_replica(tmp_path: Path) -> None:
    """The page says which guest has served it; the document of the API is the one that nginx serves."""
    with daemon(tmp_path / "data", artifact_root=artifact_root()) as running:
        running.post("/plugins", plugin("nginx-alpine"))
        apply(running, "nginx-alpine/deployment.yaml")
        vms = [ready(running, vm["name"]) for vm in running.running(2)]
        pages = {vm["name"]: httpx2.get(_url(vm), trust_env=False, timeout=20) for vm in vms}
        for name, page in pages.items():
            assert page.headers["server"] == "nginx"
            assert f"Hello from {name}" in page.text
        until("the deployment is available", lambda: running.get("/deployments/web")["ready_replicas"] == 2)
        document = running.get(f"/vms/{vms[0]['name']}/openapi")
        assert document["info"]["title"] == "nginx-alpine API"
        assert document["paths"]["/"]["get"]["summary"] == "Serve static content"
        running.delete("/deployments/web")


def _url(vm: dict[str, object]) -> str:
    address, port = endpoint(vm)
    return f"http://{address}:{port}/"
