"""The event log: one row for each committed write, from `oldest_event` + 1 to the last revision without a hole.

That there is no hole is what makes resuming safe: a reader that is given a first event other than the one after its
own knows that something is missing, whatever compaction is doing meanwhile, and is told so by `Gone`.

Each row names the one before it of the same object. The last events of an object are found by following that, one row
after the other: an index on the uid would find them as fast, and costs every write twice what the row itself does.
"""

from __future__ import annotations

from volant.clock import Instant, Uid
from volant.errors import Gone, Invalid
from volant.model.event import Committed, said
from volant.model.meta import Key, Owner
from volant.store.database import Execute, Row
from volant.store.rows import Select

_COLUMNS = "revision, type, kind, name, uid, owner_kind, owner_name, owner_uid, plugin, at, data, preceding"
APPEND = f"INSERT INTO events ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"  # noqa: S608 -- a constant
_AFTER = f"SELECT {_COLUMNS} FROM events WHERE revision > ? ORDER BY revision LIMIT ?"  # noqa: S608
_LAST = (
    "WITH RECURSIVE mine(at_revision, number) AS ("  # noqa: S608
    "SELECT revision, 1 FROM objects WHERE uid = ? UNION ALL SELECT preceding, number + 1 FROM mine "
    "JOIN events ON revision = at_revision WHERE preceding IS NOT NULL AND number < ?) "
    f"SELECT {_COLUMNS} FROM mine JOIN events ON revision = at_revision ORDER BY revision"
)


def event_row(event: Committed) -> Row:
    """The parameters of APPEND."""
    owner = event.owner
    owned = (owner.kind, owner.name, owner.uid) if owner else (None, None, None)
    told = (event.plugin, event.at, event.data, event.preceding)
    return (event.revision, event.type, *event.key, event.uid, *owned, *told)


def events_after(select: Select, revision: int, limit: int) -> list[Committed]:
    """At most `limit` (1 or more) of the events that follow `revision`, in order.

    Raises Gone when the first of them is no longer kept, Invalid for a revision that nobody was given yet.
    """
    # The head first: what is committed between the two reads can then only make the second one longer.
    ((last,),) = select("SELECT revision FROM head", ())
    if revision > last:
        raise Invalid(f"cannot resume after revision {revision}: the last one is {last}", code="future_revision")
    rows = select(_AFTER, (revision, max(limit, 1)))
    oldest = (rows[0][0] if rows else last + 1) - 1
    if oldest != revision:
        raise Gone(
            f"cannot resume after revision {revision}: events up to {oldest} are no longer kept",
            code="event_gone",
            details={"oldest": oldest, "asked": revision},
        )
    return [_committed(row) for row in rows]


def last_events(select: Select, uid: Uid, limit: int) -> list[Committed]:
    """The last events of an object that is there, at most `limit` (1 or more), oldest first.

    Fewer when the older ones are no longer kept, or are from before each event named the one before it.
    """
    return [_committed(row) for row in select(_LAST, (uid, max(limit, 1)))]


def compact(execute: Execute, keep: int, keep_since: Instant | None, at_most: int) -> int | None:
    """Drop up to `at_most` of the oldest events: those beyond `keep`, and those from before `keep_since`.

    The new `oldest_event`, or None when there is nothing to drop. Drops by number only when `at_most` can be dropped
    at once, so that a store which is written to one event at a time is not compacted one event at a time.
    """
    last, oldest = map(int, execute("SELECT revision, oldest_event FROM head").fetchone())
    beyond = last - oldest - keep
    upto = oldest + at_most if beyond >= at_most else oldest
    if upto == oldest and keep_since is not None:
        upto = max(upto, _last_before(execute, keep_since, at_most) or 0)
    if upto == oldest:
        return None
    execute("DELETE FROM events WHERE revision <= ?", (upto,))
    execute("UPDATE head SET oldest_event = ?", (upto,))
    return upto


def _last_before(execute: Execute, since: Instant, at_most: int) -> int | None:
    """The last of the leading events that are older than `since`, looking at `at_most` of them."""
    last = None
    for revision, at in execute("SELECT revision, at FROM events ORDER BY revision LIMIT ?", (at_most,)).fetchall():
        if at >= since:
            break
        last = revision
    return last


def _committed(row: Row) -> Committed:
    revision, kind_of_event, kind, name, uid, owner_kind, owner_name, owner_uid, plugin, at, data, preceding = row
    more = said(data)
    return Committed(
        revision=revision,
        type=kind_of_event,
        key=Key(kind, name),
        uid=uid,
        owner=Owner(kind=owner_kind, name=owner_name, uid=Uid(owner_uid)) if owner_uid else None,
        plugin=plugin,
        at=at,
        data=data,
        actor=more.actor,
        labels=more.labels,
        previous=more.previous,
        preceding=preceding,
    )
