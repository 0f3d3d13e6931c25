"""Pages of a list: where one ends, and how the next is asked for.

    Link: </api/v1/vms?limit=100&continue=…>; rel="next"

The token names a place in an order, not a number of objects, so what comes and goes before it moves nothing. It stands
for the revision of the first page too: watching from there misses nothing that any page did not show, and when the
event log no longer reaches that far, the token is refused rather than honoured in part. The daemon keeps nothing for
it, unless the list is sorted by what may change: then the order is that of the first page, and `orders` has it.

A token is not a secret and gives no rights. Its check tells one that was cut or is of another list.
"""

from __future__ import annotations

import base64
import hashlib
from typing import Annotated
from urllib.parse import parse_qsl, urlencode

import msgspec
from msgspec import UNSET, Struct
from msgspec import Meta as Constraint

from volant.api.call import Call, Headers, kept_since
from volant.errors import Gone, Invalid
from volant.model.queries import ListQuery

_NOT_OF_THE_LIST = frozenset(("limit", "offset", "after", "fields"))
_CHECK_BYTES = 8

Number = Annotated[int, Constraint(ge=0, le=1 << 53)]


class Cursor(Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """After which position the page begins, and the revision of the first page. `order` is the id of a kept order."""

    revision: Number
    position: Number | Annotated[str, Constraint(max_length=63)]
    order: Annotated[str, Constraint(max_length=64)] = ""


def opened(call: Call, query: ListQuery) -> Cursor | None:
    """The cursor of a page that is not the first. Raises Invalid for a token that is not of this list."""
    if query.after is UNSET:
        return None
    if query.offset:
        raise _refused("?offset", "cannot be combined with `continue`, which says where to begin")
    try:
        raw = base64.b64decode(query.after + "=" * (-len(query.after) % 4), b"-_", validate=True)
        check, payload = raw[:_CHECK_BYTES], raw[_CHECK_BYTES:]
        if check != _check(call, query, payload):
            raise ValueError
        return msgspec.msgpack.decode(payload, type=Cursor)
    except (ValueError, msgspec.MsgspecError):
        raise not_ours() from None


def sealed(call: Call, query: ListQuery, cursor: Cursor) -> str:
    """The token of a cursor, for this list only."""
    payload = msgspec.msgpack.encode(cursor)
    return base64.urlsafe_b64encode(_check(call, query, payload) + payload).rstrip(b"=").decode()


def first_revision(call: Call, cursor: Cursor | None, now: int) -> int:
    """The revision of the first page, which may be this one.

    Raises Gone when the event log does not reach it any more, Invalid when it is yet to come.
    """
    if cursor is None:
        return now
    if cursor.revision > now:
        raise not_ours()
    oldest = call.store.oldest_event
    if cursor.revision < oldest:
        raise Gone(
            f"cannot continue a list begun at revision {cursor.revision}: events up to {oldest} are no longer kept. "
            "Begin again without `continue`",
            code="page_expired",
            details={"oldest": oldest, "asked": cursor.revision},
        )
    return cursor.revision


def headers(call: Call, total: int, revision: int, token: str | None) -> Headers:
    """How many there are on all pages, where to watch from and until when, and where the next page is."""
    counted = ((b"x-total-count", b"%d" % total), (b"volant-revision", b"%d" % revision))
    found = (*counted, kept_since(call.store))
    return found if token is None else (*found, (b"link", b'<%s>; rel="next"' % _next(call, token)))


def not_ours() -> Invalid:
    """What a token is refused with that this daemon did not give for this list."""
    return _refused("?continue", "is not a token of this list. Take it from `Link`, with every other parameter")


def _next(call: Call, token: str) -> bytes:
    asked = parse_qsl(call.scope["query_string"].decode(), keep_blank_values=True)
    kept = [(name, value) for name, value in asked if name not in ("continue", "offset")]
    return f"{call.scope['path']}?{urlencode([*kept, ('continue', token)])}".encode()


def _check(call: Call, query: ListQuery, payload: bytes) -> bytes:
    """Of the token and everything that makes the list what it is, but not how much of it is asked for."""
    parameters = {name: value for name, value in _given(query).items() if name not in _NOT_OF_THE_LIST}
    bound = msgspec.json.encode([call.scope["path"], parameters], order="sorted")
    return hashlib.blake2b(payload + bound, digest_size=_CHECK_BYTES).digest()


def _given(query: ListQuery) -> dict[str, object]:
    return {name: value for name, value in msgspec.structs.asdict(query).items() if value is not UNSET}


def _refused(path: str, message: str) -> Invalid:
    return Invalid(f"cannot accept {path}: {message}", fields=[{"path": path, "message": message}])
