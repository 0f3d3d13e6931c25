"""The operations of rollouts, and of single objects said whole, as Calls.

`wait="complete"` waits for the end of the rollout that a call begins: NotReached when it is stuck, paused or taken
back. With `revision` a write is made only while the object is still at it (ApiError `precondition_failed`).
"""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec
from msgspec.structs import replace

from volant.client.call import Call, asked, at, shown, written
from volant.model import views

T = TypeVar("T")

MARGIN_S = 10.0
"""What an answer may take beyond the time that it was asked to wait."""


def patch_deployment(
    name: str,
    patch: dict[str, Any],
    *,
    revision: int | None = None,
    dry_run: bool = False,
    wait: str | None = None,
    timeout_s: float | None = None,
) -> Call[views.DeploymentView]:
    """`PATCH /deployments/{name}`: a merge patch (RFC 7396). What its VMs are made of rolls, within its strategy."""
    call = _write("PATCH", at("deployments", name), patch, views.DeploymentView, wait, timeout_s, dry_run=dry_run)
    return replace(call, revision=revision)


def put_deployment(
    name: str,
    document: dict[str, Any],
    *,
    revision: int | None = None,
    force: bool = False,
    dry_run: bool = False,
    wait: str | None = None,
    timeout_s: float | None = None,
) -> Call[views.DeploymentView]:
    """`PUT /deployments/{name}`: make it, or make it as this manifest says. With `force` over what others say."""
    path = at("deployments", name)
    call = _write("PUT", path, document, views.DeploymentView, wait, timeout_s, dry_run=dry_run, force=force)
    return replace(call, revision=revision)


def put_vm(
    name: str,
    document: dict[str, Any],
    *,
    revision: int | None = None,
    force: bool = False,
    dry_run: bool = False,
    wait: str | None = None,
    timeout_s: float | None = None,
) -> Call[views.VMView]:
    """`PUT /vms/{name}`: make it, or make it as this manifest says. With `force` over what others say."""
    call = _write("PUT", at("vms", name), document, views.VMView, wait, timeout_s, dry_run=dry_run, force=force)
    return replace(call, revision=revision)


def list_revisions(name: str) -> Call[list[views.RevisionView]]:
    """`GET /deployments/{name}/revisions`: the templates that it has and had, the newest first."""
    return Call(method="GET", path=at("deployments", name, "revisions"), read=shown(list[views.RevisionView]))


def roll_back(
    name: str, revision: int | None = None, *, wait: str | None = None, timeout_s: float | None = None
) -> Call[views.DeploymentView]:
    """`POST /deployments/{name}/rollback`: to the template of that revision, or of the one before."""
    body = {} if revision is None else {"revision": revision}
    return _write("POST", at("deployments", name, "rollback"), body, views.DeploymentView, wait, timeout_s)


def pause(name: str) -> Call[views.DeploymentView]:
    """`POST /deployments/{name}/pause`: replace no more VMs, until `resume`."""
    return _write("POST", at("deployments", name, "pause"), None, views.DeploymentView, None, None)


def resume(name: str, *, wait: str | None = None, timeout_s: float | None = None) -> Call[views.DeploymentView]:
    """`POST /deployments/{name}/resume`: go on replacing VMs."""
    return _write("POST", at("deployments", name, "resume"), None, views.DeploymentView, wait, timeout_s)


def restart(name: str, *, wait: str | None = None, timeout_s: float | None = None) -> Call[views.DeploymentView]:
    """`POST /deployments/{name}/restart`: replace all its VMs by new ones of the same template, as a rollout."""
    return _write("POST", at("deployments", name, "restart"), None, views.DeploymentView, wait, timeout_s)


def _write(
    method: str,
    path: str,
    body: dict[str, Any] | None,
    view: type[T],
    wait: str | None,
    timeout_s: float | None,
    **flags: bool,
) -> Call[T]:
    said = {name: value or None for name, value in flags.items()}
    bound_s = None if wait in (None, "none") else (60.0 if timeout_s is None else timeout_s) + MARGIN_S
    return Call(
        method=method,
        path=path,
        query=asked(wait=wait, timeout=None if timeout_s is None else f"{max(timeout_s, 0):.3f}s", **said),
        body=None if body is None else msgspec.json.encode(body),
        read=written(view),
        bound_s=bound_s,
    )
