"""What the daemon says of itself: `/system/info`, `/healthz`, `/readyz`."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct

from volant.api.call import Answer, Call, plain
from volant.api.deps import Check
from volant.model.queries import NoQuery
from volant.model.views import Stats
from volant.model.wire import system_view


class HealthView(Struct, frozen=True, kw_only=True):
    """`GET /healthz` and `/readyz`."""

    status: str
    checks: Mapping[str, Check]


async def get_info(call: Call, query: NoQuery) -> Answer:
    """`GET /system/info`."""
    store = call.store
    stats = Stats(
        total_vms=store.count("VM"),
        running_vms=store.count("VM", running=True),
        total_deployments=store.count("Deployment"),
        total_plugins=store.count("Plugin"),
    )
    return plain(system_view(call.deps.info(), stats))


async def get_live(call: Call, query: NoQuery) -> Answer:
    """`GET /healthz`: 503 when only a restart of the daemon would help."""
    report = call.deps.health()
    return _health(report.is_live, report.checks)


async def get_ready(call: Call, query: NoQuery) -> Answer:
    """`GET /readyz`: 503 while writes would be refused, or before the first full look at the host (S5)."""
    deps = call.deps
    store = Check(ok=deps.store.healthy, message=deps.store.trouble or "")
    report = deps.health()
    is_ready = report.is_ready and store.ok and not deps.stopping.is_set()
    return _health(is_ready, {**report.checks, "store": store})


def _health(is_well: bool, checks: Mapping[str, Check]) -> Answer:
    view = HealthView(status="ok" if is_well else "failing", checks=checks)
    return plain(view, status=200 if is_well else 503)
