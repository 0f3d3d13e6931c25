"""From bytes to request Structs, or to an `Invalid` that lists every field that is wrong.

    bytes ──grammar──▶ builtins ──types──▶ request Struct
               │                     │
               └───── Invalid ───────┘   {"path": "/config/resources/vcpu", "message": "Expected `int` >= 1"}

Stricter than JSON readers usually are: a key given twice, an unknown field, NaN, a lone surrogate or a number beyond
every range is refused, because two readers would understand it differently. In one respect laxer: 47.0 is the integer
47, as JSON Schema has it. A path is a JSON pointer into the body; of a query parameter it is `?limit`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any, TypeVar
from urllib.parse import parse_qsl

import msgspec
from msgspec import Struct

from volant.errors import Invalid
from volant.model.misfits import MAX_ERRORS, FieldError, converted, escaped, field_error, field_errors

__all__ = ["MAX_ERRORS", "FieldError", "converted", "decode_body", "decode_query"]

S = TypeVar("S", bound=Struct)
Reading = Callable[[Any], Any]

_MOST_EXACT = 1 << 53
"""Beyond this, a float no longer names one integer."""


def decode_body(raw: bytes, cls: type[S], reading: Reading | None = None) -> S:
    """The body, after `reading` has spelt out what users may abridge, as `cls`. Raises Invalid."""
    value = _builtins(raw)
    return _convert(value if reading is None else reading(value), cls, is_strict=True)


def decode_query(raw: bytes, cls: type[S]) -> S:
    """The query string as `cls`. Raises Invalid, also for a parameter that is unknown or given twice."""
    try:
        pairs = parse_qsl(raw.decode(), keep_blank_values=True, errors="strict", max_num_fields=64)
    except ValueError:
        raise Invalid("cannot read the query string", fields=[field_error("?", "not valid")]) from None
    values = dict(pairs)
    if len(values) != len(pairs):
        raise _invalid([field_error(f"/{_first_repeated(pairs)}", "given twice")], is_query=True)
    return _convert(values, cls, is_strict=False)


def _convert(value: Any, cls: type[S], *, is_strict: bool) -> S:
    try:
        return msgspec.convert(value, cls, strict=is_strict)
    except msgspec.ValidationError:
        errors = list(islice(field_errors(value, cls, "", is_strict=is_strict), MAX_ERRORS))
    raise _invalid(errors, is_query=not is_strict)


def _invalid(errors: list[FieldError], *, is_query: bool) -> Invalid:
    shown = [field_error("?" + e["path"][1:], e["message"]) for e in errors] if is_query else errors
    first = shown[0]
    return Invalid(f"cannot accept {first['path'] or 'the body'}: {first['message']}", fields=shown)


class _Repeated(Exception):
    """Somewhere a key was given twice."""


class _Doubled(dict[str, Any]):
    """An object of which a key was given twice."""

    key: str


def _builtins(raw: bytes) -> Any:
    try:
        msgspec.json.decode(raw)  # The judge of the grammar: UTF-8, surrogates, ranges, what comes after the end.
        return _READER.decode(raw.decode())
    except _Repeated:
        raise _invalid(_repeated(raw), is_query=False) from None
    except RecursionError:
        raise Invalid("cannot read the body: nested too deeply", code="malformed_json") from None
    except (ValueError, msgspec.MsgspecError) as error:
        raise Invalid(f"cannot read the body as JSON: {error}", code="malformed_json") from None


def _repeated(raw: bytes) -> list[FieldError]:
    """Every key that was given twice. Read again with the places kept: to keep them costs more than reading does."""
    try:
        paths = islice(_doubled(_PLACES.decode(raw.decode()), ""), MAX_ERRORS)
        return [field_error(path, "given twice") for path in paths]
    except RecursionError:  # Newer interpreters decode deeper than Python functions can follow.
        return [field_error("", "a key is given twice")]


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        raise _Repeated
    return value


def _marked_object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) == len(pairs):
        return value
    doubled = _Doubled(value)
    doubled.key = _first_repeated(pairs)
    return doubled


def _first_repeated(pairs: list[tuple[str, Any]]) -> str:
    seen: set[str] = set()
    return next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]


def _number(text: str) -> float:
    number = float(text)
    return int(number) if number.is_integer() and abs(number) < _MOST_EXACT else number


# Made once: json.loads makes a decoder for each text that it is given hooks for.
_READER = json.JSONDecoder(object_pairs_hook=_object, parse_float=_number)
_PLACES = json.JSONDecoder(object_pairs_hook=_marked_object, parse_float=_number)


def _doubled(value: Any, path: str) -> Iterator[str]:
    if isinstance(value, _Doubled):
        yield f"{path}/{escaped(value.key)}"
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, part in inner:
        if isinstance(part, dict | list):
            yield from _doubled(part, f"{path}/{escaped(str(key))}")
