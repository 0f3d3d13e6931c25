"""What a sync of the daemon looks like, for `examples`."""

from __future__ import annotations

from volant.clock import Uid
from volant.model.views import SyncSpecView, SyncStatusView, SyncView

SYNC = SyncView(
    name="infra",
    kind="Sync",
    uid=Uid("0b9c6a1e5f7d4c3f8f0e2d1c4b5a6978"),
    generation=1,
    revision=57,
    created_at="2025-01-15T10:00:00Z",
    spec=SyncSpecView(
        set="infra",
        git="https://git.example.org/shop/infra.git",
        branch="main",
        path="hosts/one",
        interval_s=30.0,
        prune=True,
        force=False,
    ),
    status=SyncStatusView(
        state="synced",
        is_working=False,
        commit="3f2a1b0c9d8e7f60a1b2c3d4e5f60718293a4b5c",
        applied_at="2025-01-15T10:00:00Z",
        attempted_at="2025-01-15T10:05:00Z",
        failures=0,
        next_try_at="2025-01-15T10:05:30Z",
        objects=4,
        applies=3,
        drifts=0,
    ),
)
