"""What an apply comes to: what is done with each object, the token of that, and what has to be confirmed. Pure."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, Literal, NamedTuple

import msgspec
from msgspec import Struct

from volant.model.apply.merge import Fields
from volant.model.apply.sets import SetState
from volant.model.meta import Kind, Time

Action = Literal["create", "update", "delete", "unchanged"]

FREELY = 10
"""So many objects are deleted without a word, if they are not more than half of the set."""


class Planned(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What is done with one object.

    `changes` are by dotted path, each with what stands there and what will; of secrets there are digests. `generation`
    is that of the object before. `restart_required`: its running guest keeps what it was booted with until then.
    `joins`: it was there, and becomes one of the set. `owners` is a digest of who has said which of its fields, where
    that is another one by this. `waits`: why it is left as it is, though the set no longer names it; the same apply,
    later, prunes it.
    """

    kind: Kind
    name: str
    action: Action
    uid: str | None = None
    generation: int | None = None
    changes: dict[str, Any] = {}
    restart_required: bool = False
    joins: bool = False
    owners: str | None = None
    waits: str | None = None


class Manner(NamedTuple):
    """How an apply is asked for, as far as another way would be another plan."""

    prune: bool = False
    partial: bool = False
    force: bool = False
    atomic: bool = False


PLAINLY = Manner()


class ApplyView(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The answer to an apply, and with `dry_run` to the question what it would do. `token` names exactly this plan.

    `revision` is that of the set which came of it, of a set that was ever applied atomically.
    """

    set: str
    manager: str
    dry_run: bool
    token: str
    summary: dict[str, int]
    objects: tuple[Planned, ...]
    revision: int | None = None


class MemberView(Struct, frozen=True, kw_only=True):
    """One object of a set."""

    kind: Kind
    name: str
    uid: str


class PrunedView(Struct, frozen=True, kw_only=True):
    """An object that was pruned, and until when it can be restored."""

    kind: Kind
    name: str
    pruned_at: Time
    restorable_until: Time


class SetRevisionView(Struct, frozen=True, kw_only=True):
    """What one apply made of a set: `objects` is how many it named.

    `deadline` is until when it had to be healthy, `ended_at` when it was, or was taken back or superseded; `reason` and
    `message` say why it was taken back.
    """

    number: int
    state: SetState
    manager: str
    applied_at: Time
    atomic: bool
    objects: int
    deadline: Time | None = None
    ended_at: Time | None = None
    reason: str | None = None
    message: str | None = None


class SetView(Struct, frozen=True, kw_only=True):
    """A set: what was applied together, and what was pruned of it lately.

    One that was ever applied atomically has `revisions`, newest first: `state` and `revision` are those of the current
    one, `deadline` is until when that has to be healthy, `last_failure` the last one that was taken back.
    """

    name: str
    objects: tuple[MemberView, ...]
    pruned: tuple[PrunedView, ...] = ()
    state: SetState | None = None
    revision: int | None = None
    deadline: Time | None = None
    last_failure: SetRevisionView | None = None
    revisions: tuple[SetRevisionView, ...] = ()


def answer(
    set_: str, manager: str, planned: Sequence[Planned], *, dry_run: bool, manner: Manner = PLAINLY
) -> ApplyView:
    """The plan as clients read it."""
    counted = Counter(one.action for one in planned)
    summary = {action: counted[action] for action in ("create", "update", "delete", "unchanged")}
    return ApplyView(
        set=set_,
        manager=manager,
        dry_run=dry_run,
        token=token(set_, manager, planned, manner),
        summary=summary,
        objects=tuple(planned),
    )


def token(set_: str, manager: str, planned: Iterable[Planned], manner: Manner = PLAINLY) -> str:
    """The same for the same plan, and for no other: the uid of what is still to be made is no part of it.

    Whose the objects and their fields are to be is, for it is changed even where nothing else is; so is what is left
    as it is, but not what has become of it meanwhile.
    """
    said = [set_, manager, tuple(manner), [_pinned(one) for one in planned]]
    return hashlib.sha256(msgspec.json.encode(said, order="deterministic")).hexdigest()[:32]


def owners_of(fields: Fields) -> str:
    """A digest of who has said which fields."""
    said = {manager: sorted(paths) for manager, paths in fields.items()}
    return hashlib.sha256(msgspec.json.encode(said, order="deterministic")).hexdigest()[:16]


def _pinned(one: Planned) -> tuple[object, ...]:
    uid = None if one.action == "create" else one.uid
    is_same = one.action == "unchanged"
    generation, changes = (None, {}) if is_same else (one.generation, one.changes)
    return one.kind, one.name, one.action, uid, generation, changes, one.joins, one.owners, one.waits is not None


def needs_confirmation(*, deletes: int, members: int, objects: int) -> bool:
    """Whether so many deletions have to be confirmed: more than a few, more than half of the set, or all of it."""
    return deletes > 0 and (objects == 0 or deletes > FREELY or 2 * deletes > members)
