"""Why a deployment is not available or not rolled out: what it makes no replicas for, then those that are not ready.

    3 replicas wanted, 1 ready ──▶ why it makes no more (its plugin, its own turn, its rollout)
                               └─▶ the first few that are not ready, each with its own chain ──▶ how many more there are

What is counted is read now. A status that was reported before a replica crashed would still say "all are ready".
"""

from __future__ import annotations

from msgspec import Struct

from volant.model.conditions import condition, is_true
from volant.model.deployment import AVAILABLE, PROGRESSING, Deployment, rollout
from volant.model.plugin import Plugin
from volant.model.vm import VM
from volant.model.why import plugins, vms
from volant.model.why.facts import Facts
from volant.model.why.link import Link, being_deleted, count, named, not_looked_at, obstacles

NOT_READY = "ReplicasNotReady"
ROLLING = "RollingOut"
MORE = "MoreReplicas"

_OF_PLUGIN = frozenset({"PluginMissing", "PluginDisabled"})
_AT_WORK = frozenset({"Complete", "Scaling", "WaitingForReplicas", "Deleting", NOT_READY, ROLLING})
"""Reasons of `progressing` that say nothing which the figures do not say."""


class Children(Struct, frozen=True, kw_only=True):
    """The VMs of a deployment: how many there are, run, are ready, are on their way out; and some that are not ready.

    `shown` are the first of them in the order of creation. A deployment that is being deleted waits for all of its VMs.
    """

    total: int = 0
    running: int = 0
    ready: int = 0
    deleting: int = 0
    shown: tuple[VM, ...] = ()


def is_well(deployment: Deployment, children: Children) -> bool:
    """Whether it is available and rolled out, as of its current generation and of this moment."""
    meta, status = deployment.meta, deployment.status
    is_current = not meta.is_deleting and status.observed_generation >= meta.generation
    is_there = is_current and not is_rolling(deployment)
    return is_there and is_true(status.conditions, AVAILABLE) and children.ready >= deployment.spec.replicas


def is_rolling(deployment: Deployment) -> bool:
    """Whether VMs of another template are still to be replaced, or the new ones to become ready, as last reported."""
    return deployment.status.template is not None and rollout(deployment) != "complete"


def chain(deployment: Deployment, plugin: Plugin | None, children: Children, facts: Facts) -> list[Link]:
    """The links of a deployment, available or not. Total."""
    meta, status = deployment.meta, deployment.status
    if meta.is_deleting:
        says = f"{count(children.total, 'VM')} of it {'is' if children.total == 1 else 'are'} left"
        first = being_deleted(meta, says, 0, None, {"vms": children.total})
        return [first, *obstacles(meta, facts, 1), *_replicas(deployment, plugin, children, facts, told=True)]
    if status.observed_generation < meta.generation:
        return not_looked_at(meta, status.observed_generation, facts)
    first = _first(deployment, children)
    if is_well(deployment, children):
        return [first]
    own, told = _own(deployment, plugin, facts)
    held = obstacles(meta, facts, 1, said=own[0].reason if own else None)
    return [first, *own, *held, *_replicas(deployment, plugin, children, facts, told=told)]


def _first(deployment: Deployment, children: Children) -> Link:
    meta, status, wanted = deployment.meta, deployment.status, deployment.spec.replicas
    available = condition(status.conditions, AVAILABLE)
    live = children.total - children.deleting
    # While it rolls there are more of them for a while.
    says = f"{min(children.ready, wanted)} of {count(wanted, 'replica')} {'is' if wanted == 1 else 'are'} ready"
    well, numbers = is_well(deployment, children), {"replicas": wanted, "ready": children.ready, "vms": live}
    if is_rolling(deployment) and (status.completed is not None or status.updated_replicas != status.replicas):
        says += f", {status.updated_replicas} of {wanted} of the new template"
        numbers["updated"] = status.updated_replicas
    return Link(
        kind="Deployment",
        name=meta.name,
        says=f"{named(meta.key)}: {says}",
        reason="ReplicasReady" if well else NOT_READY if children.ready < wanted else ROLLING,
        generation=status.observed_generation,
        since=available.last_update if available is not None and (available.status == "true") == well else None,
        numbers=numbers,
    )


def _own(deployment: Deployment, plugin: Plugin | None, facts: Facts) -> tuple[list[Link], bool]:
    """Why it makes no more replicas, if it does not; and whether that told of its plugin."""
    meta, progressing = deployment.meta, condition(deployment.status.conditions, PROGRESSING)
    if progressing is None or progressing.status == "true" or progressing.reason in _AT_WORK:
        return [], False
    standing = facts.own(meta.key)
    link = Link(
        kind="Deployment",
        name=meta.name,
        says=progressing.message or f"{named(meta.key)} cannot go on",
        reason=progressing.reason,
        level=1,
        generation=progressing.observed_generation,
        since=progressing.last_update,
        next_try_at=standing.next_at if standing is not None and standing.failures else None,
        numbers={"failures": standing.failures} if standing is not None and standing.failures else {},
    )
    if progressing.reason not in _OF_PLUGIN or plugin is None or plugins.is_well(plugin):
        return [link], False
    return [link, *plugins.chain(plugin, facts, 2)], True


def _replicas(
    deployment: Deployment, plugin: Plugin | None, children: Children, facts: Facts, *, told: bool
) -> list[Link]:
    """Those that are shown, of whose plugin the first one tells, and how many there are besides."""
    links = list[Link]()
    for vm in children.shown:
        its = vms.chain(vm, plugin, facts, 1, with_plugin=not told)
        told = told or any(link.kind == "Plugin" for link in its)
        links += its
    waits_for = children.total if deployment.meta.is_deleting else children.total - children.ready
    more = waits_for - len(children.shown)
    if more <= 0:
        return links
    says = f"{count(more, 'more VM')} of {named(deployment.meta.key)} {'is' if more == 1 else 'are'} not ready"
    if deployment.meta.is_deleting:
        says = f"{count(more, 'more VM')} of {named(deployment.meta.key)} {'is' if more == 1 else 'are'} left"
    name = deployment.meta.name
    return [*links, Link(kind="Deployment", name=name, says=says, reason=MORE, level=1, numbers={"vms": more})]
