"""Every operation of the API, as a Call: one function for each, in the words of the model.

`wait` is a goal (`running`, `ready`, `stopped`, `deleted`, `available`, `complete`) or `none`; left out, a write
answers as it does by itself: stop and delete when it is so, the others at once. `timeout_s` bounds that wait, at most
600 s. An `idempotency_key` makes a create the same create when it is sent again; without one the client draws one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

import msgspec
from msgspec import Struct

from volant.client.call import Answer, Call, Page, asked, at, maybe, page, removed, shown, written
from volant.model import views

if TYPE_CHECKING:
    from volant.model.event import PastEvent
    from volant.model.plugin import Manifest
    from volant.model.requests import NewDeployment, NewVM

T = TypeVar("T")

PAGE = 500
"""Objects a page: one answer of a few hundred kilobytes."""
END_S = 3700.0
"""Stop and delete wait for the grace period, which is an hour at most."""
MARGIN_S = 10.0
"""What an answer may take beyond the time that it was asked to wait."""

Body = Struct | dict[str, Any]


class _Plugins(Struct):
    plugins: list[views.PluginView]


def list_vms(  # noqa: PLR0913 - the filters of the API
    *,
    label_selector: str | None = None,
    plugin: str | None = None,
    owner: str | None = None,
    deployment: str | None = None,
    status: str | None = None,
    q: str | None = None,
    sort: str | None = None,
    order: str | None = None,
) -> Call[Page[views.VMView]]:
    """The first page of `GET /vms`."""
    chosen = {"label_selector": label_selector, "plugin": plugin, "owner": owner, "deployment": deployment}
    query = asked(**chosen, status=status, q=q, sort=sort, order=order, limit=PAGE)
    return Call(method="GET", path=at("vms"), query=query, read=page(list[views.VMView], list))


def list_deployments(
    *,
    label_selector: str | None = None,
    q: str | None = None,
    sort: str | None = None,
    order: str | None = None,
) -> Call[Page[views.DeploymentView]]:
    """The first page of `GET /deployments`."""
    query = asked(label_selector=label_selector, q=q, sort=sort, order=order, limit=PAGE)
    return Call(method="GET", path=at("deployments"), query=query, read=page(list[views.DeploymentView], list))


def list_plugins(
    *,
    label_selector: str | None = None,
    q: str | None = None,
    sort: str | None = None,
    order: str | None = None,
) -> Call[Page[views.PluginView]]:
    """The first page of `GET /plugins`, each of them whole: without `fields` there would be names only."""
    fields = ",".join(views.PluginView.__struct_fields__)
    query = asked(label_selector=label_selector, q=q, sort=sort, order=order, fields=fields, limit=PAGE)
    return Call(method="GET", path=at("plugins"), query=query, read=page(_Plugins, lambda found: found.plugins))


def get_vm(name: str) -> Call[views.VMView]:
    """`GET /vms/{name}`."""
    return Call(method="GET", path=at("vms", name), read=shown(views.VMView))


def get_deployment(name: str) -> Call[views.DeploymentView]:
    """`GET /deployments/{name}`."""
    return Call(method="GET", path=at("deployments", name), read=shown(views.DeploymentView))


def endpoints(name: str) -> Call[views.EndpointsView]:
    """`GET /deployments/{name}/endpoints`: where requests for it may be sent now."""
    return Call(method="GET", path=at("deployments", name, "endpoints"), read=shown(views.EndpointsView))


def get_plugin(name: str) -> Call[views.PluginView]:
    """`GET /plugins/{name}`."""
    return Call(method="GET", path=at("plugins", name), read=shown(views.PluginView))


def create_vm(
    body: NewVM | dict[str, Any],
    *,
    wait: str | None = None,
    timeout_s: float | None = None,
    idempotency_key: str | None = None,
) -> Call[views.VMView]:
    """`POST /vms`."""
    return _create("vms", body, views.VMView, wait, timeout_s, idempotency_key)


def create_deployment(
    body: NewDeployment | dict[str, Any],
    *,
    wait: str | None = None,
    timeout_s: float | None = None,
    idempotency_key: str | None = None,
) -> Call[views.DeploymentView]:
    """`POST /deployments`."""
    return _create("deployments", body, views.DeploymentView, wait, timeout_s, idempotency_key)


def create_plugin(
    body: Manifest | dict[str, Any],
    *,
    wait: str | None = None,
    timeout_s: float | None = None,
    idempotency_key: str | None = None,
) -> Call[views.PluginView]:
    """`POST /plugins`: install it from its manifest."""
    return _create("plugins", body, views.PluginView, wait, timeout_s, idempotency_key)


def delete_vm(
    name: str, *, force: bool = False, wait: str | None = None, timeout_s: float | None = None
) -> Call[views.VMView | None]:
    """`DELETE /vms/{name}`: None when nothing of it is left, else the VM on its way out."""
    query = asked(force=force or None, wait=wait, timeout=_duration(timeout_s))
    return _delete(at("vms", name), query, views.VMView, wait, timeout_s)


def delete_deployment(
    name: str, *, wait: str | None = None, timeout_s: float | None = None
) -> Call[views.DeploymentView | None]:
    """`DELETE /deployments/{name}`: with all its VMs."""
    query = asked(wait=wait, timeout=_duration(timeout_s))
    return _delete(at("deployments", name), query, views.DeploymentView, wait, timeout_s)


def delete_plugin(
    name: str, *, wait: str | None = None, timeout_s: float | None = None
) -> Call[views.PluginView | None]:
    """`DELETE /plugins/{name}`."""
    query = asked(wait=wait, timeout=_duration(timeout_s))
    return _delete(at("plugins", name), query, views.PluginView, wait, timeout_s)


def start_vm(name: str, *, wait: str | None = None, timeout_s: float | None = None) -> Call[views.VMView]:
    """`POST /vms/{name}/start`."""
    return _turn(at("vms", name, "start"), None, views.VMView, wait, timeout_s)


def stop_vm(
    name: str, *, force: bool = False, wait: str | None = None, timeout_s: float | None = None
) -> Call[views.VMView]:
    """`POST /vms/{name}/stop`: answers when it is stopped, unless `wait` is `none`."""
    query = asked(force=force or None, wait=wait, timeout=_duration(timeout_s))
    bound_s = _bound_s(wait or "stopped", timeout_s, END_S)
    return Call(method="POST", path=at("vms", name, "stop"), query=query, read=written(views.VMView), bound_s=bound_s)


def restart_vm(name: str, *, wait: str | None = None, timeout_s: float | None = None) -> Call[views.VMView]:
    """`POST /vms/{name}/restart`."""
    return _turn(at("vms", name, "restart"), None, views.VMView, wait, timeout_s)


def scale_deployment(
    name: str, replicas: int, *, wait: str | None = None, timeout_s: float | None = None
) -> Call[views.DeploymentView]:
    """`PATCH /deployments/{name}`: as many replicas from now on."""
    body = msgspec.json.encode({"replicas": replicas})
    query = asked(wait=wait, timeout=_duration(timeout_s))
    bound_s = _bound_s(wait, timeout_s, None)
    path = at("deployments", name)
    return Call(method="PATCH", path=path, query=query, body=body, read=written(views.DeploymentView), bound_s=bound_s)


def enable_plugin(name: str, *, enabled: bool = True) -> Call[views.PluginView]:
    """`POST /plugins/{name}/enabled`: whether new VMs may be made of it."""
    return _turn(at("plugins", name, "enabled"), {"enabled": enabled}, views.PluginView, None, None)


def get_config(name: str) -> Call[views.ConfigView]:
    """`GET /vms/{name}/config`."""
    return Call(method="GET", path=at("vms", name, "config"), read=shown(views.ConfigView))


def patch_config(name: str, patch: dict[str, Any]) -> Call[views.ConfigView]:
    """`PATCH /vms/{name}/config`: a merge patch (RFC 7396); null goes back to what the plugin says."""
    body = msgspec.json.encode(patch)
    return Call(method="PATCH", path=at("vms", name, "config"), body=body, read=shown(views.ConfigView))


def config_history(name: str, *, limit: int | None = None) -> Call[list[views.ConfigChangeView]]:
    """`GET /vms/{name}/config/history`: the newest first."""
    path = at("vms", name, "config", "history")
    return Call(method="GET", path=path, query=asked(limit=limit), read=shown(list[views.ConfigChangeView]))


def wait_for_vm(
    name: str, state: str, *, generation: int | None = None, timeout_s: float | None = None
) -> Call[views.VMView | None]:
    """`GET /vms/{name}/wait`: None when its end was waited for."""
    return _wait("vms", name, state, generation, timeout_s, views.VMView)


def wait_for_deployment(
    name: str, state: str, *, generation: int | None = None, timeout_s: float | None = None
) -> Call[views.DeploymentView | None]:
    """`GET /deployments/{name}/wait`."""
    return _wait("deployments", name, state, generation, timeout_s, views.DeploymentView)


def wait_for_plugin(
    name: str, state: str, *, generation: int | None = None, timeout_s: float | None = None
) -> Call[views.PluginView | None]:
    """`GET /plugins/{name}/wait`."""
    return _wait("plugins", name, state, generation, timeout_s, views.PluginView)


def logs(name: str, *, tail: int | None = None, previous: bool = False) -> Call[str]:
    """`GET /vms/{name}/logs`: what its guest has said on its console, or the last so many lines of it."""
    query = asked(tail=tail, previous=previous or None)
    return Call(method="GET", path=at("vms", name, "logs"), query=query, read=_text)


def follow_logs(name: str, *, tail: int | None = None) -> Call[str]:
    """`GET /vms/{name}/logs?follow=true`: an answer that goes on."""
    query = asked(tail=tail, follow=True)
    return Call(method="GET", path=at("vms", name, "logs"), query=query, read=_text)


def why(noun: str, name: str) -> Call[views.WhyView]:
    """`GET /vms/{name}/why` and the like; `noun` as in the path."""
    return Call(method="GET", path=at(noun, name, "why"), read=shown(views.WhyView))


def last_events(noun: str, name: str, *, limit: int | None = None) -> Call[list[PastEvent]]:
    """`GET /vms/{name}/events` and the like: the oldest first."""
    from volant.model.event import PastEvent

    return Call(method="GET", path=at(noun, name, "events"), query=asked(limit=limit), read=shown(list[PastEvent]))


def info() -> Call[views.SystemInfo]:
    """`GET /system/info`."""
    return Call(method="GET", path=at("system", "info"), read=shown(views.SystemInfo))


def _text(answer: Answer) -> str:
    return answer.body.decode("utf-8", "replace")


def _create(
    noun: str, body: Body, view: type[T], wait: str | None, timeout_s: float | None, key: str | None
) -> Call[T]:
    return Call(
        method="POST",
        path=at(noun),
        query=asked(wait=wait, timeout=_duration(timeout_s)),
        body=msgspec.json.encode(body),
        read=written(view),
        is_keyed=True,
        key=key,
        bound_s=_bound_s(wait, timeout_s, None),
    )


def _turn(path: str, body: dict[str, Any] | None, view: type[T], wait: str | None, timeout_s: float | None) -> Call[T]:
    return Call(
        method="POST",
        path=path,
        query=asked(wait=wait, timeout=_duration(timeout_s)),
        body=None if body is None else msgspec.json.encode(body),
        read=written(view),
        bound_s=_bound_s(wait, timeout_s, None),
    )


def _delete(
    path: str, query: dict[str, str], view: type[T], wait: str | None, timeout_s: float | None
) -> Call[T | None]:
    bound_s = _bound_s(wait or "deleted", timeout_s, END_S)
    return Call(method="DELETE", path=path, query=query, read=removed(view), bound_s=bound_s)


def _wait(
    noun: str, name: str, state: str, generation: int | None, timeout_s: float | None, view: type[T]
) -> Call[T | None]:
    query = asked(state=state, generation=generation, timeout=_duration(timeout_s))
    bound_s = (60.0 if timeout_s is None else timeout_s) + MARGIN_S
    return Call(method="GET", path=at(noun, name, "wait"), query=query, read=maybe(view), bound_s=bound_s)


def _duration(timeout_s: float | None) -> str | None:
    return None if timeout_s is None else f"{max(timeout_s, 0):.3f}s"


def _bound_s(wait: str | None, timeout_s: float | None, by_itself_s: float | None) -> float | None:
    """How long the answer may take; None: it comes at once."""
    if wait in (None, "none"):
        return None
    if timeout_s is not None:
        return timeout_s + MARGIN_S
    return by_itself_s or 60.0 + MARGIN_S
