"""Where everything of a document stands: a tree beside the value, with a line and a column at each of its parts.

JSON pointer of a mistake ──place──▶ line:column, of the part itself or of the nearest that is there
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

NO_PARTS: Mapping[str, Marks] = {}


class Place(NamedTuple):
    """A line and a column, both counted from 1."""

    line: int
    column: int


class Marks(NamedTuple):
    """Where a value begins, where its key does if it has one, and the same of its parts."""

    value: Place
    key: Place | None = None
    parts: Mapping[str, Marks] = NO_PARTS

    def place(self, steps: Sequence[str], *, of_key: bool = False) -> Place:
        """Where the part at these steps stands, or the nearest one around it that is there.

        A scalar is shown itself, an object or a list by its key: it begins a line later, with a part of it that
        nothing is wrong with.
        """
        found, left = self, list(steps)
        while left and left[0] in found.parts:
            found = found.parts[left.pop(0)]
        if found.key is not None and (of_key or left or found.parts):
            return found.key
        return found.value


def steps_of(pointer: str) -> list[str]:
    """The steps of a JSON pointer (RFC 6901)."""
    return [step.replace("~1", "/").replace("~0", "~") for step in pointer.split("/")[1:]]
