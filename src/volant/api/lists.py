"""Lists: bare arrays, whole unless `limit` says otherwise, read without holding everybody else up.

A short list is read from one commit, whose revision the answer names: watching from there misses nothing and shows
nothing twice (W1). A long one would stop every other request while it is decoded, so it is read slice by slice: its
names are of one commit, each object is of that one or a later, and watching from there still misses nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar, cast

from msgspec import UNSET

from volant.api.call import Answer, Call
from volant.model.meta import Key, Kind
from volant.model.objects import Object
from volant.model.queries import Page

T = TypeVar("T")
O = TypeVar("O", bound=Object)  # noqa: E741 -- because it stands for Object

SLICE = 128
"""Objects between two turns of the loop: two or three milliseconds."""


async def listed(
    call: Call,
    kind: Kind,
    page: Page,
    show: Callable[[O], bytes],
    *,
    plugin: str | None = None,
    is_wanted: Callable[[O], bool] | None = None,
) -> Answer:
    """One page of a kind, in the order of creation. `show` gives the JSON of one object.

    With `is_wanted` every object has to be looked at; without, those of the page only.
    """
    store = call.store

    def read(keys: Sequence[Key]) -> list[O]:
        found = [cast("O | None", store.find(key)) for key in keys]
        return [obj for obj in found if obj is not None and (is_wanted is None or is_wanted(obj))]

    with store.snapshot() as revision:
        keys = store.keys(kind, plugin=plugin)
        asked = keys if is_wanted else part(keys, page)
        found = read(asked[:SLICE])
        shown = [show(obj) for obj in found] if is_wanted is None else []
    for at in range(SLICE, len(asked), SLICE):
        await call.deps.clock.sleep(0)
        more = read(asked[at : at + SLICE])
        if is_wanted is None:
            shown += [show(obj) for obj in more]
        else:
            found += more
    if is_wanted is None:
        return _array(shown, len(keys), revision)
    return _array([show(obj) for obj in part(found, page)], len(found), revision)


def part(items: list[T], page: Page) -> list[T]:
    """What the page asks for."""
    return items[page.offset :] if page.limit is UNSET else items[page.offset : page.offset + page.limit]


def counted(total: int, revision: int) -> tuple[tuple[bytes, bytes], ...]:
    """The headers of a list: how many there are on all its pages, and where to watch from."""
    return ((b"x-total-count", b"%d" % total), (b"volant-revision", b"%d" % revision))


def _array(shown: list[bytes], total: int, revision: int) -> Answer:
    return Answer(200, b"[" + b",".join(shown) + b"]", counted(total, revision))
