"""Reading lists: which objects there are, in an order, without reading one of them.

    Filter ──rows──▶ (position, revision), ... ──read_at──▶ the objects whose revision the caller does not have yet

A row is named by its position, so that a list can be read piece by piece: the next piece is what stands after the last
position of this one, whatever came and went meanwhile. A revision is given to one write of one object, so whoever has
what was written at a revision need not read it again.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

from volant.clock import Uid
from volant.model.meta import Kind
from volant.model.objects import Object, decode
from volant.store.rows import Select
from volant.store.values import Column, Filter, Position

_AT: dict[Column, str] = {
    "seq": "SELECT doc FROM objects WHERE kind = ? AND seq = ?",
    "name": "SELECT doc FROM objects WHERE kind = ? AND name = ?",
}
_OF_UIDS = "SELECT uid, revision FROM objects WHERE uid IN (SELECT value FROM json_each(?))"


def rows(
    select: Select,
    asked: Filter,
    column: Column,
    *,
    is_descending: bool = False,
    after: Position | None = None,
    limit: int = -1,
    offset: int = 0,
) -> list[tuple[Position, int]]:
    """Position in the order of `column`, and revision, of those that stand after `after`."""
    where, params = _where(asked)
    if after is not None:
        where, params = " ".join([where, "AND", column, "<" if is_descending else ">", "?"]), [*params, after]
    order = " ".join(["ORDER BY", column, "DESC" if is_descending else "ASC", "LIMIT ? OFFSET ?"])
    found: list[tuple[Position, int]] = select(
        " ".join(["SELECT", column, ", revision FROM objects WHERE", where, order]), [*params, limit, offset]
    )
    return found


def how_many(select: Select, asked: Filter) -> int:
    """How many there are of them."""
    where, params = _where(asked)
    return int(select(" ".join(["SELECT count(*) FROM objects WHERE", where]), params)[0][0])


def read_at(select: Select, kind: Kind, column: Column, position: Position) -> Object | None:
    """The object that stands there, or None."""
    found = select(_AT[column], (kind, position))
    return decode(kind, found[0][0]) if found else None


def revisions(select: Select, uids: Sequence[Uid]) -> dict[Uid, int]:
    """The revision of each of those objects that is there."""
    return dict(select(_OF_UIDS, (json.dumps(uids),)))


def _where(asked: Filter) -> tuple[str, list[object]]:
    """SQL for the conditions, none of which comes from a caller, and the values, all of which may."""
    terms: list[tuple[str, tuple[object, ...]]] = [("kind = ?", (asked.kind,))]
    if asked.plugin is not None:
        terms.append(("plugin = ?", (asked.plugin,)))
    terms += [("owner_uid IS NULL", ()) if owner is None else ("owner_uid = ?", (owner,)) for owner in asked.owners]
    if asked.name_part:
        terms.append(("instr(name, ?)", (asked.name_part,)))
    if asked.is_running is not None:
        terms.append(("is_running = ?", (asked.is_running,)))
    return " AND ".join(sql for sql, _ in terms), [value for _, values in terms for value in values]
