"""Lists: bare arrays, whole unless `limit` says otherwise, read without holding everybody else up.

    query ──ordering──▶ walk ──▶ page ──▶ JSON, and headers that say where to go on

What has been encoded before is not read again. A list that needs one turn of the loop only is of one commit, whose
revision the answer names: watching from there misses nothing and shows nothing twice (W1). A longer one is read in
several turns: each object is of that commit or of a later one, and watching from there still misses nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from msgspec import UNSET, Struct, UnsetType

from volant.api import pages
from volant.api.call import Answer, Call
from volant.api.fields import chosen, media_of
from volant.api.ordering import COLUMNS, Asked, Columns, Continued, Page, Values, Way, limit_of
from volant.api.walk import Shelf
from volant.errors import Invalid
from volant.model.objects import Object
from volant.model.queries import ListQuery
from volant.model.selectors import Selector, parse
from volant.store import Filter

O = TypeVar("O", bound=Object)  # noqa: E741 -- because it stands for Object

CUT_PER_TURN = 1024
"""Objects whose wanted fields are cut out between two turns of the loop: a millisecond or two."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing(Generic[O]):
    """One kind's list: which objects, what shows them, and what else than name and creation they may be sorted by.

    `view` is what `fields` are of; `is_wanted` a condition on the objects; `frame` stands around them.
    """

    filter: Filter
    shelf: Shelf[O]
    view: type[Struct]
    values: Mapping[str, Callable[[O], Any]]
    is_wanted: Callable[[O], bool] | None = None
    frame: tuple[bytes, bytes] = (b"[", b"]")


async def listed(call: Call, query: ListQuery, sort: str, listing: Listing[O]) -> Answer:
    """One page. Raises Invalid, with the parameter that is wrong, and Gone for a page that cannot be continued."""
    cut_out = chosen(query.fields, listing.view)
    is_wanted = _both(listing.is_wanted, selector_of(query.label_selector))
    cursor = pages.opened(call, query)
    with call.store.snapshot() as now:
        revision = pages.first_revision(call, cursor, now)
        way = _way(call, query, sort, listing, is_wanted, cursor)
        way.walk.stretch()
        page = way.cut() if way.walk.is_done else None
        shown = [item.body for item in page.items[: listing.shelf.per_turn]] if page else []
    page = page or await _walked(call, way)
    await _show(call, page, listing.shelf.per_turn, shown)
    if cut_out is not None:
        shown = await _cut(call, cut_out, shown)
    token = None if page.last is None else pages.sealed(call, query, pages.Cursor(revision, page.last, page.order))
    more = pages.headers(call, page.total, revision, token)
    return Answer(200, _framed(shown, *listing.frame), more, media_of(query.fields))


async def _walked(call: Call, way: Way[O]) -> Page[O]:
    """The page, when it takes more than one stretch to find it."""
    while not way.walk.is_done:
        await call.deps.clock.sleep(0)
        way.walk.stretch()
    return way.cut()


async def _show(call: Call, page: Page[O], per_turn: int, shown: list[bytes]) -> None:
    """What is on the page beyond what is shown already."""
    while len(shown) < len(page.items):
        await call.deps.clock.sleep(0)
        shown += [item.body for item in page.items[len(shown) : len(shown) + per_turn]]


def selector_of(text: str | UnsetType) -> Selector | None:
    """The selector of `?label_selector`. Raises Invalid."""
    if text is UNSET:
        return None
    try:
        return parse(text)
    except ValueError as error:
        message = str(error)
        raise Invalid(
            f"cannot accept ?label_selector: {message}", fields=[{"path": "?label_selector", "message": message}]
        ) from None


def _way(
    call: Call,
    query: ListQuery,
    sort: str,
    listing: Listing[O],
    is_wanted: Callable[[O], bool] | None,
    cursor: pages.Cursor | None,
) -> Way[O]:
    asked = Asked(
        store=call.store,
        filter=listing.filter,
        shelf=listing.shelf,
        is_wanted=is_wanted,
        is_descending=query.order == "desc",
        limit=limit_of(query.limit),
        offset=query.offset,
        cursor=cursor,
    )
    column, orders = COLUMNS.get(sort), call.context.orders
    if column is not None:
        return Columns(asked, column)
    if cursor is not None:
        return Continued(asked, cursor, orders)
    return Values(asked, listing.values[sort], orders, call.deps.uids)


def _both(first: Callable[[O], bool] | None, selector: Selector | None) -> Callable[[O], bool] | None:
    if selector is None or not selector.requirements:
        return first
    matches = selector.matches
    if first is None:
        return lambda obj: matches(obj.meta.labels)
    return lambda obj: first(obj) and matches(obj.meta.labels)


def _framed(bodies: list[bytes], opening: bytes, closing: bytes) -> bytes:
    if not bodies:
        return opening + closing
    # The frame goes onto the members, because around the whole it would copy megabytes once more.
    bodies[0] = opening + bodies[0]
    bodies[-1] += closing
    return b",".join(bodies)


async def _cut(call: Call, cut_out: Callable[[bytes], bytes], bodies: list[bytes]) -> list[bytes]:
    parts = [cut_out(body) for body in bodies[:CUT_PER_TURN]]
    while len(parts) < len(bodies):
        await call.deps.clock.sleep(0)
        parts += [cut_out(body) for body in bodies[len(parts) : len(parts) + CUT_PER_TURN]]
    return parts
