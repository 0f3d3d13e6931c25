"""Label selectors: which objects, said by their labels, in the grammar of Kubernetes.

    "app=web, tier in (a, b), !gpu" ──parse──▶ Selector ──matches(labels)──▶ whether it is one of them

    selector     = requirement { "," requirement } | nothing, which is everything
    requirement  = key | "!" key | key ("=" | "==" | "!=" | ">" | "<") [value] | key ("in" | "notin") "(" values ")"
    values       = [value] { "," [value] }

All requirements must hold. `!=` and `notin` hold as well for an object without the label; `=` and `in` do not. `>` and
`<` compare whole numbers and hold for nothing else. A value that is left out is the empty one. A value with white space
or one of `=!<>(),` in it cannot be said, because the grammar has no quotes.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Literal

import msgspec

from volant.model.meta import LabelKey, LabelValue

Operator = Literal["in", "notin", "exists", "absent", ">", "<"]

MAX_TEXT = 4096
"""Characters. What a selector costs is its length times the number of objects."""

_TOKEN = re.compile(r"==|!=|[=!<>(),]|[^ \t\r\n=!<>(),]+")
_SPECIAL = frozenset(("=", "==", "!=", "!", "<", ">", "(", ")", ","))
_EQUALITY: dict[str, Operator] = {"=": "in", "==": "in", "!=": "notin", ">": ">", "<": "<"}
_END = ""


class Requirement(msgspec.Struct, frozen=True):
    """One thing that must hold of an object's labels. `values` are sorted, and empty for `exists` and `absent`."""

    key: str
    operator: Operator
    values: tuple[str, ...] = ()

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Whether it holds."""
        value = labels.get(self.key)
        match self.operator:
            case "in":
                return value is not None and value in self.values
            case "notin":
                return value is None or value not in self.values
            case "exists":
                return value is not None
            case "absent":
                return value is None
        number, limit = _integer(value), _integer(self.values[0])
        if number is None or limit is None:
            return False
        return number > limit if self.operator == ">" else number < limit


class Selector(msgspec.Struct, frozen=True):
    """What `parse` makes of a text. Without requirements it matches everything."""

    requirements: tuple[Requirement, ...] = ()

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Whether every requirement holds."""
        # A loop and not `all`: a generator for each of a thousand objects is a third of the time.
        for requirement in self.requirements:  # noqa: SIM110
            if not requirement.matches(labels):
                return False
        return True


def parse(text: str) -> Selector:
    """The selector that a text says. Raises ValueError with a sentence for people."""
    if len(text) > MAX_TEXT:
        raise ValueError(f"cannot read a selector of more than {MAX_TEXT} characters")
    tokens = _Tokens(text)
    requirements: list[Requirement] = []
    while tokens.ahead != _END or requirements:
        requirements.append(_requirement(tokens))
        if tokens.ahead == _END:
            break
        tokens.take(",")
    return Selector(tuple(requirements))


class _Tokens:
    """The words and signs of a text, one ahead. White space only separates."""

    def __init__(self, text: str) -> None:
        self._rest = iter(_TOKEN.findall(text))
        self.ahead: str = next(self._rest, _END)

    def next(self) -> str:
        token, self.ahead = self.ahead, next(self._rest, _END)
        return token

    def take(self, sign: str) -> None:
        if self.ahead != sign:
            raise _unexpected(self.ahead, f"'{sign}'")
        self.next()

    def word(self, what: str) -> str:
        if self.ahead == _END or self.ahead in _SPECIAL:
            raise _unexpected(self.ahead, what)
        return self.next()

    def optional_value(self) -> str:
        return "" if self.ahead in (_END, ",", ")") else _value(self.word("a value"))


def _requirement(tokens: _Tokens) -> Requirement:
    if tokens.ahead == "!":
        tokens.next()
        return Requirement(_key(tokens.word("a label key")), "absent")
    key = _key(tokens.word("a label key"))
    if tokens.ahead in (_END, ","):
        return Requirement(key, "exists")
    sign = tokens.next()
    if sign in ("in", "notin"):
        return Requirement(key, "in" if sign == "in" else "notin", _values(tokens))
    operator = _EQUALITY.get(sign)
    if operator is None:
        raise _unexpected(sign, "one of =, ==, !=, >, <, in and notin")
    value = tokens.optional_value()
    if operator in (">", "<") and _integer(value) is None:
        raise ValueError(f"cannot compare {key} with {value!r}: '{operator}' takes a whole number")
    return Requirement(key, operator, (value,))


def _values(tokens: _Tokens) -> tuple[str, ...]:
    tokens.take("(")
    if tokens.ahead == ")":
        raise ValueError("cannot choose from no values: put at least one between '(' and ')'")
    values = {tokens.optional_value()}
    while tokens.ahead == ",":
        tokens.next()
        values.add(tokens.optional_value())
    tokens.take(")")
    return tuple(sorted(values))


def _key(word: str) -> str:
    try:
        return msgspec.convert(word, LabelKey)
    except msgspec.ValidationError:
        raise ValueError(
            f"cannot use {word!r} as a label key: letters, digits, '-', '_' and '.', at most 63, optionally after a "
            "DNS name and '/'"
        ) from None


def _value(word: str) -> str:
    try:
        return msgspec.convert(word, LabelValue)
    except msgspec.ValidationError:
        raise ValueError(f"cannot use {word!r} as a label value: at most 63 printable ASCII characters") from None


def _integer(value: str | None) -> int | None:
    # Not `int` alone, which takes underscores and the digits of every script.
    return int(value) if value is not None and re.fullmatch(r"[+-]?[0-9]+", value) else None


def _unexpected(token: str, wanted: str) -> ValueError:
    found = "the end of the selector" if token == _END else f"{token!r}"
    return ValueError(f"cannot read the selector: found {found} where {wanted} should be")
