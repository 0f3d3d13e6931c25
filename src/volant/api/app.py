"""The route table, whole.

A path stands here once, with all its methods, so that a 405 names the right ones; those of sets are in `apply.routes`.
Routes are tried in order: those that are asked for most stand first.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from starlette.applications import Starlette
from starlette.routing import Route, WebSocketRoute
from starlette.types import ASGIApp

from volant.api import (
    config,
    console,
    deployments,
    documents,
    endpoints,
    events,
    logs,
    plugins,
    puts,
    rollouts,
    syncs,
    system,
    vms,
    waits,
    why,
)
from volant.api.apply.routes import SETS
from volant.api.bodies import Bodies
from volant.api.call import Context
from volant.api.console import ConsoleSocket
from volant.api.deps import Deps
from volant.api.front import BASE, Front, Method, Resource, no_such_path
from volant.api.openapi import Contract
from volant.api.stream import Streams
from volant.api.system import DaemonHealth
from volant.api.waiting import Waits
from volant.model.apply.documents import DeploymentDocument, VMDocument
from volant.model.event import EventData, PastEvent
from volant.model.patches import ConfigPatch
from volant.model.plugin import Manifest
from volant.model.queries import (
    Chosen,
    ConfigHistoryQuery,
    ConsoleQuery,
    DeploymentEventQuery,
    DeploymentPutting,
    DeploymentQuery,
    DeploymentWaiting,
    DeploymentWriting,
    EventQuery,
    Force,
    LastEventsQuery,
    LogsQuery,
    OpenAPIQuery,
    PluginEventQuery,
    PluginQuery,
    PluginWaiting,
    PluginWriting,
    SyncNow,
    VMEventQuery,
    VMPutting,
    VMQuery,
    VMWaiting,
    VMWriting,
)
from volant.model.requests import Enable, NewDeployment, NewVM, Rollback, Scale
from volant.model.views import (
    ConfigChangeView,
    ConfigView,
    DeploymentView,
    EndpointsView,
    PluginNames,
    PluginView,
    RevisionView,
    SyncView,
    SystemInfo,
    VMView,
    WhyView,
)

CONSOLE = f"{BASE}/vms/{{name}}/console"
"""The one path that is a WebSocket as well."""

PLUGIN = ("plugin_not_found", "plugin_deleting", "plugin_disabled")
PUT = ("field_conflict", "object_owned", "kvm_required", *PLUGIN)
ROLLS = ("deployment_deleting",)
STREAM = ("future_revision", "event_gone", "stopping", "too_many_streams")
LEFT_VM = {200: VMView, 202: VMView}
LEFT_DEPLOYMENT = {200: DeploymentView, 202: DeploymentView}
LEFT_PLUGIN = {200: PluginView, 202: PluginView}
"""What a DELETE shows: the object as it would go (dry run), or as it is when waiting has ended."""

ROUTES: Mapping[str, Mapping[str, Method]] = {
    f"{BASE}/vms/{{name}}": {
        "GET": Method(vms.get, Chosen, name="getVM", gives=VMView),
        "PUT": Method(
            puts.put_vm,
            VMPutting,
            name="putVM",
            body=VMDocument,
            gives=VMView,
            also={201: VMView},
            errors=(*PUT, "vm_already_exists", "vm_deleting", "addresses_exhausted", "port_taken"),
        ),
        "DELETE": Method(vms.delete, Force, name="deleteVM", status=204, also=LEFT_VM),
    },
    f"{BASE}/vms": {
        "GET": Method(vms.list_vms, VMQuery, gives=list[VMView], errors=("page_expired",)),
        "POST": Method(
            vms.create,
            VMWriting,
            name="createVM",
            body=NewVM,
            gives=VMView,
            status=201,
            errors=("vm_already_exists", "addresses_exhausted", "port_taken", "kvm_required", *PLUGIN),
        ),
    },
    f"{BASE}/deployments/{{name}}": {
        "GET": Method(deployments.get, Chosen, name="getDeployment", gives=DeploymentView),
        "PATCH": Method(
            deployments.scale,
            DeploymentWriting,
            name="scaleDeployment",
            body=Scale,
            gives=DeploymentView,
            errors=("deployment_deleting", *PLUGIN),
        ),
        "PUT": Method(
            puts.put_deployment,
            DeploymentPutting,
            name="putDeployment",
            body=DeploymentDocument,
            gives=DeploymentView,
            also={201: DeploymentView},
            errors=(*PUT, "deployment_already_exists", "deployment_deleting", "template_reverted"),
        ),
        "DELETE": Method(
            deployments.delete, DeploymentWriting, name="deleteDeployment", status=204, also=LEFT_DEPLOYMENT
        ),
    },
    f"{BASE}/deployments": {
        "GET": Method(
            deployments.list_deployments, DeploymentQuery, gives=list[DeploymentView], errors=("page_expired",)
        ),
        "POST": Method(
            deployments.create,
            DeploymentWriting,
            name="createDeployment",
            body=NewDeployment,
            gives=DeploymentView,
            status=201,
            errors=("deployment_already_exists", "kvm_required", *PLUGIN),
        ),
    },
    f"{BASE}/vms/{{name}}/start": {
        "POST": Method(vms.start, VMWriting, name="startVM", gives=VMView, errors=("vm_already_running", "vm_deleting"))
    },
    f"{BASE}/vms/{{name}}/stop": {
        "POST": Method(
            vms.stop,
            Force,
            name="stopVM",
            gives=VMView,
            errors=("vm_already_stopped", "vm_deleting", "vm_started_again"),
        )
    },
    f"{BASE}/vms/{{name}}/restart": {
        "POST": Method(vms.restart, VMWriting, name="restartVM", gives=VMView, errors=("vm_deleting",))
    },
    f"{BASE}/vms/{{name}}/wait": {
        "GET": Method(
            waits.wait_for_vm,
            VMWaiting,
            name="waitForVM",
            gives=VMView,
            also={204: None},
            errors=("wait_timeout", "vm_failed", "vm_deleting", "vm_deleted", "vm_started_again", "stopping"),
        )
    },
    f"{BASE}/deployments/{{name}}/wait": {
        "GET": Method(
            waits.wait_for_deployment,
            DeploymentWaiting,
            name="waitForDeployment",
            gives=DeploymentView,
            also={204: None},
            errors=("wait_timeout", "deployment_failed", "deployment_deleting", "deployment_deleted", "stopping"),
        )
    },
    f"{BASE}/deployments/{{name}}/endpoints": {
        "GET": Method(endpoints.list_deployment_endpoints, name="listDeploymentEndpoints", gives=EndpointsView)
    },
    f"{BASE}/deployments/{{name}}/revisions": {
        "GET": Method(rollouts.list_deployment_revisions, name="listDeploymentRevisions", gives=list[RevisionView])
    },
    f"{BASE}/deployments/{{name}}/rollback": {
        "POST": Method(
            rollouts.rollback,
            DeploymentWriting,
            name="rollBackDeployment",
            body=Rollback,
            gives=DeploymentView,
            errors=("deployment_deleting", "rollout_paused", "no_such_revision", *PLUGIN),
        )
    },
    f"{BASE}/deployments/{{name}}/pause": {
        "POST": Method(rollouts.pause, DeploymentWriting, name="pauseDeployment", gives=DeploymentView, errors=ROLLS)
    },
    f"{BASE}/deployments/{{name}}/resume": {
        "POST": Method(rollouts.resume, DeploymentWriting, name="resumeDeployment", gives=DeploymentView, errors=ROLLS)
    },
    f"{BASE}/deployments/{{name}}/restart": {
        "POST": Method(
            rollouts.restart,
            DeploymentWriting,
            name="restartDeployment",
            gives=DeploymentView,
            errors=(*ROLLS, "rollout_paused"),
        )
    },
    f"{BASE}/plugins/{{name}}/wait": {
        "GET": Method(
            waits.wait_for_plugin,
            PluginWaiting,
            name="waitForPlugin",
            gives=PluginView,
            also={204: None},
            errors=("wait_timeout", "plugin_failed", "plugin_deleting", "plugin_deleted", "stopping"),
        )
    },
    f"{BASE}/vms/{{name}}/why": {"GET": Method(why.get_vm_why, name="getVMWhy", gives=WhyView)},
    f"{BASE}/deployments/{{name}}/why": {"GET": Method(why.get_deployment_why, name="getDeploymentWhy", gives=WhyView)},
    f"{BASE}/plugins/{{name}}/why": {"GET": Method(why.get_plugin_why, name="getPluginWhy", gives=WhyView)},
    f"{BASE}/vms/{{name}}/events": {
        "GET": Method(why.list_vm_events, LastEventsQuery, name="listVMEvents", gives=list[PastEvent])
    },
    f"{BASE}/deployments/{{name}}/events": {
        "GET": Method(why.list_deployment_events, LastEventsQuery, name="listDeploymentEvents", gives=list[PastEvent])
    },
    f"{BASE}/plugins/{{name}}/events": {
        "GET": Method(why.list_plugin_events, LastEventsQuery, name="listPluginEvents", gives=list[PastEvent])
    },
    f"{BASE}/vms/{{name}}/config": {
        "GET": Method(config.get_vm_config, name="getVMConfig", gives=ConfigView),
        "PATCH": Method(
            config.update_vm_config,
            VMWriting,
            name="updateVMConfig",
            body=ConfigPatch,
            gives=ConfigView,
            errors=("vm_deleting", "addresses_exhausted", "port_taken"),
        ),
    },
    f"{BASE}/vms/{{name}}/config/history": {
        "GET": Method(
            config.list_vm_config_history,
            ConfigHistoryQuery,
            name="listVMConfigHistory",
            gives=list[ConfigChangeView],
        )
    },
    f"{BASE}/vms/{{name}}/logs": {
        "GET": Method(
            logs.get_vm_logs,
            LogsQuery,
            name="getVMLogs",
            gives=str,
            errors=("log_unavailable", "console_unavailable", "stopping", "too_many_logs"),
        )
    },
    CONSOLE: {
        "GET": Method(
            console.attach_to_vm_console,
            ConsoleQuery,
            name="attachToVMConsole",
            status=101,
            errors=("console_in_use", "console_unavailable", "origin_not_allowed", "stopping", "upgrade_required"),
        )
    },
    f"{BASE}/vms/{{name}}/openapi": {
        "GET": Method(
            documents.get_vm_openapi,
            name="getVMOpenAPI",
            gives=dict[str, Any],
            errors=("openapi_not_found", "openapi_unavailable"),
        )
    },
    f"{BASE}/events/vms": {
        "GET": Method(events.follow_vms, VMEventQuery, name="followVMEvents", gives=EventData, errors=STREAM)
    },
    f"{BASE}/events": {
        "GET": Method(events.follow_all, EventQuery, name="followEvents", gives=EventData, errors=STREAM)
    },
    f"{BASE}/events/deployments": {
        "GET": Method(
            events.follow_deployments,
            DeploymentEventQuery,
            name="followDeploymentEvents",
            gives=EventData,
            errors=STREAM,
        )
    },
    f"{BASE}/events/plugins": {
        "GET": Method(
            events.follow_plugins, PluginEventQuery, name="followPluginEvents", gives=EventData, errors=STREAM
        )
    },
    f"{BASE}/plugins": {
        "GET": Method(plugins.list_plugins, PluginQuery, gives=PluginNames, errors=("page_expired",)),
        "POST": Method(
            plugins.install,
            PluginWriting,
            name="installPlugin",
            body=Manifest,
            gives=PluginView,
            status=201,
            errors=("plugin_already_exists",),
        ),
    },
    f"{BASE}/plugins/{{name}}": {
        "GET": Method(plugins.get, Chosen, name="getPlugin", gives=PluginView),
        "DELETE": Method(
            plugins.remove,
            PluginWriting,
            name="removePlugin",
            status=204,
            also=LEFT_PLUGIN,
            errors=("plugin_in_use",),
        ),
    },
    f"{BASE}/plugins/{{name}}/enabled": {
        "POST": Method(
            plugins.set_enabled,
            PluginWriting,
            name="setPluginEnabled",
            body=Enable,
            gives=PluginView,
            errors=("plugin_deleting",),
        )
    },
    **SETS,
    f"{BASE}/syncs": {"GET": Method(syncs.list_syncs, name="listSyncs", gives=list[SyncView])},
    f"{BASE}/syncs/{{name}}": {"GET": Method(syncs.get_sync, name="getSync", gives=SyncView)},
    f"{BASE}/syncs/{{name}}/events": {
        "GET": Method(syncs.list_sync_events, LastEventsQuery, name="listSyncEvents", gives=list[PastEvent])
    },
    f"{BASE}/syncs/{{name}}/sync": {
        "POST": Method(syncs.sync_now, SyncNow, name="startSync", gives=SyncView, status=202, also={200: SyncView})
    },
    f"{BASE}/system/info": {"GET": Method(system.get_info, name="getSystemInfo", gives=SystemInfo)},
    f"{BASE}/openapi": {"GET": Method(system.get_openapi, OpenAPIQuery, name="getOpenAPI", gives=dict[str, Any])},
    "/healthz": {"GET": Method(system.get_live, gives=DaemonHealth, also={503: DaemonHealth})},
    "/readyz": {"GET": Method(system.get_ready, gives=DaemonHealth, also={503: DaemonHealth})},
}


class Api(Starlette):
    """Starlette's router behind our own front, which does what Starlette's layers would do three times over."""

    def __init__(self, context: Context) -> None:
        routes = [Route(path, Resource(methods)) for path, methods in ROUTES.items()]
        super().__init__(routes=[*routes, WebSocketRoute(CONSOLE, ConsoleSocket())])
        # A path with a slash too many is another path: a redirect would make a GET of a POST.
        self.router.redirect_slashes = False
        self.router.default = no_such_path
        self.context = context

    def build_middleware_stack(self) -> ASGIApp:
        """One layer."""
        return Front(self.router.app, self.context)


def create_app(deps: Deps) -> Api:
    """The ASGI application. Needs no lifespan: it has nothing that must be started or stopped."""
    waits, streams = Waits(deps.bus, deps.stopping), Streams(deps.bus)
    return Api(Context(deps=deps, waits=waits, streams=streams, bodies=Bodies(deps), contract=Contract(ROUTES).written))
