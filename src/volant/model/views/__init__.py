"""What clients read: the Structs of the wire form, one field a JSON key.

Fields stand in the order in which the reference prints them, then come ours. A field that has nothing to say is left
out (`omit_defaults`), as in the reference; a field without a default is always there. Instants are RFC 3339 text.
How they are filled is in `wire`.

A module a resource, each imported when a view of it is first asked for: a command that lists VMs starts without what
is known of rollouts, plugins and reasons.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from volant.model.views.configs import (
        ChangeView,
        CloudInitView,
        ConfigChangeView,
        ConfigView,
        NetworkView,
    )
    from volant.model.views.deployments import (
        DeploymentStatusView,
        DeploymentView,
        EndpointsView,
        ReplicaView,
        RevisionView,
    )
    from volant.model.views.plugins import (
        ArtifactView,
        OpenApiView,
        PluginNames,
        PluginView,
        WorkloadView,
    )
    from volant.model.views.reasons import (
        LinkView,
        TurnView,
        WhyView,
    )
    from volant.model.views.syncs import (
        SyncSpecView,
        SyncStatusView,
        SyncView,
    )
    from volant.model.views.system import (
        HostResources,
        Stats,
        SystemFacts,
        SystemInfo,
    )
    from volant.model.views.vms import (
        ConditionView,
        ExitView,
        HealthView,
        VMView,
    )

__all__ = [
    "ArtifactView",
    "ChangeView",
    "CloudInitView",
    "ConditionView",
    "ConfigChangeView",
    "ConfigView",
    "DeploymentStatusView",
    "DeploymentView",
    "EndpointsView",
    "ExitView",
    "HealthView",
    "HostResources",
    "LinkView",
    "NetworkView",
    "OpenApiView",
    "PluginNames",
    "PluginView",
    "ReplicaView",
    "RevisionView",
    "Stats",
    "SyncSpecView",
    "SyncStatusView",
    "SyncView",
    "SystemFacts",
    "SystemInfo",
    "TurnView",
    "VMView",
    "WhyView",
    "WorkloadView",
]

HOMES = {
    "NetworkView": "configs",
    "CloudInitView": "configs",
    "ConfigView": "configs",
    "ChangeView": "configs",
    "ConfigChangeView": "configs",
    "ConditionView": "vms",
    "HealthView": "vms",
    "ExitView": "vms",
    "VMView": "vms",
    "DeploymentStatusView": "deployments",
    "RevisionView": "deployments",
    "DeploymentView": "deployments",
    "EndpointsView": "deployments",
    "ReplicaView": "deployments",
    "WorkloadView": "plugins",
    "ArtifactView": "plugins",
    "OpenApiView": "plugins",
    "PluginView": "plugins",
    "PluginNames": "plugins",
    "LinkView": "reasons",
    "TurnView": "reasons",
    "WhyView": "reasons",
    "SyncSpecView": "syncs",
    "SyncStatusView": "syncs",
    "SyncView": "syncs",
    "SystemFacts": "system",
    "Stats": "system",
    "HostResources": "system",
    "SystemInfo": "system",
}
"""View -> the module that it is in."""


def __getattr__(name: str) -> object:
    """The view of this name, imported now."""
    home = HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found: object = getattr(import_module(f"{__name__}.{home}"), name)
    globals()[name] = found
    return found
