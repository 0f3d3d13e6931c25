"""The three ways through a list, by what it is sorted by and which page of it is asked for.

    by created_at or name        from any position on; a page needs nothing but its token
    by what may change, first    everything is looked at, and the order found is kept for the next pages
    by what may change, later    the kept order, from a place in it on

Each says what to walk through, and cuts the page out of what was found there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

from msgspec import UNSET, UnsetType

from volant.api.orders import Orders
from volant.api.pages import Cursor, not_ours
from volant.api.walk import ByColumn, ByOrder, Item, Shelf, Walk
from volant.clock import Uid, UidFactory
from volant.model.objects import Object
from volant.store import Column, Filter, Position, Store

O = TypeVar("O", bound=Object)  # noqa: E741 -- because it stands for Object

COLUMNS: Mapping[str, Column] = {"created_at": "seq", "name": "name"}
"""What stays as it is as long as the object is there: a position in such an order is a place to go on from."""


class Asked(NamedTuple, Generic[O]):
    """What a list is asked for, and where it is taken from."""

    store: Store
    filter: Filter
    shelf: Shelf[O]
    is_wanted: Callable[[O], bool] | None
    is_descending: bool
    limit: int | None
    offset: int
    cursor: Cursor | None


class Page(NamedTuple, Generic[O]):
    """The items of a page, how many there are on all pages, and where the next one begins: None at the end."""

    items: list[Item[O]]
    total: int
    last: Position | None
    order: str = ""


class Way(Protocol[O]):
    """One of the three."""

    walk: Walk[O]

    def cut(self) -> Page[O]:
        """The page, once the walk is done."""


class Columns(Generic[O]):
    """By what does not change. Without a condition only the page itself is looked at."""

    def __init__(self, asked: Asked[O], column: Column) -> None:
        self._asked = asked
        after = None if asked.cursor is None else asked.cursor.position
        if after is not None and isinstance(after, int) != (column == "seq"):
            raise not_ours()
        self._after = after
        is_whole = asked.is_wanted is not None
        source = ByColumn(
            asked.store,
            asked.filter,
            column,
            is_descending=asked.is_descending,
            after=None if is_whole else after,
            offset=0 if is_whole else asked.offset,
        )
        want = None if is_whole or asked.limit is None else asked.limit + 1
        self.walk = Walk(source, asked.shelf, asked.is_wanted, want)
        is_all = is_whole or (want is None and after is None and not asked.offset)
        self._total = None if is_all else asked.store.how_many(asked.filter)

    def cut(self) -> Page[O]:
        """What is on the page and was found."""
        found, asked = self.walk.found, self._asked
        total = len(found) if self._total is None else self._total
        if asked.is_wanted is not None:
            found = found[asked.offset :] if self._after is None else [f for f in found if self._is_beyond(f[0])]
        return _page(found, asked.limit, total)

    def _is_beyond(self, position: Any) -> bool:
        return bool(position < self._after if self._asked.is_descending else position > self._after)


class Values(Generic[O]):
    """By what may change, the first page: equal values in the order of creation."""

    def __init__(self, asked: Asked[O], value: Callable[[O], Any], orders: Orders, uids: UidFactory) -> None:
        self._asked, self._value, self._orders, self._uids = asked, value, orders, uids
        self.walk = Walk(ByColumn(asked.store, asked.filter, "seq"), asked.shelf, asked.is_wanted, None)

    def cut(self) -> Page[O]:
        """What is on the page of everything found; its order is kept when there is another."""
        value, asked = self._value, self._asked
        items = [item for _, item in self.walk.found]
        items.sort(key=lambda item: _nothing_first(value(item.obj)))
        if asked.is_descending:
            items.reverse()
        page = _page(list(enumerate(items))[asked.offset :], asked.limit, len(items))
        return page if page.last is None else page._replace(order=self._keep(items))

    def _keep(self, items: list[Item[O]]) -> str:
        name = self._uids()
        self._orders.keep(name, tuple(item.obj.meta.uid for item in items))
        return name


class Continued(Generic[O]):
    """By what may change, a later page: what the first one found, as long as it is there and still wanted."""

    def __init__(self, asked: Asked[O], cursor: Cursor, orders: Orders) -> None:
        if not isinstance(cursor.position, int):
            raise not_ours()
        self._asked, self._name = asked, cursor.order
        self._order: tuple[Uid, ...] = orders.of(cursor.order)
        source = ByOrder(asked.store, self._order, cursor.position + 1)
        want = None if asked.limit is None else asked.limit + 1
        self.walk = Walk(source, asked.shelf, asked.is_wanted, want)

    def cut(self) -> Page[O]:
        """What is on the page."""
        return _page(self.walk.found, self._asked.limit, len(self._order))._replace(order=self._name)


def _page(found: Sequence[tuple[Position, Item[O]]], limit: int | None, total: int) -> Page[O]:
    page = found if limit is None else found[:limit]
    last = page[-1][0] if page and len(page) < len(found) else None
    return Page([item for _, item in page], total, last)


def _nothing_first(value: Any) -> tuple[bool, Any]:
    """What is not there has no order among values, so it stands before them."""
    return (value is not None, value)


def limit_of(limit: int | UnsetType) -> int | None:
    """None where everything is asked for."""
    return None if limit is UNSET else limit
