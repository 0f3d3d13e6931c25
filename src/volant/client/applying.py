"""The operations of sets, as Calls: what `client.apply(manifests, set="infra")` and `client.sets` send."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Required, TypedDict, Unpack

import msgspec
from msgspec import UNSET, Struct, UnsetType

from volant.client.call import Call, asked, at, shown, written
from volant.model.apply.outcome import ApplyView, SetView
from volant.model.timeline import PlanView
from volant.model.views import SyncView

APPLY_S = 300.0
"""A set of ten thousand objects is one transaction."""
PLAN_S = 300.0
"""A forecast takes minutes at most, and waits for one that is being made."""


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
    commit: str | UnsetType = UNSET
    atomic: bool = False
    deadline_seconds: float | UnsetType = UNSET
    retry: bool = False


class Terms(TypedDict, total=False):
    """How a set is applied.

    `set` names it, `manager` says whose the fields are that its manifests say. `prune` deletes what the set no longer
    names; `confirm_delete` is how many may go when they are many. `force` takes fields and objects over. `plan` is the
    token of a dry run, or what it answered: exactly that is done, or nothing. `partial`: this is not all of the set.
    `atomic`: the whole set goes back unless it is healthy within `deadline_seconds`; `retry` what went back already.
    """

    set: Required[str]
    manager: str
    prune: bool
    partial: bool
    force: bool
    confirm_delete: int
    plan: str | ApplyView
    dry_run: bool
    atomic: bool
    deadline_seconds: float
    retry: bool


def of_manifests(manifests: Iterable[Mapping[str, Any]], **terms: Unpack[Terms]) -> Call[ApplyView]:
    """`POST /apply` of manifests: dictionaries with `kind`, `metadata` and `spec`."""
    dry_run = terms.pop("dry_run", False)
    return apply(_asked(manifests, terms), dry_run=dry_run)


def foretell(manifests: Iterable[Mapping[str, Any]], **terms: Unpack[Terms]) -> Call[PlanView]:
    """`POST /plan` of the same."""
    terms.pop("dry_run", None)
    return plan(_asked(manifests, terms))


def _asked(manifests: Iterable[Mapping[str, Any]], terms: Terms) -> Asked:
    token = terms.pop("plan", UNSET)
    rest: dict[str, Any] = {**terms}
    said = token.token if isinstance(token, ApplyView) else token
    return Asked(objects=[dict(one) for one in manifests], plan=said, **rest)


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


def plan(body: Asked) -> Call[PlanView]:
    """`POST /plan`: what an apply would do, and what would come of it; nothing is changed."""
    return Call(method="POST", path=at("plan"), body=msgspec.json.encode(body), read=shown(PlanView), bound_s=PLAN_S)


def list_sets() -> Call[list[SetView]]:
    """`GET /sets`."""
    return Call(method="GET", path=at("sets"), read=shown(list[SetView]))


def get_set(name: str) -> Call[SetView]:
    """`GET /sets/{name}`."""
    return Call(method="GET", path=at("sets", name), read=shown(SetView))


def list_syncs() -> Call[list[SyncView]]:
    """`GET /syncs`: what the daemon keeps by itself."""
    return Call(method="GET", path=at("syncs"), read=shown(list[SyncView]))


def get_sync(name: str) -> Call[SyncView]:
    """`GET /syncs/{name}`."""
    return Call(method="GET", path=at("syncs", name), read=shown(SyncView))


def sync_now(name: str, *, wait: str | None = None, timeout_s: float | None = None) -> Call[SyncView]:
    """`POST /syncs/{name}/sync`: try it now; with `wait` `tried` the answer comes when it was."""
    query = asked(wait=wait, timeout=None if timeout_s is None else f"{max(timeout_s, 0):.3f}s")
    bound_s = None if wait in (None, "none") else (60.0 if timeout_s is None else timeout_s) + 10.0
    path = at("syncs", name, "sync")
    return Call(method="POST", path=path, query=query, read=written(SyncView), bound_s=bound_s)


def restore_set(name: str, *, dry_run: bool = False) -> Call[ApplyView]:
    """`POST /sets/{name}/restore`: make again what was pruned of it in the last 24 hours."""
    return Call(
        method="POST",
        path=at("sets", name, "restore"),
        query=asked(dry_run=dry_run or None),
        read=shown(ApplyView),
        bound_s=APPLY_S,
    )


def roll_back_set(
    name: str,
    revision: int | None = None,
    *,
    dry_run: bool = False,
    force: bool = False,
    confirm_delete: int | None = None,
    atomic: bool = False,
    deadline_s: float | None = None,
) -> Call[ApplyView]:
    """`POST /sets/{name}/rollback`: apply it once more as it was said for a revision; else for the last healthy."""
    body = {"revision": revision, "force": force, "confirm_delete": confirm_delete, "atomic": atomic}
    said = {**body, "deadline_seconds": deadline_s}
    return Call(
        method="POST",
        path=at("sets", name, "rollback"),
        query=asked(dry_run=dry_run or None),
        body=msgspec.json.encode({key: value for key, value in said.items() if value is not None}),
        read=shown(ApplyView),
        bound_s=APPLY_S,
    )


def list_manifests(
    *, kind: str | None = None, name: str | None = None, of_set: str | None = None
) -> Call[list[dict[str, Any]]]:
    """`GET /manifests`: objects as manifests that say what they are, without what is so by itself."""
    query = asked(kind=kind, name=name, set=of_set)
    return Call(method="GET", path=at("manifests"), query=query, read=shown(list[dict[str, Any]]), bound_s=APPLY_S)
