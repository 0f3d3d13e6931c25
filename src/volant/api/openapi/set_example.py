"""A set as an example: one that was taken back, and the requests that bring sets about."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from volant.clock import Uid
from volant.model.apply.outcome import MemberView, PrunedView, SetRevisionView, SetView
from volant.model.apply.sets import LATE

_AT = "2025-01-15T10:00:00Z"
_LATER = "2025-01-15T10:05:00Z"
_UID = Uid("0b9c6a1e5f7d4c3f8f0e2d1c4b5a6978")

WEB = {"kind": "Deployment", "metadata": {"name": "web"}, "spec": {"plugin": "hello", "replicas": 3}}
DB = {
    "kind": "VM",
    "metadata": {"name": "db", "labels": {"tier": "back"}},
    "spec": {"plugin": "postgres", "config": {"resources": {"memory_mb": 1024}}},
}

_TAKEN_BACK = SetRevisionView(
    number=2,
    state="reverted",
    manager="apply",
    applied_at=_LATER,
    atomic=True,
    objects=2,
    deadline="2025-01-15T10:10:00Z",
    ended_at="2025-01-15T10:10:00Z",
    reason=LATE,
    message="Deployment web: not healthy (replicas of another template are being replaced) when the time was over",
)

SET = SetView(
    name="infra",
    objects=(MemberView(kind="Deployment", name="web", uid=_UID),),
    pruned=(PrunedView(kind="VM", name="old", pruned_at=_AT, restorable_until="2025-01-16T10:00:00Z"),),
    state="reverted",
    revision=2,
    last_failure=_TAKEN_BACK,
    revisions=(
        _TAKEN_BACK,
        SetRevisionView(
            number=1,
            state="healthy",
            manager="apply",
            applied_at=_AT,
            atomic=True,
            objects=2,
            deadline="2025-01-15T10:10:00Z",
            ended_at="2025-01-15T10:00:09Z",
        ),
    ),
)

APPLIES: Mapping[str, tuple[str, Any]] = {
    "set": (
        "A set of a plugin's deployment and one VM, all of it",
        {
            "set": "infra",
            "prune": True,
            "objects": [WEB, DB],
        },
    ),
    "atomic": (
        "As a whole, or not at all: taken back unless it is healthy within five minutes",
        {
            "set": "infra",
            "atomic": True,
            "deadline_seconds": 300,
            "objects": [
                {"kind": "Deployment", "metadata": {"name": "web"}, "spec": {"plugin": "hello", "replicas": 3}}
            ],
        },
    ),
}

SET_ROLLBACKS: Mapping[str, tuple[str, Any]] = {
    "healthy": ("As it was when it was last healthy", {"atomic": True}),
    "to": ("As revision 2 was said", {"revision": 2, "confirm_delete": 1}),
}
