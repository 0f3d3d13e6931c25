"""The Sync: a directory or a branch of a repository that the daemon keeps a set as.

Its spec comes from the daemon's settings and from nowhere else; its name is that of the set. What changes with every
attempt (when it was, when the next one is) is not stored: an attempt that finds all as it should be writes nothing.
"""

from __future__ import annotations

from typing import Literal

from msgspec import Struct, field

from volant.clock import Instant
from volant.model.meta import Meta

SyncState = Literal["pending", "synced", "out_of_sync", "failing"]
"""Not tried yet; as the commit says; something else in the way of it; no whole commit to be had, or none to be used."""

COMMIT = "volant.sync/commit"
"""The annotation that says which commit made or changed an object last."""
MAX_ERROR = 8192
"""Characters of an error that are kept: a hundred flaws or so."""


class SyncSpec(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Desired: exactly one of `dir` and `git`, which is shown without credentials; `path` is below it.

    With an `atomic_deadline_s` a commit that is not healthy by then is taken back.
    """

    dir: str | None = None
    git: str | None = None
    branch: str | None = None
    path: str = ""
    interval_s: float = 30.0
    prune: bool = False
    force: bool = False
    confirm_delete: int | None = None
    atomic_deadline_s: float | None = None


class SyncStatus(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Observed. `commit` is the last that was applied whole, of `objects` objects, and `applied_at` when.

    `error` is what is in the way, since `failing_since`. `applies` counts the turns that a new commit changed something
    in, `drifts` those that brought back what somebody else had changed, the last one at `drift_at`.
    """

    observed_generation: int = 0
    state: SyncState = "pending"
    commit: str | None = None
    applied_at: Instant | None = None
    error: str | None = None
    failing_since: Instant | None = None
    objects: int = 0
    applies: int = 0
    drifts: int = 0
    drift_at: Instant | None = None


class Sync(Struct, frozen=True, kw_only=True):
    """One set that the daemon keeps as files say it."""

    meta: Meta
    spec: SyncSpec
    status: SyncStatus = field(default_factory=SyncStatus)


class Attempts(Struct, frozen=True, kw_only=True):
    """What is known of a sync until the daemon ends. `failures` is how many went wrong in a row."""

    is_working: bool = False
    attempted_at: Instant | None = None
    next_try_at: Instant | None = None
    failures: int = 0


NEVER = Attempts()
"""Of a sync that this daemon has not looked at yet."""
