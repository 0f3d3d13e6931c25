"""What a plugin needs next, and what it says of itself: pure and total.

    status + "is the file there?" ──▶ current ──▶ next_step ──▶ Fetch | Report | None
    outcome of a fetch ──▶ obtained | failed ──▶ Report

An artifact that failed stays in `error` while it is tried again: going back to `downloading` each time would make every
attempt two events, each of which asks for another look (L7).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from typing import cast

from msgspec import Struct

from volant.clock import Instant
from volant.errors import ArtifactError
from volant.model.conditions import Condition, condition, is_true, merge_condition
from volant.model.event import EventType, Happening
from volant.model.plugin import READY, Artifact, Plugin, PluginStatus, Role, Source, parse_checksum

ACTOR = "plugin"

Artifacts = Mapping[Role, Artifact]


class Fetch(Struct, frozen=True):
    """Bring one artifact into the cache."""

    role: Role
    source: Source


class Report(Struct, frozen=True):
    """A status to be written, and the event that says so."""

    status: PluginStatus
    happening: Happening


Step = Fetch | Report


def next_step(plugin: Plugin, has: Callable[[str], bool], skip: Collection[Role], now: Instant) -> Step | None:
    """The next step towards every artifact being in the cache; None when there is nothing to do now.

    `has` says whether the cache holds a digest; the roles in `skip` are not fetched this time. What is not true any
    more is reported before anything is fetched, so that nobody boots from a file that is gone.
    """
    artifacts = current(plugin, has)
    missing = next((role for role, a in artifacts.items() if a.state != "ready" and role not in skip), None)
    if missing is not None and artifacts[missing].state == "pending":
        artifacts[missing] = Artifact(state="downloading", url=artifacts[missing].url)
    due = report(plugin, artifacts, now)
    if due is not None or missing is None:
        return due
    return Fetch(missing, plugin.spec.manifest.sources()[missing])


def current(plugin: Plugin, has: Callable[[str], bool]) -> dict[Role, Artifact]:
    """What was reported of each artifact of the manifest, as far as it still holds. The others are pending."""
    reported = plugin.status.artifacts
    return {
        role: _held_against(reported.get(role), source, has) for role, source in plugin.spec.manifest.sources().items()
    }


def _held_against(artifact: Artifact | None, source: Source, has: Callable[[str], bool]) -> Artifact:
    pending = Artifact(url=source.url)
    if artifact is None or artifact.url not in {None, source.url}:
        return pending
    if artifact.state != "ready":
        return artifact
    is_asked = source.checksum is None or parse_checksum(source.checksum) == artifact.digest
    return artifact if is_asked and artifact.digest is not None and has(artifact.digest) else pending


def obtained(source: Source, digest: str, size_bytes: int) -> Artifact:
    """The artifact is in the cache."""
    return Artifact(state="ready", digest=digest, size_bytes=size_bytes, url=source.url)


def failed(old: Artifact, source: Source, error: ArtifactError) -> Artifact:
    """The artifact cannot be had. The sentence told first stays while only its figures change (V10)."""
    new = Artifact(state="error", url=source.url, reason=error.reason, message=error.message)
    is_same = (old.state, old.url, old.reason) == (new.state, new.url, new.reason)
    return old if is_same and _without_figures(old.message) == _without_figures(new.message) else new


def _without_figures(message: str | None) -> str:
    return re.sub(r"\d+", "#", message or "")


def report(plugin: Plugin, artifacts: Artifacts, now: Instant) -> Report | None:
    """The report that is due, or None when nothing differs from the last one (L7, V6, V8)."""
    ready = _ready(plugin, artifacts)
    status = PluginStatus(
        observed_generation=plugin.meta.generation,
        artifacts=cast("dict[str, Artifact]", dict(artifacts)),
        conditions=merge_condition(plugin.status.conditions, ready, now),
    )
    if status == plugin.status:
        return None
    kind = _told_as(plugin, ready)
    return Report(status, Happening(type=kind, actor=ACTOR, reason=ready.reason, message=ready.message or None))


def _ready(plugin: Plugin, artifacts: Artifacts) -> Condition:
    """One statement about all artifacts: the first one in trouble speaks for the others."""
    in_trouble = next(((role, a) for role, a in artifacts.items() if a.state == "error"), None)
    generation = plugin.meta.generation
    if in_trouble is not None:
        role, artifact = in_trouble
        reason, message = artifact.reason or "ArtifactError", f"{role}: {artifact.message or 'cannot be had'}"
        return Condition(type=READY, status="false", reason=reason, message=message, observed_generation=generation)
    if all(artifact.state == "ready" for artifact in artifacts.values()):
        return Condition(type=READY, status="true", reason="Ready", observed_generation=generation)
    return Condition(type=READY, status="false", reason="Downloading", observed_generation=generation)


def _told_as(plugin: Plugin, ready: Condition) -> EventType:
    old = condition(plugin.status.conditions, READY)
    if ready.status == "true":
        return "plugin.updated" if is_true(plugin.status.conditions, READY) else "plugin.ready"
    is_told = ready.reason == "Downloading" or (
        old is not None and (old.reason, old.message) == (ready.reason, ready.message)
    )
    return "plugin.updated" if is_told else "plugin.error"
