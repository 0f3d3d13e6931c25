"""What is wrong with manifests, as people read it: `file:line:column: /pointer: message`."""

from __future__ import annotations

from typing import NamedTuple

from volant.manifests.marks import Place


class Flaw(NamedTuple):
    """One mistake. `place` is None of a file that could not be read at all; `path` is empty where no document is."""

    file: str
    place: Place | None
    path: str
    message: str

    def __str__(self) -> str:
        where = f"{self.file}:{self.place.line}:{self.place.column}" if self.place else self.file
        return f"{where}: {self.path}: {self.message}" if self.path else f"{where}: {self.message}"


class Unreadable(Exception):
    """A text that is not read any further: why, and where."""

    def __init__(self, message: str, place: Place | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.place = place
