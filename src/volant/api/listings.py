"""The lists of the three kinds: what their queries ask for, and what they may be sorted by.

VMQuery, DeploymentQuery, PluginQuery ──▶ Listing ──lists.listed──▶ a page
"""

from __future__ import annotations

from collections.abc import Callable

from msgspec import UNSET, UnsetType

from volant.api.call import Call, encoded
from volant.api.lists import Listing
from volant.api.walk import Fresh
from volant.clock import Uid
from volant.model.deployment import Deployment, phase
from volant.model.meta import Key
from volant.model.plugin import Plugin
from volant.model.queries import DeploymentQuery, PluginQuery, VMQuery
from volant.model.views import DeploymentView, PluginView, VMView
from volant.model.vm import VM, status_word
from volant.model.wire import plugin_view
from volant.store import Filter

NOBODY = Uid("")
"""The uid of a deployment that does not exist: it owns nothing."""


def of_vms(call: Call, query: VMQuery) -> Listing[VM]:
    """`GET /vms`: encoded once for each revision. Whether a VM runs is in its row, the other words are not."""
    runs = query.status == "running"
    wanted = query.status

    def has_status(vm: VM) -> bool:
        return status_word(vm) == wanted

    return Listing(
        filter=Filter(
            kind="VM",
            plugin=_given(query.plugin),
            owners=_owners(call, query),
            name_part=_given(query.q),
            is_running=True if runs else None,
        ),
        shelf=call.context.bodies,
        view=VMView,
        values={
            "plugin": lambda vm: vm.spec.plugin,
            "status": status_word,
            "started_at": lambda vm: vm.status.started_at,
            "restarts": lambda vm: vm.status.restarts,
        },
        is_wanted=None if runs or wanted is UNSET else has_status,
    )


def of_deployments(query: DeploymentQuery, draw: Callable[[Deployment], bytes]) -> Listing[Deployment]:
    """`GET /deployments`: drawn each time, because they change with their VMs and not with their own revision."""
    return Listing(
        filter=Filter(kind="Deployment", name_part=_given(query.q)),
        shelf=Fresh(draw),
        view=DeploymentView,
        values={
            "plugin": lambda deployment: deployment.spec.plugin,
            "status": phase,
            "replicas": lambda deployment: deployment.spec.replicas,
            "ready_replicas": lambda deployment: deployment.status.ready_replicas,
        },
    )


def of_plugins(query: PluginQuery) -> Listing[Plugin]:
    """`GET /plugins`: names, as in the reference; objects only for who names their fields."""

    def draw(plugin: Plugin) -> bytes:
        return encoded(plugin.meta.name if query.fields is UNSET else plugin_view(plugin))

    return Listing(
        filter=Filter(kind="Plugin", name_part=_given(query.q)),
        shelf=Fresh(draw),
        view=PluginView,
        values={"enabled": lambda plugin: plugin.spec.enabled},
        frame=(b'{"plugins":[', b"]}"),
    )


def _owners(call: Call, query: VMQuery) -> tuple[Uid | None, ...]:
    owners: list[Uid | None] = []
    if query.deployment is not UNSET:
        owners.append(_uid_of(call, query.deployment) or NOBODY)
    if query.owner is not UNSET:
        owners.append((_uid_of(call, query.owner) or Uid(query.owner)) if query.owner else None)
    return tuple(owners)


def _uid_of(call: Call, deployment: str) -> Uid | None:
    version = call.store.version(Key("Deployment", deployment))
    return None if version is None else version[0]


def _given(text: str | UnsetType) -> str | None:
    return None if text is UNSET else text
