"""Objects as rows: which columns stand beside a document, and the look-ups that readers and jobs share."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec

from volant.clock import Instant, Uid
from volant.errors import NotFound, VolantError
from volant.model.deployment import Deployment
from volant.model.meta import Key, Kind
from volant.model.objects import Object, decode, encode
from volant.model.rollout import Revision
from volant.model.vm import VM, is_ready, ready_since, status_word
from volant.store import revisions
from volant.store.database import Row
from volant.store.values import Child

Select = Callable[[str, Sequence[object]], list[Row]]

INSERT = (
    "INSERT INTO objects (kind, name, uid, revision, generation, owner_uid, plugin, is_running, is_ready, is_deleting, "
    "ready_since, template, doc) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
# Only the columns that can change are set, because each named column costs the indexes that hold it.
UPDATE = (
    "UPDATE objects SET revision = ?, generation = ?, is_running = ?, is_ready = ?, is_deleting = ?, "
    "ready_since = ?, doc = ? WHERE uid = ?"
)
SET_PLUGIN = "UPDATE objects SET plugin = ? WHERE uid = ?"
DELETE = "DELETE FROM objects WHERE uid = ?"

_FIND = "SELECT doc FROM objects WHERE kind = ? AND name = ?"
_FIND_UID = "SELECT kind, doc FROM objects WHERE uid = ?"
_USING = "SELECT name FROM objects WHERE plugin = ? AND kind = ? ORDER BY seq"
_CHILDREN = (
    "SELECT name, uid, revision, is_running, is_ready, is_deleting, template, ready_since "
    "FROM objects INDEXED BY objects_children WHERE owner_uid = ? ORDER BY seq"
)


class Columns(msgspec.Struct, frozen=True):
    """What a row says about its document, so that looking up and counting need not read it."""

    revision: int
    generation: int
    owner_uid: Uid | None
    plugin: str | None
    is_running: bool
    is_ready: bool
    is_deleting: bool
    ready_since: Instant | None


def columns(obj: Object) -> Columns:
    """The one place where a document and its columns are held together."""
    meta = obj.meta
    vm = obj if isinstance(obj, VM) else None
    return Columns(
        meta.revision,
        meta.generation,
        meta.owner.uid if meta.owner else None,
        plugin_of(obj),
        vm is not None and status_word(vm) == "running",
        vm is not None and is_ready(vm),
        meta.is_deleting,
        ready_since(vm) if vm is not None else None,
    )


def plugin_of(obj: Object) -> str | None:
    """The plugin that the object is made from."""
    return obj.spec.plugin if isinstance(obj, (VM, Deployment)) else None


def template_of(obj: Object) -> str | None:
    """The digest of the template that a VM was made of."""
    return obj.spec.template if isinstance(obj, VM) else None


def address_of(obj: Object) -> str | None:
    """The address that the object holds."""
    return obj.spec.address if isinstance(obj, VM) else None


def insert_row(obj: Object) -> tuple[object, ...]:
    """The parameters of INSERT."""
    c = columns(obj)
    flags = (c.is_running, c.is_ready, c.is_deleting, c.ready_since, template_of(obj))
    return (*obj.meta.key, obj.meta.uid, c.revision, c.generation, c.owner_uid, c.plugin, *flags, readable(obj))


def update_row(obj: Object) -> tuple[object, ...]:
    """The parameters of UPDATE."""
    c = columns(obj)
    flags = (c.is_running, c.is_ready, c.is_deleting, c.ready_since)
    return (c.revision, c.generation, *flags, readable(obj), obj.meta.uid)


def readable(obj: Object) -> bytes:
    """The document, read back once: one that cannot be read must not reach the disk. Raises VolantError."""
    try:
        doc = encode(obj)
        if decode(obj.meta.kind, doc) == obj:
            return doc
        reason = "it reads back as another"
    except (msgspec.MsgspecError, TypeError, ValueError) as error:
        reason = str(error)
    raise VolantError(f"cannot store {obj.meta.kind} {obj.meta.name}: {reason}", code="unreadable")


class Rows:
    """Look-ups by key, uid, owner and plugin over one connection."""

    def __init__(self, select: Select) -> None:
        self._select = select

    def find(self, key: Key) -> Object | None:
        """The object with that key, or None."""
        rows = self._select(_FIND, key)
        return decode(key[0], rows[0][0]) if rows else None

    def get(self, key: Key) -> Object:
        """The object with that key. Raises NotFound."""
        rows = self._select(_FIND, key)
        if not rows:
            raise NotFound(*key)
        return decode(key[0], rows[0][0])

    def find_uid(self, uid: Uid) -> Object | None:
        """The object with that uid, or None."""
        rows = self._select(_FIND_UID, (uid,))
        return decode(*rows[0]) if rows else None

    def children(self, owner: Uid) -> list[Child]:
        """The VMs of an owner in the order of their creation. Reads an index and no document."""
        return [
            Child(name, uid, revision, running == 1, ready == 1, deleting == 1, template, since)
            for name, uid, revision, running, ready, deleting, template, since in self._select(_CHILDREN, (owner,))
        ]

    def templates(self, deployment: Deployment) -> list[Revision]:
        """The templates that it has and had, newest first; the first one is its own."""
        found = [revisions.entry(row) for row in self._select(revisions.SELECT, (deployment.meta.uid,))]
        return found or [revisions.first(deployment)]

    def template_number(self, uid: Uid) -> int:
        """The number of the template that a deployment has."""
        return int(self._select(revisions.LAST, (uid,))[0][0])

    def _names_using(self, plugin: str, kind: Kind) -> list[str]:
        return [name for (name,) in self._select(_USING, (plugin, kind))]
