"""`/deployments/{name}/endpoints`: where requests may be sent now, for whoever spreads them over the replicas.

    children index: ready, not on their way out ──▶ their rows ──▶ addresses and published ports, at one revision

A replica is among them from the commit that says that it is ready until the commit that takes it away, which comes
before its guest hears of it (`strategy.drain_s`). Nothing is kept for it: the list is what the rows say, and the events
after its revision say when to look again.
"""

from __future__ import annotations

from volant.api.call import Answer, Call, plain
from volant.model.queries import NoQuery
from volant.model.vm import VM
from volant.model.wire import endpoints_view


async def list_deployment_endpoints(call: Call, query: NoQuery) -> Answer:
    """`GET /deployments/{name}/endpoints`: List where a deployment is reached: its ready VMs and their ports.

    Events after `revision` (`GET /events?deployment=NAME&since=REVISION`) say when it has changed.
    """
    store = call.store
    with store.snapshot() as revision:
        deployment = store.deployment(call.name)
        ready = [child.uid for child in store.children(deployment.meta.uid) if child.is_ready]
        vms = [vm for vm in map(store.find_uid, ready) if isinstance(vm, VM)]
        found = endpoints_view(call.name, vms, store.templates(deployment), revision)
    return plain(found)
