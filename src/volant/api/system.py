"""What the daemon says of itself: `/system/info`, `/openapi`, `/healthz`, `/readyz`."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct

from volant.api.call import Answer, Call, is_known, plain
from volant.api.deps import Check
from volant.model.queries import NoQuery, OpenAPIQuery
from volant.model.views import Stats
from volant.model.wire import system_view


class DaemonHealth(Struct, frozen=True, kw_only=True):
    """Whether the daemon is well, and each part of it by name."""

    status: str
    checks: Mapping[str, Check]


async def get_info(call: Call, query: NoQuery) -> Answer:
    """Describe the daemon and its host.

    Also how many VMs, deployments and plugins there are. `go_version` is always null: nothing here is written in Go.
    """
    store = call.store
    stats = Stats(
        total_vms=store.count("VM"),
        running_vms=store.count("VM", running=True),
        total_deployments=store.count("Deployment"),
        total_plugins=store.count("Plugin"),
    )
    return plain(system_view(call.deps.info(), stats))


async def get_live(call: Call, query: NoQuery) -> Answer:
    """Tell whether the daemon is worth keeping.

    503 when only a restart of the daemon would help.
    """
    report = call.deps.health()
    return _health(report.is_live, report.checks)


async def get_ready(call: Call, query: NoQuery) -> Answer:
    """Tell whether the daemon is worth sending requests to.

    503 while writes would be refused, or before the first full look at the host (S5).
    """
    deps = call.deps
    store = Check(ok=deps.store.healthy, message=deps.store.trouble or "")
    report = deps.health()
    is_ready = report.is_ready and store.ok and not deps.stopping.is_set()
    return _health(is_ready, {**report.checks, "store": store})


async def get_openapi(call: Call, query: OpenAPIQuery) -> Answer:
    """Describe this API.

    The OpenAPI document of everything that is served here, made of the code that serves it.
    """
    body, tag = call.context.contract(query.version)
    tagged = ((b"etag", b'"%b"' % tag.encode()),)
    known = call.headers.get(b"if-none-match")
    return Answer(304, b"", tagged) if known is not None and is_known(known, tag) else Answer(200, body, tagged)


def _health(is_well: bool, checks: Mapping[str, Check]) -> Answer:
    view = DaemonHealth(status="ok" if is_well else "failing", checks=checks)
    return plain(view, status=200 if is_well else 503)
