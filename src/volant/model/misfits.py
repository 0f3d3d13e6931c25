"""Everything that is wrong with a value that does not fit a Struct: where, and in words for people. Pure.

    builtins ──converted──▶ Struct, or [{"path": "/spec/replicas", "message": "Expected `int` >= 0"}, ...]

The converter of msgspec stops at the first mistake; here the walk goes on. Whoever reads the words of users has one
list of mistakes this way, and the same words for them: the API of a body, the command of a file. Paths are JSON
pointers (RFC 6901). Found lazily, so that a value made of mistakes costs no more than is told of them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from difflib import get_close_matches
from itertools import islice
from types import UnionType
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin

import msgspec
from msgspec import Struct

from volant.model.meta import Misfit

S = TypeVar("S", bound=Struct)
FieldError = dict[str, str]

MAX_ERRORS = 32
"""Told of one value."""


def converted(value: Any, cls: type[S], at: str) -> S | list[FieldError]:
    """Builtins that stand at `at` of something larger, as `cls`; or what is wrong with them."""
    try:
        return msgspec.convert(value, cls)
    except msgspec.ValidationError:
        return list(islice(field_errors(value, cls, at, is_strict=True), MAX_ERRORS))


def field_error(path: str, message: str) -> FieldError:
    """One mistake in wire form."""
    return {"path": path, "message": message}


def field_errors(value: Any, expected: Any, path: str, *, is_strict: bool) -> Iterator[FieldError]:
    """Everything wrong with `value`, which is known not to convert."""
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


def escaped(key: str) -> str:
    """A key as one step of a JSON pointer, cut to a length that is worth reading."""
    return key[:128].replace("~", "~0").replace("/", "~1")


def close_to(word: str, known: Iterator[str] | list[str]) -> str:
    """What may have been meant, as the end of a sentence; nothing when nothing is close."""
    close = get_close_matches(word, list(known), 1)
    return f". Did you mean '{close[0]}'?" if close else ""


def _parts_errors(value: dict[str, Any], struct: type[Struct], path: str, *, is_strict: bool) -> Iterator[FieldError]:
    fields = {f.encode_name: f for f in msgspec.structs.fields(struct)}
    fixed: dict[str, str] = getattr(struct, "FIXED", {})
    for name in value:
        if name not in fields:
            hint = fixed.get(name, f"unknown field{close_to(name, list(fields))}")
            yield field_error(f"{path}/{escaped(name)}", hint)
    for name, field in fields.items():
        if name in value:
            yield from field_errors(value[name], field.type, f"{path}/{name}", is_strict=is_strict)
        elif field.required:
            yield field_error(f"{path}/{name}", "missing")


def _members_errors(
    value: dict[str, Any], members: tuple[Any, Any], path: str, *, is_strict: bool
) -> Iterator[FieldError]:
    key_type, member_type = members
    for key, member in value.items():
        where = f"{path}/{escaped(key)}"
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
        yield field_error(path + where, message if where else _in_words(message, expected, value))


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
        close = close_to(value, choices) if isinstance(value, str) else ""
        return f"expected one of: {', '.join(choices)}{close}"
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
