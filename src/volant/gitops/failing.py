"""How a sync says no, in words that can be shown as they are."""

from __future__ import annotations

from volant.errors import VolantError


class WrongSource(VolantError):
    """What is to be followed cannot be: another address, branch or path has to be said."""


class SyncFailed(VolantError):
    """There is no whole commit to be had now. The message may have many lines, one a flaw."""


def plain(text: object) -> str:
    """One line without control characters: what a repository or a server says may reach a terminal."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in str(text))
