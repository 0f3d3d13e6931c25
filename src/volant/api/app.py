"""The route table, whole.

A path stands here once, with all its methods, so that a 405 names the right ones. Routes are tried in order: those that
are asked for most stand first.
"""

from __future__ import annotations

from collections.abc import Mapping

from starlette.applications import Starlette
from starlette.routing import Route
from starlette.types import ASGIApp

from volant.api import deployments, events, plugins, system, vms
from volant.api.bodies import Bodies
from volant.api.call import Context
from volant.api.deps import Deps
from volant.api.front import Front, Method, Resource, no_such_path
from volant.api.stream import Streams
from volant.api.waiting import Waits
from volant.model.queries import EventQuery, Force, Page, VMEventQuery, VMQuery

BASE = "/api/v1"

ROUTES: Mapping[str, Mapping[str, Method]] = {
    f"{BASE}/vms/{{name}}": {"GET": Method(vms.get), "DELETE": Method(vms.delete, Force)},
    f"{BASE}/vms": {"GET": Method(vms.list_vms, VMQuery), "POST": Method(vms.create)},
    f"{BASE}/deployments/{{name}}": {
        "GET": Method(deployments.get),
        "PATCH": Method(deployments.scale),
        "DELETE": Method(deployments.delete),
    },
    f"{BASE}/deployments": {"GET": Method(deployments.list_deployments, Page), "POST": Method(deployments.create)},
    f"{BASE}/vms/{{name}}/start": {"POST": Method(vms.start)},
    f"{BASE}/vms/{{name}}/stop": {"POST": Method(vms.stop, Force)},
    f"{BASE}/vms/{{name}}/restart": {"POST": Method(vms.restart)},
    f"{BASE}/vms/{{name}}/config": {"GET": Method(vms.get_config)},
    f"{BASE}/events/vms": {"GET": Method(events.follow_vms, VMEventQuery)},
    f"{BASE}/events": {"GET": Method(events.follow_all, EventQuery)},
    f"{BASE}/plugins": {"GET": Method(plugins.list_plugins, Page), "POST": Method(plugins.install)},
    f"{BASE}/plugins/{{name}}": {"GET": Method(plugins.get), "DELETE": Method(plugins.remove)},
    f"{BASE}/plugins/{{name}}/enabled": {"POST": Method(plugins.set_enabled)},
    f"{BASE}/system/info": {"GET": Method(system.get_info)},
    "/healthz": {"GET": Method(system.get_live)},
    "/readyz": {"GET": Method(system.get_ready)},
}


class Api(Starlette):
    """Starlette's router behind our own front, which does what Starlette's layers would do three times over."""

    def __init__(self, context: Context) -> None:
        super().__init__(routes=[Route(path, Resource(methods)) for path, methods in ROUTES.items()])
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
    return Api(Context(deps=deps, waits=waits, streams=streams, bodies=Bodies(deps)))
