"""The plugin user-api: an API in a guest, its document through the daemon, and what it was told after a restart."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx2
import pytest
from openapi_spec_validator import validate
from tests.builders.daemon import daemon
from tests.builders.plugins import EXAMPLES, apply, artifact_root, endpoint, plugin, ready

pytestmark = [pytest.mark.e2e, pytest.mark.gate, pytest.mark.timeout(300)]
ADA = {"name": "Ada", "email": "ada@example.org"}


def test_users_are_kept_over_a_restart_and_the_api_describes_itself(tmp_path: Path) -> None:
    """`GET /vms/{name}/openapi` is the document that the guest serves."""
    with daemon(tmp_path / "data", artifact_root=artifact_root()) as running:
        running.post("/plugins", plugin("user-api"))
        apply(running, "user-api/deployment.yaml")
        name = running.running(1)[0]["name"]
        vm = ready(running, name)
        with _guest(vm) as guest:
            made = guest.post("/users", json=ADA)
            assert (made.status_code, made.json()) == (201, {"id": 1, **ADA})
            assert guest.post("/users", json=ADA).status_code == 409
            assert guest.put("/users/1", json={**ADA, "name": "Ada L."}).json()["name"] == "Ada L."

        document = running.get(f"/vms/{name}/openapi")
        assert document["paths"].keys() == {"/users", "/users/{id}", "/healthz"}
        validate(document)

        running.post(f"/vms/{name}/restart")
        with _guest(ready(running, name, other_than=vm["pid"])) as guest:
            assert guest.get("/users").json() == [{"id": 1, "name": "Ada L.", "email": ADA["email"]}]
            assert guest.delete("/users/1").status_code == 204
            assert guest.get("/users/1").status_code == 404
        running.delete("/deployments/users")


def _guest(vm: dict[str, Any]) -> httpx2.Client:
    address, port = endpoint(vm)
    return httpx2.Client(base_url=f"http://{address}:{port}", timeout=20, trust_env=False)


def test_the_document_of_the_examples_is_one() -> None:
    """Before any guest has served it."""
    for path in sorted(EXAMPLES.rglob("openapi.json")):
        validate(json.loads(path.read_text()))
