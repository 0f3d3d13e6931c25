"""What each operation presumes: one line an operation. One that is documented and not here fails its tests.

Asked (a request of the reference) ──presume──▶ the world in which it is answered as printed
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.conformance.commands import Asked
from tests.conformance.world import World


def presume(world: World, asked: Asked) -> None:
    """Bring the world about in which `asked` is answered as the reference prints it. Raises LookupError."""
    operation = world.reference.asked(asked.method, asked.path)
    if operation.key not in PRESUMED:
        raise LookupError(f"cannot test {operation.key} (line {operation.line}): say in `PRESUMED` what it presumes")
    PRESUMED[operation.key](world, asked.name)


def _no_vm(world: World, name: str) -> None:
    world.plugins()
    world.no_vm(name)


def _no_deployment(world: World, name: str) -> None:
    world.plugins()
    world.no_deployment(name)


def _changed(world: World, name: str) -> None:
    """The VM, once its config was changed as the printed history says: the oldest change first, which is its making."""
    world.vm(name)
    entries = world.printed("GET /api/v1/vms/{name}/config/history")
    for entry in reversed(entries):
        paths = {path: change["new"] for path, change in entry["changes"].items() if isinstance(change, dict)}
        if paths:
            world.patch(f"/vms/{name}/config", nested(paths))


def _attached(world: World, name: str) -> None:
    """The VM, asking for the bridge that is printed. The mode is the daemon's: the simulation has no bridge."""
    network = world.printed("GET /api/v1/vms/{name}/config")["network"]
    world.vm(name, network={"bridge_name": network["bridge_name"]})


def nested(paths: dict[str, Any]) -> dict[str, Any]:
    """`{"resources.vcpu": 4}` -> `{"resources": {"vcpu": 4}}`."""
    whole: dict[str, Any] = {}
    for path, value in paths.items():
        *above, last = path.split(".")
        part = whole
        for key in above:
            part = part.setdefault(key, {})
        part[last] = value
    return whole


PRESUMED: dict[str, Callable[[World, str], None]] = {
    "GET /api/v1/vms": lambda world, _: world.listed(),
    "POST /api/v1/vms": _no_vm,
    "GET /api/v1/vms/{name}": World.vm,
    "POST /api/v1/vms/{name}/start": World.stopped,
    "POST /api/v1/vms/{name}/stop": World.vm,
    "POST /api/v1/vms/{name}/restart": World.vm,
    "DELETE /api/v1/vms/{name}": World.vm,
    "GET /api/v1/vms/{name}/config": _attached,
    "PATCH /api/v1/vms/{name}/config": World.vm,
    "GET /api/v1/vms/{name}/config/history": _changed,
    "GET /api/v1/vms/{name}/openapi": World.vm,
    "GET /api/v1/deployments": lambda world, _: world.listed(),
    "POST /api/v1/deployments": _no_deployment,
    "GET /api/v1/deployments/{name}": World.deployment,
    "PATCH /api/v1/deployments/{name}": World.deployment,
    "DELETE /api/v1/deployments/{name}": World.deployment,
    "GET /api/v1/plugins": lambda world, _: world.plugins(),
    "POST /api/v1/plugins": World.no_plugin,
    "GET /api/v1/plugins/{plugin}": World.plugin,
    "DELETE /api/v1/plugins/{plugin}": World.unused_plugin,
    "POST /api/v1/plugins/{plugin}/enabled": World.plugin,
    "GET /api/v1/system/info": lambda world, _: world.listed(),
    "GET /api/v1/events/vms": lambda world, _: world.plugins(),
    "GET /api/v1/openapi": lambda world, _: None,
}
