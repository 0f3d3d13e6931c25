"""The daemon's own syncs as the API shows them."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from volant.model.meta import Time
from volant.model.sync import SyncState


class SyncSpecView(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What the daemon's settings say of a sync; credentials in an address are not shown."""

    set: str
    dir: str | None = None
    git: str | None = None
    branch: str | None = None
    path: str = ""
    interval_s: float
    prune: bool
    force: bool
    confirm_delete: int | None = None
    atomic_deadline_s: float | None = None


class SyncStatusView(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How it stands. `attempted_at`, `next_try_at` and `failures` are of this run of the daemon."""

    state: SyncState
    is_working: bool
    commit: str | None = None
    applied_at: Time | None = None
    attempted_at: Time | None = None
    error: str | None = None
    failing_since: Time | None = None
    failures: int
    next_try_at: Time | None = None
    objects: int
    applies: int
    drifts: int
    drift_at: Time | None = None


class SyncView(Struct, frozen=True, kw_only=True):
    """A sync of the daemon as the API shows it."""

    name: str
    kind: Literal["Sync"]
    uid: str
    generation: int
    revision: int
    created_at: Time
    spec: SyncSpecView
    status: SyncStatusView
