"""The operations of sets, as Calls: `client.send(apply(Asked(set="infra", objects=[...])))`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
from msgspec import UNSET, Struct, UnsetType

from volant.client.call import Call, asked, at, shown
from volant.model.apply.outcome import ApplyView, SetView

APPLY_S = 300.0
"""A set of ten thousand objects is one transaction."""


class Asked(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The body of `POST /apply`; the API says what each part means. `objects` are manifests."""

    set: str
    objects: Sequence[dict[str, Any]]
    manager: str = "apply"
    prune: bool = False
    partial: bool = False
    force: bool = False
    confirm_delete: int | UnsetType = UNSET
    plan: str | UnsetType = UNSET


def apply(body: Asked, *, dry_run: bool = False) -> Call[ApplyView]:
    """`POST /apply`: make a set as it is said, all or nothing; with `dry_run` only say what would be done."""
    return Call(
        method="POST",
        path=at("apply"),
        query=asked(dry_run=dry_run or None),
        body=msgspec.json.encode(body),
        read=shown(ApplyView),
        bound_s=APPLY_S,
    )


def list_sets() -> Call[list[SetView]]:
    """`GET /sets`."""
    return Call(method="GET", path=at("sets"), read=shown(list[SetView]))


def get_set(name: str) -> Call[SetView]:
    """`GET /sets/{name}`."""
    return Call(method="GET", path=at("sets", name), read=shown(SetView))


def restore_set(name: str, *, dry_run: bool = False) -> Call[ApplyView]:
    """`POST /sets/{name}/restore`: make again what was pruned of it in the last 24 hours."""
    return Call(
        method="POST",
        path=at("sets", name, "restore"),
        query=asked(dry_run=dry_run or None),
        read=shown(ApplyView),
        bound_s=APPLY_S,
    )


def list_manifests(
    *, kind: str | None = None, name: str | None = None, of_set: str | None = None
) -> Call[list[dict[str, Any]]]:
    """`GET /manifests`: objects as manifests that say what they are, without what is so by itself."""
    query = asked(kind=kind, name=name, set=of_set)
    return Call(method="GET", path=at("manifests"), query=query, read=shown(list[dict[str, Any]]), bound_s=APPLY_S)
