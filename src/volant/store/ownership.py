"""Who has said which field of an object, which objects were applied together, and what was pruned of them lately.

All of it goes with the object, but for what was pruned: that is kept for `RESTORABLE_S`, to be made again.
"""

from __future__ import annotations

import json
from typing import NamedTuple

import msgspec

from volant.clock import Instant, Uid
from volant.model.apply.merge import Fields
from volant.model.meta import Key, Kind
from volant.store.database import Execute

RESTORABLE_S = 86_400.0

_PATHS = msgspec.json.Decoder(frozenset[str])


class Member(NamedTuple):
    """An object of a set."""

    kind: Kind
    name: str
    uid: Uid


class Pruned(NamedTuple):
    """An object that was pruned of a set, as the manifest that makes it again."""

    kind: Kind
    name: str
    at: Instant
    document: bytes

    @property
    def key(self) -> Key:
        """The object that it was."""
        return Key(self.kind, self.name)


def fields_of(execute: Execute, uid: Uid) -> dict[str, frozenset[str]]:
    """Who has said what of an object; nothing of one that was never applied."""
    rows = execute("SELECT manager, paths FROM fields WHERE uid = ?", (uid,)).fetchall()
    return {manager: _PATHS.decode(paths) for manager, paths in rows}


def set_fields(execute: Execute, uid: Uid, fields: Fields) -> None:
    """From now on that is who has said what."""
    execute("DELETE FROM fields WHERE uid = ?", (uid,))
    for manager, paths in fields.items():
        execute("INSERT INTO fields (uid, manager, paths) VALUES (?, ?, ?)", (uid, manager, json.dumps(sorted(paths))))


def set_of(execute: Execute, uid: Uid) -> str | None:
    """The set that an object is of."""
    row = execute("SELECT set_name FROM set_members WHERE uid = ?", (uid,)).fetchone()
    return str(row[0]) if row else None


def join(execute: Execute, name: str, uid: Uid) -> None:
    """The object is of that set, and of no other."""
    execute("INSERT OR REPLACE INTO set_members (uid, set_name) VALUES (?, ?)", (uid, name))


def leave(execute: Execute, uid: Uid) -> None:
    """The object is of no set."""
    execute("DELETE FROM set_members WHERE uid = ?", (uid,))


def members(execute: Execute, name: str) -> list[Member]:
    """The objects of a set, in the order of their creation."""
    rows = execute(
        "SELECT kind, name, objects.uid FROM objects JOIN set_members ON set_members.uid = objects.uid "
        "WHERE set_name = ? ORDER BY seq",
        (name,),
    ).fetchall()
    return [Member(kind, name, Uid(uid)) for kind, name, uid in rows]


def sets(execute: Execute) -> list[str]:
    """Every set that has an object, something that can be restored, or revisions, by name."""
    rows = execute(
        "SELECT set_name FROM set_members UNION SELECT set_name FROM pruned "
        "UNION SELECT set_name FROM set_revisions ORDER BY 1",
        (),
    ).fetchall()
    return [str(name) for (name,) in rows]


def keep_pruned(execute: Execute, name: str, key: Key, now: Instant, document: bytes) -> None:
    """Keep what was pruned, and forget what is too old to be restored."""
    execute("DELETE FROM pruned WHERE at <= ?", (now - RESTORABLE_S,))
    execute("DELETE FROM pruned WHERE set_name = ? AND kind = ? AND name = ?", (name, *key))
    execute(
        "INSERT INTO pruned (set_name, kind, name, at, document) VALUES (?, ?, ?, ?, ?)", (name, *key, now, document)
    )


def pruned(execute: Execute, name: str, now: Instant) -> list[Pruned]:
    """What was pruned of a set and can be restored, oldest first."""
    rows = execute(
        "SELECT kind, name, at, document FROM pruned WHERE set_name = ? AND at > ? ORDER BY id",
        (name, now - RESTORABLE_S),
    ).fetchall()
    return [Pruned(*row) for row in rows]


def restored(execute: Execute, name: str, key: Key) -> None:
    """It is there again."""
    execute("DELETE FROM pruned WHERE set_name = ? AND kind = ? AND name = ?", (name, *key))


def release(execute: Execute, uid: Uid) -> None:
    """The object is gone. Idempotent."""
    execute("DELETE FROM fields WHERE uid = ?", (uid,))
    execute("DELETE FROM set_members WHERE uid = ?", (uid,))
