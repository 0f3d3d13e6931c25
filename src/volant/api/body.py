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
import re
from collections.abc import Callable, Iterator
from difflib import get_close_matches
from itertools import islice
from types import UnionType
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin
from urllib.parse import parse_qsl

import msgspec
from msgspec import Struct

from volant.errors import Invalid
from volant.model.meta import Misfit

S = TypeVar("S", bound=Struct)
FieldError = dict[str, str]
Reading = Callable[[Any], Any]

MAX_ERRORS = 32
"""Found lazily, so that a body made of mistakes costs no more than this many."""

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
        raise Invalid("cannot read the query string", fields=[_error("?", "not valid")]) from None
    values = dict(pairs)
    if len(values) != len(pairs):
        raise _invalid([_error(f"/{_first_repeated(pairs)}", "given twice")], is_query=True)
    return _convert(values, cls, is_strict=False)


def _convert(value: Any, cls: type[S], *, is_strict: bool) -> S:
    try:
        return msgspec.convert(value, cls, strict=is_strict)
    except msgspec.ValidationError:
        errors = list(islice(_field_errors(value, cls, "", is_strict=is_strict), MAX_ERRORS))
    raise _invalid(errors, is_query=not is_strict)


def _invalid(errors: list[FieldError], *, is_query: bool) -> Invalid:
    shown = [_error("?" + e["path"][1:], e["message"]) for e in errors] if is_query else errors
    first = shown[0]
    return Invalid(f"cannot accept {first['path'] or 'the body'}: {first['message']}", fields=shown)


def _error(path: str, message: str) -> FieldError:
    return {"path": path, "message": message}


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
        return [_error(path, "given twice") for path in islice(_doubled(_PLACES.decode(raw.decode()), ""), MAX_ERRORS)]
    except RecursionError:  # Newer interpreters decode deeper than Python functions can follow.
        return [_error("", "a key is given twice")]


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
        yield f"{path}/{_escape(value.key)}"
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, part in inner:
        if isinstance(part, dict | list):
            yield from _doubled(part, f"{path}/{_escape(str(key))}")


def _field_errors(value: Any, expected: Any, path: str, *, is_strict: bool) -> Iterator[FieldError]:
    """Everything wrong with `value`, which is known not to convert. The converter itself stops at the first."""
    struct, members = _struct_in(expected), _members_of(expected)
    found = False
    inner: Iterator[FieldError] = iter(())
    if isinstance(value, dict) and struct is not None:
        inner = _parts_errors(value, struct, path, is_strict=is_strict)
    elif isinstance(value, dict) and members is not None:
        inner = _members_errors(value, members, path, is_strict=is_strict)
    for error in inner:
        found = True
        yield error
    if not found:
        yield from _own_error(value, expected, path, is_strict=is_strict)


def _parts_errors(value: dict[str, Any], struct: type[Struct], path: str, *, is_strict: bool) -> Iterator[FieldError]:
    fields = {f.encode_name: f for f in msgspec.structs.fields(struct)}
    fixed: dict[str, str] = getattr(struct, "FIXED", {})
    for name in value:
        if name not in fields:
            close = get_close_matches(name, fields, 1)
            hint = f". Did you mean '{close[0]}'?" if close else ""
            yield _error(f"{path}/{_escape(name)}", fixed.get(name, f"unknown field{hint}"))
    for name, field in fields.items():
        if name in value:
            yield from _field_errors(value[name], field.type, f"{path}/{name}", is_strict=is_strict)
        elif field.required:
            yield _error(f"{path}/{name}", "missing")


def _members_errors(
    value: dict[str, Any], members: tuple[Any, Any], path: str, *, is_strict: bool
) -> Iterator[FieldError]:
    key_type, member_type = members
    for key, member in value.items():
        where = f"{path}/{_escape(key)}"
        yield from _own_error(key, key_type, where, is_strict=is_strict)
        yield from _own_error(member, member_type, where, is_strict=is_strict)


def _own_error(value: Any, expected: Any, path: str, *, is_strict: bool) -> Iterator[FieldError]:
    try:
        msgspec.convert(value, expected, strict=is_strict)
    except msgspec.ValidationError as error:
        message, where = _split(str(error))
        if isinstance(error.__cause__, Misfit):
            where += error.__cause__.path
        # Where it is deeper (in a list, say) the description of the whole would mislead.
        yield _error(path + where, message if where else _in_words(message, expected, value))


_MESSAGE = re.compile(r"(?P<message>.*?)(?: - at `(?:key` in `)?\$(?P<where>[^`]*)`)?", re.DOTALL)


def _split(text: str) -> tuple[str, str]:
    """A message of msgspec: what is wrong, and a JSON pointer to where."""
    match = _MESSAGE.fullmatch(text)
    if match is None:  # pragma: no cover  the pattern takes any text
        return text, ""
    where = re.sub(r"\[(\d+)\]", r"/\1", (match["where"] or "").replace("[...]", ""))
    return match["message"], where.replace(".", "/")


def _in_words(message: str, expected: Any, value: Any) -> str:
    """`message`, made readable where the type knows better words than its pattern."""
    choices = [str(word) for part in _parts(expected) if get_origin(part) is Literal for word in get_args(part)]
    if choices:
        close = get_close_matches(value, choices, 1) if isinstance(value, str) else []
        return f"expected one of: {', '.join(choices)}" + (f". Did you mean '{close[0]}'?" if close else "")
    if "matching regex" in message:
        described = [p.description for p in _parts(expected) if isinstance(p, msgspec.Meta) and p.description]
        return f"expected: {described[0]}" if described else message
    return message


def _parts(expected: Any) -> Iterator[Any]:
    """The members of a union and what annotates them; the type itself otherwise."""
    if get_origin(expected) in (Annotated, Union, UnionType):
        for part in get_args(expected):
            yield from _parts(part)
    else:
        yield expected


def _struct_in(expected: Any) -> type[Struct] | None:
    return next((p for p in _parts(expected) if isinstance(p, type) and issubclass(p, Struct)), None)


def _members_of(expected: Any) -> tuple[Any, Any] | None:
    """The types of keys and values where a mapping is expected."""
    mapping = next((p for p in _parts(expected) if get_origin(p) is dict), None)
    return get_args(mapping) if mapping is not None else None


def _escape(key: str) -> str:
    """A key as one step of a JSON pointer (RFC 6901), cut to a length that is worth reading."""
    return key[:128].replace("~", "~0").replace("/", "~1")
