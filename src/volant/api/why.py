"""`/vms|deployments|plugins/{name}/why`: why it is not ready; and `.../events`: what was last committed of it.

    store: object, plugin, children, last events ──┐
    Deps.facts: turns, next tries, obstacles ──────┴──▶ model.why ──▶ chain of causes

What is read is of one commit. Nothing is waited for and nothing is written: to ask does not bring a try forward.
"""

from __future__ import annotations

from volant.api.call import Answer, Call, plain
from volant.errors import NotFound
from volant.model.deployment import Deployment
from volant.model.event import Committed, past
from volant.model.meta import Key, Kind
from volant.model.objects import Object
from volant.model.plugin import Plugin
from volant.model.queries import LastEventsQuery, NoQuery
from volant.model.vm import VM
from volant.model.why import Children, Facts, Turn, why
from volant.model.wire import why_view
from volant.store import Rows, Store

SHOWN_CHILDREN = 5
"""Replicas of which the whole chain is told: they mostly have one cause, and there may be ten thousand."""
LAST_EVENTS = 10


async def get_vm_why(call: Call, query: NoQuery) -> Answer:
    """`GET /vms/{name}/why`: Say why a VM is not ready.

    The chain of causes, with figures and the times of the next tries; then the last looks of its controllers, and its
    last events. `outlook` says whether it comes right by itself. Of a VM that is ready the chain says so.
    """
    return _why(call, "VM")


async def get_deployment_why(call: Call, query: NoQuery) -> Answer:
    """`GET /deployments/{name}/why`: Say why a deployment is not available.

    The chain of causes: what keeps it from making replicas, then the first replicas that are not ready, each with its
    own chain, and how many more there are.
    """
    return _why(call, "Deployment")


async def get_plugin_why(call: Call, query: NoQuery) -> Answer:
    """`GET /plugins/{name}/why`: Say why a plugin is not ready.

    The chain of causes: each artifact that is not in the cache, how far it has come, what is in its way, and when it is
    tried again.
    """
    return _why(call, "Plugin")


async def list_vm_events(call: Call, query: LastEventsQuery) -> Answer:
    """`GET /vms/{name}/events`: List the last events of a VM, oldest first."""
    return _events(call, "VM", query)


async def list_deployment_events(call: Call, query: LastEventsQuery) -> Answer:
    """`GET /deployments/{name}/events`: List the last events of a deployment, oldest first."""
    return _events(call, "Deployment", query)


async def list_plugin_events(call: Call, query: LastEventsQuery) -> Answer:
    """`GET /plugins/{name}/events`: List the last events of a plugin, oldest first."""
    return _events(call, "Plugin", query)


def children_of(store: Store, deployment: Deployment) -> Children:
    """Its VMs counted, and the first of those that it waits for: one whose end is asked for waits for all."""
    tally, deleting = store.tally(deployment.meta.uid), deployment.meta.is_deleting
    shown: list[VM] = []
    if deleting or tally.ready < tally.total:
        waited_for = [c for c in store.children(deployment.meta.uid) if deleting or not c.is_ready]
        # Those of the new template first: while it rolls, they are what it waits for.
        waited_for.sort(key=lambda child: child.template != deployment.status.template)
        found = map(store.find_uid, [child.uid for child in waited_for[:SHOWN_CHILDREN]])
        shown = [vm for vm in found if isinstance(vm, VM)]
    return Children(
        total=tally.total, running=tally.running, ready=tally.ready, deleting=tally.deleting, shown=tuple(shown)
    )


def plugin_of(rows: Rows, obj: Object) -> Plugin | None:
    """The plugin that the object is made from, if there is one."""
    found = rows.find(Key("Plugin", obj.spec.plugin)) if isinstance(obj, VM | Deployment) else None
    return found if isinstance(found, Plugin) else None


def _why(call: Call, kind: Kind) -> Answer:
    store, now = call.store, call.deps.clock.now()
    with store.snapshot():
        obj = _found(call, kind)
        plugin = plugin_of(store, obj)
        children = children_of(store, obj) if isinstance(obj, Deployment) else Children()
        events = store.last_events(obj.meta.uid, LAST_EVENTS)
        told_of: list[Object] = [obj, *([plugin] if plugin is not None else []), *children.shown]
        facts = call.deps.facts(now, [each.meta.key for each in told_of])
    return plain(why_view(obj, why(obj, plugin, children, facts), now, _turns(facts, obj.meta.key), events))


def _events(call: Call, kind: Kind, query: LastEventsQuery) -> Answer:
    with call.store.snapshot():
        found: list[Committed] = call.store.last_events(_found(call, kind).meta.uid, query.limit)
    return plain([past(event) for event in found])


def _found(call: Call, kind: Kind) -> Object:
    obj = call.store.find(Key(kind, call.name))
    if obj is None:
        raise NotFound(kind, call.name)
    return obj


def _turns(facts: Facts, key: Key) -> list[tuple[str, Turn]]:
    """By all controllers that look at it, in the order of time."""
    turns = [(standing.controller, turn) for standing in facts.standings.get(key, ()) for turn in standing.turns]
    return sorted(turns, key=lambda said: said[1].at)
