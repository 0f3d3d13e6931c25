"""YAML as manifests may use it, from events to values with a place for each of their parts.

    text ──libyaml──▶ events ──composed──▶ (value, marks), one for each document that is not empty

Values are those of JSON, under the core schema of YAML 1.2. Refused: tags, merge keys, keys that are no text, keys
given twice. An alias is the value that its anchor names, as long as what it stands for is bounded: a text may not
become much larger than it looks. Read event by event: depth and size are refused before they have cost anything.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, NamedTuple

import yaml

from volant.manifests.flaws import Unreadable
from volant.manifests.marks import Marks, Place
from volant.manifests.scalars import meant

MAX_DEPTH: Final = 100
MAX_ALIASED: Final = 1 << 20
"""Characters and values that the aliases of one document may stand for, all together."""

_LOADER: Final = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class Read(NamedTuple):
    """A value, where it stands, how deep it is, and how much: characters and values."""

    value: Any
    marks: Marks
    depth: int
    size: int


def documents(text: str) -> Iterator[tuple[Any, Marks]]:
    """The documents of a text, the empty ones left out. Raises Unreadable at the first place that cannot be read."""
    events = _events(text)
    for event in events:
        if isinstance(event, yaml.DocumentStartEvent):
            found = _Composer(events).composed(next(events), 0)
            if found.value is not None or found.size > 1:
                yield found.value, found.marks


def _events(text: str) -> Iterator[Any]:
    try:
        yield from yaml.parse(text, Loader=_LOADER)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        said = ", ".join(part for part in (error.context, error.problem) if part)
        raise Unreadable(f"not valid YAML: {said}", _place(mark) if mark else Place(1, 1)) from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise Unreadable(f"not valid YAML: {error}", Place(1, 1)) from None


class _Composer:
    """One document. Anchors are its own."""

    def __init__(self, events: Iterator[Any]) -> None:
        self._events = events
        self._anchors: dict[str, Read] = {}
        self._aliased = 0

    def composed(self, event: Any, depth: int, key: Place | None = None) -> Read:
        """The value that begins with this event."""
        if isinstance(event, yaml.AliasEvent):
            return self._alias(event, depth, key)
        if event.tag is not None:
            raise Unreadable(f"a tag ({_shown(event.tag)}) is not read", _place(event.start_mark))
        if depth > MAX_DEPTH:
            raise Unreadable(f"nested deeper than {MAX_DEPTH}", _place(event.start_mark))
        if isinstance(event, yaml.ScalarEvent):
            found = _scalar(event, key)
        elif isinstance(event, yaml.MappingStartEvent):
            found = self._mapping(event, depth, key)
        else:
            found = self._sequence(event, depth, key)
        if event.anchor is not None:
            # Only now: an alias inside its own anchor names nothing yet.
            self._anchors[event.anchor] = found
        return found

    def _alias(self, event: Any, depth: int, key: Place | None) -> Read:
        found = self._anchors.get(event.anchor)
        if found is None:
            raise Unreadable(
                f"an alias of nothing: there is no &{_shown(event.anchor)} before", _place(event.start_mark)
            )
        self._aliased += found.size
        if self._aliased > MAX_ALIASED:
            raise Unreadable("the aliases of this document stand for too much", _place(event.start_mark))
        if depth + found.depth > MAX_DEPTH:
            raise Unreadable(f"nested deeper than {MAX_DEPTH}", _place(event.start_mark))
        return found._replace(marks=found.marks._replace(key=key))

    def _mapping(self, start: Any, depth: int, key: Place | None) -> Read:
        value: dict[str, Any] = {}
        parts: dict[str, Marks] = {}
        deepest, size = 0, 1
        while not isinstance(event := next(self._events), yaml.MappingEndEvent):
            name, at = self._key(event)
            if name in value:
                raise Unreadable(f"the key {_shown(name)!r} is given twice", at)
            part = self.composed(next(self._events), depth + 1, at)
            value[name], parts[name] = part.value, part.marks
            deepest, size = max(deepest, part.depth + 1), size + part.size + len(name)
        return Read(value, Marks(_place(start.start_mark), key, parts), deepest, size)

    def _sequence(self, start: Any, depth: int, key: Place | None) -> Read:
        value: list[Any] = []
        parts: dict[str, Marks] = {}
        deepest, size = 0, 1
        while not isinstance(event := next(self._events), yaml.SequenceEndEvent):
            part = self.composed(event, depth + 1)
            parts[str(len(value))] = part.marks
            value.append(part.value)
            deepest, size = max(deepest, part.depth + 1), size + part.size
        return Read(value, Marks(_place(start.start_mark), key, parts), deepest, size)

    def _key(self, event: Any) -> tuple[str, Place]:
        at = _place(event.start_mark)
        found = self.composed(event, 0) if isinstance(event, yaml.AliasEvent | yaml.ScalarEvent) else None
        if found is None or not isinstance(found.value, str):
            raise Unreadable("a key has to be text: write it in quotes", at)
        if found.value == "<<" and isinstance(event, yaml.ScalarEvent) and event.implicit[0]:
            raise Unreadable("merge keys ('<<') are of YAML 1.1 and are not read", at)
        return found.value, at


def _scalar(event: Any, key: Place | None) -> Read:
    at = _place(event.start_mark)
    # The first of `implicit` is true of plain scalars without a tag.
    if not event.implicit[0]:
        return Read(event.value, Marks(at, key), 0, 1 + len(event.value))
    try:
        return Read(meant(event.value), Marks(at, key), 0, 1 + len(event.value))
    except ValueError as error:
        raise Unreadable(str(error), at) from None


def _place(mark: Any) -> Place:
    return Place(mark.line + 1, mark.column + 1)


def _shown(word: str) -> str:
    return word if len(word) <= 64 else word[:61] + "..."
