"""Text for a terminal.

What a guest or a server has said can be in a sentence of the API. A terminal obeys escape sequences, so what is not
printable is shown as what it is.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import IO, Any

import click

COLOURS = {
    **dict.fromkeys(("running", "ready", "healthy", "available", "ok", "true", "synced"), "green"),
    **dict.fromkeys(("error", "degraded", "unhealthy", "failed", "failing"), "red"),
    **dict.fromkeys(("starting", "restarting", "stopping", "pending", "scaling", "deleting"), "yellow"),
    **dict.fromkeys(("warning", "out_of_sync"), "yellow"),
}


def plain(text: object) -> str:
    """One line without control characters."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in str(text))


def is_coloured(stream: IO[Any]) -> bool:
    """Whether people look at it who want colours: a terminal, and neither NO_COLOR nor a dumb one."""
    environ = os.environ  # noqa: TID251  the command line is where it enters
    return stream.isatty() and not environ.get("NO_COLOR") and environ.get("TERM") != "dumb"


def is_drawn_on(stream: IO[Any]) -> bool:
    """Whether lines can be drawn anew there: it is a terminal, and one that knows how to go up a line."""
    environ = os.environ  # noqa: TID251  the command line is where it enters
    return stream.isatty() and environ.get("TERM") != "dumb"


def columns(heads: Sequence[str], rows: Sequence[Sequence[object]], *, coloured: bool = False) -> list[str]:
    """A table: as wide as its content, two blanks between columns, none at the end."""
    cells = [[plain(cell) or "-" for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(heads, *cells, strict=True)]
    lines = [_row(heads, widths, [{"bold": True}] * len(heads) if coloured else None)]
    for row in cells:
        styles = [{"fg": COLOURS.get(cell)} for cell in row] if coloured else None
        lines.append(_row(row, widths, styles))
    return lines


def _row(cells: Sequence[str], widths: Sequence[int], styles: Sequence[dict[str, Any]] | None) -> str:
    padded = [cell.ljust(width) for cell, width in zip(cells, widths, strict=True)]
    padded[-1] = cells[-1]
    if styles is not None:
        padded = [
            click.style(text, **style) if any(style.values()) else text
            for text, style in zip(padded, styles, strict=True)
        ]
    return "  ".join(padded).rstrip()
