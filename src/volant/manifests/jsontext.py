"""JSON with a place for each part. Stricter than readers usually are: a key given twice is refused, and so is a number
or a text that not everybody could carry.

YAML would read most of it, and not all: tabs, pairs of surrogates and long keys are where the two part.
"""

from __future__ import annotations

import json
import re
from bisect import bisect_right
from typing import Any, Final

from volant.manifests.flaws import Unreadable
from volant.manifests.marks import Marks, Place
from volant.manifests.scalars import meant, real
from volant.manifests.yaml12 import MAX_DEPTH

_SPACE: Final = re.compile(r"[ \t\r\n]*")
_NUMBER: Final = re.compile(r"-?(?:0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)?")
_WORD: Final = re.compile(r"true|false|null")
_TEXT: Final = json.JSONDecoder()
_SURROGATE: Final = re.compile(r"[\ud800-\udfff]")


def document(text: str) -> tuple[Any, Marks]:
    """The one value of a text. Raises Unreadable at the first place that cannot be read."""
    reader = _Reader(text)
    value, marks, end = reader.value(reader.space(0), 0)
    if reader.space(end) != len(text):
        raise Unreadable("not valid JSON: something comes after its end", reader.place(reader.space(end)))
    return value, marks


class _Reader:
    def __init__(self, text: str) -> None:
        self._text = text
        self._lines = [0, *(found.end() for found in re.finditer(r"\r\n|\n|\r", text))]

    def place(self, at: int) -> Place:
        """Line and column of an offset."""
        line = bisect_right(self._lines, at)
        return Place(line, at - self._lines[line - 1] + 1)

    def space(self, at: int) -> int:
        """Where the next thing stands."""
        found = _SPACE.match(self._text, at)
        return found.end() if found else at

    def value(self, at: int, depth: int, key: Place | None = None) -> tuple[Any, Marks, int]:
        """The value that begins here, its marks, and where it ends."""
        if depth > MAX_DEPTH:
            raise Unreadable(f"nested deeper than {MAX_DEPTH}", self.place(at))
        first = self._text[at : at + 1]
        if first == "{":
            return self._object(at, depth, key)
        if first == "[":
            return self._array(at, depth, key)
        marks = Marks(self.place(at), key)
        if first == '"':
            value, end = self._string(at)
            return value, marks, end
        if found := _WORD.match(self._text, at):
            return meant(found[0]), marks, found.end()
        if found := _NUMBER.match(self._text, at):
            return self._number(found), marks, found.end()
        raise Unreadable("not valid JSON: a value is expected", self.place(at))

    def _object(self, start: int, depth: int, key: Place | None) -> tuple[Any, Marks, int]:
        value: dict[str, Any] = {}
        parts: dict[str, Marks] = {}
        at = self.space(start + 1)
        while self._text[at : at + 1] != "}":
            at = self._next(at, is_first=not value)
            name, end = self._string(at)
            if name in value:
                raise Unreadable(f"the key {name[:64]!r} is given twice", self.place(at))
            colon = self._expect(self.space(end), ":")
            value[name], parts[name], end = self.value(self.space(colon), depth + 1, self.place(at))
            at = self.space(end)
        return value, Marks(self.place(start), key, parts), at + 1

    def _array(self, start: int, depth: int, key: Place | None) -> tuple[Any, Marks, int]:
        value: list[Any] = []
        parts: dict[str, Marks] = {}
        at = self.space(start + 1)
        while self._text[at : at + 1] != "]":
            at = self._next(at, is_first=not value)
            part, parts[str(len(value))], end = self.value(at, depth + 1)
            value.append(part)
            at = self.space(end)
        return value, Marks(self.place(start), key, parts), at + 1

    def _next(self, at: int, *, is_first: bool) -> int:
        return at if is_first else self.space(self._expect(at, ","))

    def _expect(self, at: int, sign: str) -> int:
        if self._text[at : at + 1] != sign:
            raise Unreadable(f"not valid JSON: {sign!r} is expected", self.place(at))
        return at + 1

    def _string(self, at: int) -> tuple[str, int]:
        if self._text[at : at + 1] != '"':
            raise Unreadable("not valid JSON: a key in quotes is expected", self.place(at))
        value: str
        try:
            value, end = _TEXT.raw_decode(self._text, at)
        except json.JSONDecodeError as error:
            raise Unreadable(f"not valid JSON: {error.msg}", self.place(error.pos)) from None
        if _SURROGATE.search(value):
            raise Unreadable("not valid JSON: half of a pair of surrogates", self.place(at))
        return value, end

    def _number(self, found: re.Match[str]) -> Any:
        try:
            return meant(found[0]) if found[1] is None and found[2] is None else real(found[0])
        except ValueError as error:
            raise Unreadable(str(error), self.place(found.start())) from None
