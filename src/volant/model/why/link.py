"""One link of a causal chain, and what the chains of all kinds have in common.

Obstacles, in the order in which they are looked for:

the first look at the host is not done ─┐
the store cannot be written ────────────┼──▶ nothing acts
everybody pauses for a moment ──────────┘
the object's own turn fails, waits for a worker, or is under way
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from msgspec import Struct

from volant.clock import Instant, rfc3339
from volant.model.meta import Key, Meta
from volant.model.why.facts import Facts, Standing

Subject = Literal["VM", "Deployment", "Plugin", "Sync", "Host", "Store"]
Numbers = Mapping[str, int | float]

NOT_LOOKED_AT = "NotLookedAt"
FIRST_LOOK = "FirstLook"
UNAVAILABLE = "Unavailable"
PAUSED = "Paused"
TURN_FAILED = "TurnFailed"
QUEUED = "Queued"
WORKING = "Working"
DELETING = "Deleting"

SLOW_S = 5.0
"""A turn, or a wait for a worker, that takes longer is worth telling."""


class Link(Struct, frozen=True, kw_only=True):
    """One statement about one subject, for people (`says`) and for programs (`reason`, CamelCase).

    A link of a higher `level` says why the nearest one before it of a lower level is so. `generation` is the one that
    the statement is true of: the object's own, but for `NotLookedAt`. `since` is when it began to be so, where that is
    known, `next_try_at` when something happens by itself at the latest.
    """

    kind: Subject
    name: str
    says: str
    reason: str
    level: int = 0
    generation: int | None = None
    since: Instant | None = None
    next_try_at: Instant | None = None
    numbers: Numbers = {}


def named(key: Key) -> str:
    """`VM api-2`, as sentences begin."""
    return f"{key.kind} {key.name}"


def count(number: int, one: str) -> str:
    """`1 replica`, `2 replicas`."""
    return f"{number} {one}" if number == 1 else f"{number} {one}s"


def not_looked_at(meta: Meta, observed: int, facts: Facts, level: int = 0) -> list[Link]:
    """Nobody has looked at the object since its spec last changed, so nothing that it reports is about that spec."""
    standing = facts.own(meta.key)
    never = observed == 0 and meta.generation == 1
    says = "has not been looked at yet" if never else f"has not been looked at since generation {meta.generation}"
    last = ""
    if standing is not None and standing.turns:
        last = f"; the controller last looked at it at {rfc3339(standing.turns[-1].at)}"
    link = Link(
        kind=meta.kind,
        name=meta.name,
        says=f"{named(meta.key)} {says}{last}",
        reason=NOT_LOOKED_AT,
        level=level,
        generation=observed,
        since=meta.created_at if never else None,
        next_try_at=standing.next_at if standing is not None else None,
        numbers={"generation": meta.generation, "observed_generation": observed},
    )
    return [link, *obstacles(meta, facts, level + 1, slow_s=0.0)]


def being_deleted(meta: Meta, says: str, level: int, next_try_at: Instant | None, numbers: Numbers) -> Link:
    """It is on its way out. True whatever was looked at: nobody takes that back."""
    return Link(
        kind=meta.kind,
        name=meta.name,
        says=f"{named(meta.key)} is being deleted: {says}",
        reason=DELETING,
        level=level,
        generation=meta.generation,
        since=meta.deleting_since,
        next_try_at=next_try_at,
        numbers=numbers,
    )


def obstacles(meta: Meta, facts: Facts, level: int, *, said: str | None = None, slow_s: float = SLOW_S) -> list[Link]:
    """What keeps the object's controller from doing anything about it. `said` is the reason that was told already."""
    return [*(_everybody(facts, level) if level <= 1 else ()), *_own(meta, facts, level, said, slow_s)]


def _everybody(facts: Facts, level: int) -> list[Link]:
    links = list[Link]()
    if facts.has_looked and facts.trouble is None and not facts.is_paused:
        return links
    if not facts.has_looked:
        trouble = f": {facts.look_trouble}" if facts.look_trouble else ""
        says = f"nothing acts before the first full look at the host, which is not done{trouble}"
        links.append(_of("Host", "host", says, FIRST_LOOK, level, facts))
    if facts.trouble is not None:
        says = f"nothing acts while the store cannot be written: {facts.trouble}"
        links.append(_of("Store", "store", says, UNAVAILABLE, level, facts))
    elif facts.is_paused:
        says = "nothing acts for a moment: a write has just failed, and is tried again"
        links.append(_of("Store", "store", says, PAUSED, level, facts))
    return links


def _of(kind: Subject, name: str, says: str, reason: str, level: int, facts: Facts) -> Link:
    return Link(kind=kind, name=name, says=says, reason=reason, level=level, next_try_at=facts.next_try_at)


def _own(meta: Meta, facts: Facts, level: int, said: str | None, slow_s: float) -> list[Link]:
    """Its own turn. A queue that is shut for everybody says nothing of one key."""
    standing = facts.own(meta.key)
    if standing is None:
        return []
    links = []
    if standing.failures and standing.reason != said:
        links.append(_failing(meta, standing, level))
    is_open = facts.has_looked and facts.trouble is None and not facts.is_paused
    took_s = facts.now - standing.since if standing.since is not None else 0.0
    if is_open and standing.place in ("waiting", "working") and took_s >= slow_s:
        links.append(_under_way(meta, standing, level, took_s))
    return links


def _failing(meta: Meta, standing: Standing, level: int) -> Link:
    what = standing.message or "the log of the daemon says what went wrong"
    return Link(
        kind=meta.kind,
        name=meta.name,
        says=f"the last look at {named(meta.key)} failed, {count(standing.failures, 'time')} in a row: {what}",
        reason=standing.reason or TURN_FAILED,
        level=level,
        next_try_at=standing.next_at,
        numbers={"failures": standing.failures},
    )


def _under_way(meta: Meta, standing: Standing, level: int, took_s: float) -> Link:
    is_working = standing.place == "working"
    what = "is being looked at" if is_working else "waits for its controller to have a free worker"
    return Link(
        kind=meta.kind,
        name=meta.name,
        says=f"{named(meta.key)} {what}",
        reason=WORKING if is_working else QUEUED,
        level=level,
        since=standing.since,
        numbers={"seconds": round(max(took_s, 0.0), 3)},
    )
