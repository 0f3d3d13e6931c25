"""From the stored form of a sync to the wire form, as `wire` has it of the other kinds."""

from __future__ import annotations

from volant.clock import Instant, rfc3339
from volant.model.sync import NEVER, Attempts, Sync
from volant.model.views import SyncSpecView, SyncStatusView, SyncView


def sync_view(sync: Sync, attempts: Attempts = NEVER) -> SyncView:
    """A sync in wire form. `attempts` is what is not stored of it."""
    meta, spec, status = sync.meta, sync.spec, sync.status
    return SyncView(
        name=meta.name,
        kind="Sync",
        uid=meta.uid,
        generation=meta.generation,
        revision=meta.revision,
        created_at=rfc3339(meta.created_at),
        spec=SyncSpecView(
            set=meta.name,
            dir=spec.dir,
            git=spec.git,
            branch=spec.branch,
            path=spec.path,
            interval_s=spec.interval_s,
            prune=spec.prune,
            force=spec.force,
            confirm_delete=spec.confirm_delete,
            atomic_deadline_s=spec.atomic_deadline_s,
        ),
        status=SyncStatusView(
            state=status.state,
            is_working=attempts.is_working,
            commit=status.commit,
            applied_at=_time(status.applied_at),
            attempted_at=_time(attempts.attempted_at),
            error=status.error,
            failing_since=_time(status.failing_since),
            failures=attempts.failures,
            next_try_at=_time(attempts.next_try_at),
            objects=status.objects,
            applies=status.applies,
            drifts=status.drifts,
            drift_at=_time(status.drift_at),
        ),
    )


def _time(at: Instant | None) -> str | None:
    return None if at is None else rfc3339(at)
