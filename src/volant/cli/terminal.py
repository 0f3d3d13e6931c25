"""Text for a terminal.

What a guest or a server has said can be in a sentence of the API. A terminal obeys escape sequences, so what is not
printable is shown as what it is.
"""

from __future__ import annotations


def plain(text: object) -> str:
    """One line without control characters."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in str(text))
