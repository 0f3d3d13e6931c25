"""Why a plugin is not ready: which of its artifacts are not in the cache, how far they have come, what is in the way.

being removed │ not looked at │ ready │ artifacts, one by one
"""

from __future__ import annotations

from volant.model.conditions import condition, is_true
from volant.model.meta import Key
from volant.model.plugin import READY, Artifact, Plugin
from volant.model.why.facts import Facts, Transfer
from volant.model.why.link import Link, being_deleted, count, named, not_looked_at, obstacles

MISSING = "PluginMissing"
WAITING = "Pending"
DOWNLOADING = "Downloading"

MB = 1_000_000


def is_well(plugin: Plugin) -> bool:
    """Whether it is ready, as of its current generation."""
    meta, status = plugin.meta, plugin.status
    return not meta.is_deleting and status.observed_generation >= meta.generation and is_true(status.conditions, READY)


def chain(plugin: Plugin, facts: Facts, level: int = 0) -> list[Link]:
    """The links of a plugin, ready or not. Total."""
    meta, status = plugin.meta, plugin.status
    if meta.is_deleting:
        says = "its files are removed once nothing uses it"
        due = facts.own(meta.key)
        next_at = due.next_at if due is not None else None
        return [being_deleted(meta, says, level, next_at, {}), *obstacles(meta, facts, level + 1)]
    if status.observed_generation < meta.generation:
        return not_looked_at(meta, status.observed_generation, facts, level)
    first = _first(plugin, facts, level)
    if is_well(plugin):
        return [first]
    return [first, *_artifacts(plugin, facts, level + 1), *obstacles(meta, facts, level + 1, said=first.reason)]


def missing(name: str, level: int) -> Link:
    """There is no such plugin."""
    says = f"there is no plugin {name}: install it"
    return Link(kind="Plugin", name=name, says=says, reason=MISSING, level=level)


def _first(plugin: Plugin, facts: Facts, level: int) -> Link:
    meta, ready = plugin.meta, condition(plugin.status.conditions, READY)
    wanted = plugin.spec.manifest.sources()
    there = sum(_artifact(plugin, role).state == "ready" for role in wanted)
    says = "has its artifacts" if is_well(plugin) else f"has {there} of {count(len(wanted), 'artifact')}"
    standing = facts.own(meta.key)
    failures = standing.failures if standing is not None else 0
    return Link(
        kind="Plugin",
        name=meta.name,
        says=f"{named(meta.key)} {says}",
        reason=ready.reason if ready is not None else WAITING,
        level=level,
        generation=plugin.status.observed_generation,
        since=ready.last_update if ready is not None else None,
        next_try_at=_next_try(meta.key, facts) if failures else None,
        numbers={"artifacts": len(wanted), "ready": there, **({"failures": failures} if failures else {})},
    )


def _next_try(key: Key, facts: Facts) -> float | None:
    """A retry before a refusal that is remembered only repeats it."""
    standing, refused_until = facts.own(key), facts.refused_until.get(key)
    next_at = standing.next_at if standing is not None else None
    return next_at if refused_until is None else max(refused_until, next_at or refused_until)


def _artifacts(plugin: Plugin, facts: Facts, level: int) -> list[Link]:
    links = []
    for role in plugin.spec.manifest.sources():
        artifact = _artifact(plugin, role)
        if artifact.state != "ready":
            links.append(_of(plugin, role, artifact, facts, level))
    return links


def _of(plugin: Plugin, role: str, artifact: Artifact, facts: Facts, level: int) -> Link:
    key, transfer = plugin.meta.key, facts.transfers.get(plugin.meta.key, {}).get(role)
    says, reason, next_at = f"{role} waits for its turn to be downloaded", WAITING, None
    if artifact.state == "error":
        says, reason = f"{role}: {artifact.message or 'cannot be had'}", artifact.reason or "ArtifactError"
        next_at = _next_try(key, facts)
        if transfer is not None:
            says = f"{says}; it is tried again now, {_far(transfer)}"
    elif transfer is not None:
        says, reason = f"{role} is being downloaded, {_far(transfer)}", DOWNLOADING
    elif artifact.state == "downloading":
        says, reason = f"{role} is being downloaded", DOWNLOADING
    return Link(
        kind="Plugin",
        name=plugin.meta.name,
        says=says,
        reason=reason,
        level=level,
        generation=plugin.status.observed_generation,
        next_try_at=next_at,
        numbers=_numbers(transfer),
    )


def _artifact(plugin: Plugin, role: str) -> Artifact:
    return plugin.status.artifacts.get(role, Artifact())


def _far(transfer: Transfer) -> str:
    got = f"{transfer.received_bytes / MB:.1f}"
    return f"{got} MB so far" if transfer.total_bytes is None else f"{got} of {transfer.total_bytes / MB:.1f} MB"


def _numbers(transfer: Transfer | None) -> dict[str, int]:
    if transfer is None:
        return {}
    total = {} if transfer.total_bytes is None else {"total_bytes": transfer.total_bytes}
    return {"received_bytes": transfer.received_bytes, **total}
