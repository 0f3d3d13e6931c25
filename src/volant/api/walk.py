"""Walking through the objects of a list, a stretch at a time.

    source ──(position, revision)──▶ shelf, or else the store ──wanted?──▶ found

A stretch is what may be done before others get their turn: a thousand objects that are at hand, or a few dozen that
have to be read. Rows come from the store piece by piece, each beginning after the last position of the one before, so
a walk of many stretches meets everything that is there throughout, and nothing twice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar, cast

from volant.clock import Uid
from volant.model.objects import Object
from volant.store import Column, Filter, Position, Store

O = TypeVar("O", bound=Object)  # noqa: E741 -- because it stands for Object
O_co = TypeVar("O_co", bound=Object, covariant=True)

CHUNK = 1024
"""Rows fetched at once: with what is done with each, a millisecond or two."""

SLICE = 64
"""Objects read in one stretch: a millisecond or two."""


class Item(Protocol[O_co]):
    """An object and its JSON."""

    @property
    def obj(self) -> O_co:
        """The object."""

    @property
    def body(self) -> bytes:
        """Its JSON."""


class Shelf(Protocol[O]):
    """Where a list takes objects and their JSON from."""

    @property
    def per_turn(self) -> int:
        """How many bodies may be taken between two turns of the loop."""

    def at(self, revision: int) -> Item[O] | None:
        """What was written at that revision, if it is at hand."""

    def keep(self, obj: O) -> Item[O]:
        """What has just been read."""


class Fresh(Generic[O]):
    """A shelf with nothing on it: every object is read, and drawn when its body is asked for."""

    per_turn = 64

    def __init__(self, draw: Callable[[O], bytes]) -> None:
        self._draw = draw

    def at(self, revision: int) -> None:
        """Nothing is at hand."""

    def keep(self, obj: O) -> Item[O]:
        """The object, to be drawn."""
        return _Drawing(obj, self._draw)


@dataclass(frozen=True, slots=True)
class _Drawing(Generic[O]):
    obj: O
    draw: Callable[[O], bytes]

    @property
    def body(self) -> bytes:
        return self.draw(self.obj)


class Source(Protocol):
    """The rows of a list in its order."""

    def fetch(self, count: int) -> tuple[list[tuple[Position, int]], bool]:
        """Position and revision of the next `count` at most, and whether these are the last."""

    def read(self, position: Position) -> Object | None:
        """The object at a position, or None when it has gone."""


class ByColumn:
    """In the order of creation or of names, after a position."""

    def __init__(
        self,
        store: Store,
        asked: Filter,
        column: Column,
        *,
        is_descending: bool = False,
        after: Position | None = None,
        offset: int = 0,
    ) -> None:
        self._store, self._asked, self._column = store, asked, column
        self._is_descending, self._after, self._offset = is_descending, after, offset

    def fetch(self, count: int) -> tuple[list[tuple[Position, int]], bool]:
        """The next rows."""
        rows = self._store.rows(
            self._asked,
            self._column,
            is_descending=self._is_descending,
            after=self._after,
            limit=count,
            offset=self._offset,
        )
        if rows:
            self._after, self._offset = rows[-1][0], 0
        return rows, len(rows) < count

    def read(self, position: Position) -> Object | None:
        """The object there."""
        return self._store.read_at(self._asked.kind, self._column, position)


class ByOrder:
    """In an order that is given: positions are places in it, from `begin` on. Passes over what has gone."""

    def __init__(self, store: Store, order: Sequence[Uid], begin: int) -> None:
        self._store, self._order, self._begin = store, order, begin

    def fetch(self, count: int) -> tuple[list[tuple[Position, int]], bool]:
        """The next rows."""
        begin, self._begin = self._begin, self._begin + count
        uids = self._order[begin : self._begin]
        found = self._store.revisions(uids)
        rows: list[tuple[Position, int]] = [(at, found[uid]) for at, uid in enumerate(uids, begin) if uid in found]
        return rows, self._begin >= len(self._order)

    def read(self, position: Position) -> Object | None:
        """The object there."""
        return self._store.find_uid(self._order[cast("int", position)])


class Walk(Generic[O]):
    """Collects in `found` what is wanted, with its position, until there are `want` (None: until the end)."""

    def __init__(
        self, source: Source, shelf: Shelf[O], is_wanted: Callable[[O], bool] | None, want: int | None
    ) -> None:
        self.found: list[tuple[Position, Item[O]]] = []
        self.is_done = False
        self._source, self._shelf, self._is_wanted, self._want = source, shelf, is_wanted, want
        self._rows: Iterator[tuple[Position, int]] = iter(())
        self._is_last = False

    def stretch(self) -> None:
        """What may be done in one turn of the loop."""
        read_before = self._through()
        if read_before or self.is_done:
            return
        if self._is_last:
            self.is_done = True
            return
        rows, self._is_last = self._source.fetch(self._count())
        self._rows = iter(rows)
        self.is_done = not self._through() and (self.is_done or self._is_last)

    def _count(self) -> int:
        # With a condition nobody knows how many rows it takes to find that many.
        return CHUNK if self._want is None or self._is_wanted else min(CHUNK, self._want - len(self.found))

    def _through(self) -> bool:
        """Go through the rows at hand; whether it was left because so many had to be read."""
        at, keep, is_wanted, found, left = self._shelf.at, self._shelf.keep, self._is_wanted, self.found, SLICE
        for position, revision in self._rows:
            item = at(revision)
            if item is None:
                obj = self._source.read(position)
                left -= 1
                if obj is None:
                    continue
                item = keep(cast("O", obj))
            if is_wanted is None or is_wanted(item.obj):
                found.append((position, item))
                if len(found) == self._want:
                    self.is_done = True
                    return False
            if not left:
                return True
        return False
