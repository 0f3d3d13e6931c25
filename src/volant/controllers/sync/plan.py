"""What becomes of a sync's status after an attempt, and which event that is. Pure and total."""

from __future__ import annotations

from typing import NamedTuple

from msgspec.structs import replace

from volant.clock import Instant
from volant.model.event import EventType
from volant.model.sync import MAX_ERROR, Sync, SyncStatus

ACTOR = "sync"

IN_THE_WAY = frozenset(
    {"field_conflict", "object_owned", "set_conflict", "prune_unconfirmed", "set_reverted", "template_reverted"}
)
"""Refusals that are no mistake of the commit: somebody else's word, or a safety catch, stands against it."""


class Applied(NamedTuple):
    """An attempt that went through. `done` is what was changed, in words; empty when nothing was."""

    commit: str
    objects: int
    done: str
    is_drift: bool


class Failed(NamedTuple):
    """An attempt that changed nothing. `code` is the API's, if it was the API that refused."""

    message: str
    code: str = ""


class Report(NamedTuple):
    """The status from now on, and the event of it; None when there is nothing to write."""

    status: SyncStatus
    event: EventType | None
    message: str | None = None
    commit: str | None = None


def reported(sync: Sync, end: Applied | Failed, now: Instant) -> Report:
    """The report of one attempt."""
    return _applied(sync, end, now) if isinstance(end, Applied) else _failed(sync, end, now)


def _applied(sync: Sync, end: Applied, now: Instant) -> Report:
    before = sync.status
    is_news = bool(end.done) or end.commit != before.commit
    is_drift = bool(end.done) and end.is_drift
    status = replace(
        before,
        observed_generation=sync.meta.generation,
        state="synced",
        commit=end.commit,
        applied_at=now if is_news else before.applied_at,
        error=None,
        failing_since=None,
        objects=end.objects,
        applies=before.applies + (bool(end.done) and not is_drift),
        drifts=before.drifts + is_drift,
        drift_at=now if is_drift else before.drift_at,
    )
    if status == before:
        return Report(before, None)
    if is_drift:
        return Report(status, "sync.drift", f"brought back: {end.done}", end.commit)
    if is_news:
        return Report(status, "sync.applied", end.done or "nothing in it was to be changed", end.commit)
    return Report(status, "sync.synced", None, end.commit)


def _failed(sync: Sync, end: Failed, now: Instant) -> Report:
    before, message = sync.status, _cut(end.message)
    state = "out_of_sync" if end.code in IN_THE_WAY else "failing"
    status = replace(
        before,
        observed_generation=sync.meta.generation,
        state=state,
        error=message,
        failing_since=before.failing_since if before.state == state else now,
    )
    if status == before:
        return Report(before, None)
    return Report(status, "sync.out_of_sync" if state == "out_of_sync" else "sync.failed", message)


def _cut(text: str) -> str:
    return text if len(text) <= MAX_ERROR else f"{text[: MAX_ERROR - 3]}..."
