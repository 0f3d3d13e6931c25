"""One request, described: what is sent, and how its answer is read. Without I/O, so both clients share it.

    operations ──▶ Call ──aio or blocking──▶ Answer ──Call.read──▶ a Struct of the model
                                               └──failure──▶ ApiError

Everything goes to the one address that the client was given: a path is made here or is the `Link` of a list, which is
checked to be one; redirects are never followed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Generic, NamedTuple, TypeVar, cast
from urllib.parse import quote

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from volant.client.failures import ApiError, How, NoAnswer, NotReached

T = TypeVar("T")

BASE = "/api/v1"
_LINK = re.compile(r'<(/api/v1/[^<>"\\\s]*)>; rel="next"')


class Answer(NamedTuple):
    """What came back. Header names are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Call(Struct, Generic[T], frozen=True, kw_only=True):
    """One request. `read` makes of its answer what the caller gets.

    `is_keyed`: it is sent with an Idempotency-Key, `key` or a fresh one, and may be repeated. `bound_s`: how long the
    answer may take when that is longer than usual, None: as long as any. `revision`: that of the object which it was
    made for; at any other it is refused (412).
    """

    method: str
    path: str
    read: Callable[[Answer], T]
    query: Mapping[str, str] = {}
    body: bytes | None = None
    media: str = "application/json"
    is_keyed: bool = False
    key: str | None = None
    bound_s: float | None = None
    revision: int | None = None

    def with_key(self, fresh: Callable[[], str]) -> Call[T]:
        """The same, with a key if it is to have one."""
        return replace(self, key=fresh()) if self.is_keyed and self.key is None else self

    @property
    def headers(self) -> dict[str, str]:
        """What is sent besides the client's own headers."""
        said = {} if self.body is None else {"content-type": self.media}
        if self.revision is not None:
            said["if-match"] = f'"{self.revision}"'
        return said if self.key is None else {**said, "idempotency-key": self.key}

    def may_repeat(self, error: NoAnswer | ApiError) -> bool:
        """Whether to send it again: nothing can be done twice by it, and it may succeed the next time."""
        is_safe = self.method == "GET" or self.key is not None
        return is_safe and (isinstance(error, NoAnswer) or error.is_passing)


class Page(Struct, Generic[T], frozen=True):
    """Part of a list. `revision`: from where to watch; `following`: the path of the next page, with its query."""

    items: list[T]
    total: int
    revision: int
    following: str | None


def outcome(call: Call[T], answer: Answer) -> T:
    """What the caller gets. Raises ApiError, and NoAnswer for what cannot be understood."""
    if not 200 <= answer.status < 300:
        raise failure(answer)
    try:
        return call.read(answer)
    except (msgspec.MsgspecError, ValueError) as error:
        raise NoAnswer(f"cannot understand the answer to {call.method} {call.path}: {error}") from error


def failure(answer: Answer) -> ApiError:
    """The error of an answer, whoever made it: a proxy may stand between."""
    try:
        said = msgspec.json.decode(answer.body)
        details = said.get("details")
        return ApiError(
            answer.status,
            str(said["code"]),
            str(said["error"]),
            details=details if isinstance(details, dict) else {},
            request_id=str(said.get("request_id", "")),
        )
    except (msgspec.MsgspecError, UnicodeDecodeError, AttributeError, KeyError, TypeError):
        message = f"cannot understand an answer of status {answer.status}: it is not one of Volant"
        return ApiError(answer.status, "not_volant", message)


def shown(kind: type[T]) -> Callable[[Answer], T]:
    """Reads one object."""
    decoder = msgspec.json.Decoder(kind)
    return lambda answer: decoder.decode(answer.body)


def maybe(kind: type[T]) -> Callable[[Answer], T | None]:
    """Reads one object, or None from an answer without a body."""
    read = shown(kind)
    return lambda answer: read(answer) if answer.body else None


def written(kind: type[T]) -> Callable[[Answer], T]:
    """Reads the object of a write. Raises NotReached when it did not get where it was waited for."""
    read = shown(kind)
    return lambda answer: _reached(answer, read(answer))


def removed(kind: type[T]) -> Callable[[Answer], T | None]:
    """Reads the answer to a delete: None when nothing of it is left, else the object on its way out."""
    read = maybe(kind)
    return lambda answer: _reached(answer, read(answer))


def page(of_all: Any, items: Callable[[Any], Sequence[T]]) -> Callable[[Answer], Page[T]]:
    """Reads a page whose body is an `of_all`, in which `items` finds the objects."""
    decoder = msgspec.json.Decoder(of_all)

    def read(answer: Answer) -> Page[T]:
        found = list(items(decoder.decode(answer.body)))
        total, revision = (int(answer.headers.get(name, "0")) for name in ("x-total-count", "volant-revision"))
        link = answer.headers.get("link")
        following = _LINK.fullmatch(link) if link else None
        if link and following is None:
            raise ValueError(f"expected the next page of this list, got {link!r}")
        return Page(found, total, revision, following[1] if following else None)

    return read


def at(*steps: str) -> str:
    """A path below /api/v1. Whatever is in a step stays in it, dots too, which would otherwise lead elsewhere."""
    return "/".join((BASE, *(quote(step, safe="").replace(".", "%2E") or "%20" for step in steps)))


def asked(**query: Any) -> dict[str, str]:
    """A query without what is None; True and False as the API writes them, a trailing `_` taken off names."""
    return {name.rstrip("_"): _word(value) for name, value in query.items() if value is not None}


def _word(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return value if isinstance(value, str) else ",".join(value) if isinstance(value, tuple) else f"{value}"


def _reached(answer: Answer, found: T) -> T:
    how = answer.headers.get("volant-wait")
    if how in ("timeout", "failed", "stopping"):
        raise NotReached(cast("How", how), found)
    return found
