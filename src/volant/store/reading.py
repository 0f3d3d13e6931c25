"""Reading on the loop thread, through a connection of its own: always the last commit, never a cache.

A look-up by key is a few microseconds, less than handing it to another thread would cost. Errors of the database are
`Unavailable`: a reader cannot mend them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

from volant.clock import Instant, Uid
from volant.errors import NotFound, Unavailable
from volant.model.apply.sets import SetRevision
from volant.model.deployment import Deployment
from volant.model.event import Committed
from volant.model.history import ConfigChange
from volant.model.meta import Key, Kind
from volant.model.objects import Object, decode
from volant.model.plugin import Plugin
from volant.model.vm import VM
from volant.store import eventlog, history, listing, ownership, setlog
from volant.store.database import DATABASE_ERRORS, Connection, Row, meaning
from volant.store.ownership import Member, Pruned
from volant.store.rows import Rows
from volant.store.values import Column, Filter, Position, Tally

T = TypeVar("T")
Obj = TypeVar("Obj", bound=Object)

_COUNTED = "count(*), ifnull(sum(is_running), 0), ifnull(sum(is_ready), 0), ifnull(sum(is_deleting), 0)"
_OF_OWNER = "FROM objects INDEXED BY objects_children WHERE owner_uid = ?1"
_TALLY = f"SELECT {_COUNTED}, ifnull(sum(template <> ?2), 0) {_OF_OWNER}"
# Three times as dear, and of no use while nothing rolls.
_ROLLING = (
    f"SELECT {_COUNTED}, ifnull(sum(template <> ?2 AND NOT is_deleting), 0), "
    "ifnull(sum(template <> ?2 AND is_ready AND ifnull(ready_since, 0) <= ?3), 0), "
    "ifnull(sum(is_ready AND ready_since > ?3), 0), min(CASE WHEN is_ready AND ready_since > ?3 THEN ready_since END) "
    f"{_OF_OWNER}"
)

_OWNERS = "SELECT DISTINCT owner_uid FROM objects INDEXED BY objects_children WHERE owner_uid IS NOT NULL"


class Reading(Rows):
    """Everything that can be asked of a store. Synchronous; for the loop thread only."""

    def __init__(self, connection: Connection) -> None:
        super().__init__(self._fetch)
        self._reader = connection

    def sets(self) -> list[str]:
        """Every set that has an object, something that can be restored, or revisions, by name."""
        return self._asked(ownership.sets)

    def members(self, name: str) -> list[Member]:
        """The objects of a set, in the order of their creation."""
        return self._asked(ownership.members, name)

    def pruned(self, name: str, now: Instant) -> list[Pruned]:
        """What was pruned of a set and can be restored at `now`, oldest first."""
        return self._asked(ownership.pruned, name, now)

    def set_of(self, uid: Uid) -> str | None:
        """The set that an object is of."""
        return self._asked(ownership.set_of, uid)

    def fields(self, uid: Uid) -> dict[str, frozenset[str]]:
        """Who has said which field of an object: nothing of one that was never applied."""
        return self._asked(ownership.fields_of, uid)

    def set_revision(self, name: str) -> SetRevision | None:
        """The current revision of a set; None of one that was never applied atomically."""
        return self._asked(setlog.last, name)

    def set_revisions(self, name: str) -> list[SetRevision]:
        """The revisions of a set, newest first."""
        return self._asked(setlog.revisions, name)

    def set_documents(self, name: str, number: int) -> bytes | None:
        """The manifests that a revision of a set was made of, as a JSON array; None when they are not kept."""
        return self._asked(setlog.documents, name, number)

    def sets_progressing(self) -> list[str]:
        """Every set that is not where its last apply was to bring it."""
        return self._asked(setlog.progressing)

    def vm(self, name: str) -> VM:
        """The VM of that name. Raises NotFound."""
        return self._of(VM, "VM", name)

    def deployment(self, name: str) -> Deployment:
        """The deployment of that name. Raises NotFound."""
        return self._of(Deployment, "Deployment", name)

    def plugin(self, name: str) -> Plugin:
        """The plugin of that name. Raises NotFound."""
        return self._of(Plugin, "Plugin", name)

    def vms(
        self, *, owner: Uid | None = None, plugin: str | None = None, limit: int | None = None, offset: int = 0
    ) -> list[VM]:
        """VMs in the order of their creation: of one owner, of one plugin, or all."""
        return self._list(VM, "VM", owner, plugin, limit, offset)

    def deployments(self, *, limit: int | None = None, offset: int = 0) -> list[Deployment]:
        """Deployments in the order of their creation."""
        return self._list(Deployment, "Deployment", None, None, limit, offset)

    def plugins(self, *, limit: int | None = None, offset: int = 0) -> list[Plugin]:
        """Plugins in the order of their installation."""
        return self._list(Plugin, "Plugin", None, None, limit, offset)

    def keys(self, kind: Kind, *, plugin: str | None = None) -> list[Key]:
        """The keys of a kind, or of those made from one plugin, in the order of their creation. Reads no document."""
        names = self._select(*_query("name", kind, "ORDER BY seq", plugin=plugin))
        return [Key(kind, name) for (name,) in names]

    def uids(self, kind: Kind) -> set[Uid]:
        """The uids of a kind."""
        return {uid for (uid,) in self._select("SELECT uid FROM objects WHERE kind = ?", (kind,))}

    def count(self, kind: Kind, *, plugin: str | None = None, running: bool | None = None) -> int:
        """How many there are of a kind; made from one plugin; that are running, or are not."""
        return int(self._select(*_query("count(*)", kind, plugin=plugin, is_running=running))[0][0])

    def rows(
        self,
        asked: Filter,
        column: Column = "seq",
        *,
        is_descending: bool = False,
        after: Position | None = None,
        limit: int | None = None,
        offset: int = 0,
    ) -> list[tuple[Position, int]]:
        """Position in the order of `column`, and revision, of the objects that a filter lets through.

        Of those that stand after `after` the first `limit`, without `offset` of them. Reads no document.
        """
        bound = -1 if limit is None else limit
        return listing.rows(
            self._select, asked, column, is_descending=is_descending, after=after, limit=bound, offset=offset
        )

    def how_many(self, asked: Filter) -> int:
        """How many objects a filter lets through."""
        return listing.how_many(self._select, asked)

    def read_at(self, kind: Kind, column: Column, position: Position) -> Object | None:
        """The object of a kind at a position that `rows` gave, or None when it is gone."""
        return listing.read_at(self._select, kind, column, position)

    def revisions(self, uids: Sequence[Uid]) -> dict[Uid, int]:
        """The revision of each of those objects that is there. Reads no document."""
        return listing.revisions(self._select, uids)

    def tally(self, owner: Uid, *, template: str | None = None, ready_by: Instant = math.inf) -> Tally:
        """How many VMs an owner has, and in what state. Reads an index and no document.

        `template` tells those apart that are made of another one, `ready_by` those that have been ready since then.
        """
        *counted, others = self._select(_TALLY, (owner, template))[0]
        if not others and ready_by == math.inf:
            return Tally(*counted)
        # All of it again, because a count of another commit would not fit.
        return Tally(*self._select(_ROLLING, (owner, template, ready_by))[0])

    def owners(self) -> list[Uid]:
        """The uids that some VM is owned by, whether such an object is still there or not. Reads an index only."""
        return [uid for (uid,) in self._select(_OWNERS, ())]

    def events_after(self, revision: int, limit: int) -> list[Committed]:
        """At most `limit` (1 or more) of the events that follow `revision`, in order.

        Raises Gone (`details.oldest`: what may be resumed after) when the first of them is no longer kept, and Invalid
        for a revision that nobody was given yet.
        """
        return eventlog.events_after(self._select, revision, limit)

    def last_events(self, uid: Uid, limit: int) -> list[Committed]:
        """The last events of an object that is there, at most `limit` (1 or more), oldest first.

        Those that are still kept; of an object from before version 5 of the schema, those since.
        """
        return eventlog.last_events(self._select, uid, limit)

    def config_history(self, uid: Uid, limit: int | None = None) -> list[ConfigChange]:
        """What changed of a VM's config, newest first; the last entry says that it was created, unless it is cut."""
        return [history.entry(row) for row in self._select(history.SELECT, (uid, -1 if limit is None else limit))]

    def version(self, key: Key) -> tuple[Uid, int] | None:
        """Uid and revision of the object with that key, without reading the object; None when there is none."""
        rows = self._select("SELECT uid, revision FROM objects WHERE kind = ? AND name = ?", key)
        return (rows[0][0], rows[0][1]) if rows else None

    @contextmanager
    def snapshot(self) -> Iterator[int]:
        """Everything read inside is of one commit, whose last revision it gives (W1: list here, then watch from there).

        Not across an await: the state would grow old, and the write-ahead log could not be folded meanwhile.
        """
        self._select("BEGIN", ())
        try:
            yield int(self._select("SELECT revision FROM head", ())[0][0])
        finally:
            self._select("COMMIT", ())

    def _of(self, cls: type[Obj], kind: Kind, name: str) -> Obj:
        found = self.find(Key(kind, name))
        if not isinstance(found, cls):
            raise NotFound(kind, name)
        return found

    def _list(
        self, cls: type[Obj], kind: Kind, owner: Uid | None, plugin: str | None, limit: int | None, offset: int
    ) -> list[Obj]:
        sql, params = _query("doc", kind, "ORDER BY seq LIMIT ? OFFSET ?", owner_uid=owner, plugin=plugin)
        docs = self._select(sql, [*params, -1 if limit is None else max(limit, 0), max(offset, 0)])
        found = [decode(kind, doc) for (doc,) in docs]
        return [obj for obj in found if isinstance(obj, cls)]

    def _asked(self, ask: Callable[..., T], *arguments: object) -> T:
        try:
            return ask(self._reader.execute, *arguments)
        except DATABASE_ERRORS as error:
            raise Unavailable(f"cannot read: {meaning(error)}.") from error

    def _fetch(self, sql: str, params: Sequence[object]) -> list[Row]:
        try:
            return self._reader.execute(sql, params).fetchall()
        except DATABASE_ERRORS as error:
            raise Unavailable(f"cannot read: {meaning(error)}.") from error


def _query(what: str, kind: Kind, tail: str = "", **equal: object) -> tuple[str, list[object]]:
    """SQL for `what` of the objects of a kind whose columns are `equal`; those that are None do not matter."""
    asked = {column: value for column, value in equal.items() if value is not None}
    conditions = [f"AND {column} = ?" for column in asked]
    return " ".join(["SELECT", what, "FROM objects WHERE kind = ?", *conditions, tail]), [kind, *asked.values()]
