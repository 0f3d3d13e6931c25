"""What a build says while it works: a name for what it does, how far it is, how much there is.

One function is handed down to everything that may take longer than a second; who shows it, and how, is not known here.
"""

from __future__ import annotations

from collections.abc import Callable

Progress = Callable[[str, int, int | None], None]
"""`progress("packages", done, total)`: the unit is whatever both are counted in; a total of None is not known yet."""


def silent(what: str, done: int, total: int | None) -> None:
    """Say nothing."""
