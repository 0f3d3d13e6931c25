"""A few lines at the end of a terminal that are drawn anew, on standard error. They are gone when the block ends.

rich is loaded here and where tables are watched, and nowhere else: who has no terminal does without.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from volant.cli.terminal import is_coloured

if TYPE_CHECKING:
    from rich.text import Text

Draw = Callable[[int], Sequence[str]]
"""The lines, at most so many; with escape sequences where they have colours."""

A_SECOND = 8
ROOM = 2
"""Lines that are left free, so that what stood there before is not pushed out."""


@contextmanager
def live(draw: Draw) -> Iterator[Callable[[], None]]:
    """Draw eight times a second, because seconds are counted, and whenever it is asked to.

    Lines that are wider than the terminal are cut: one that was folded could not be drawn over. What is written to
    standard error meanwhile stands above. However the block ends, the cursor is there again.
    """
    from rich.console import Console
    from rich.live import Live
    from rich.text import Text

    console = Console(stderr=True, no_color=not is_coloured(sys.stderr), highlight=False)

    def text() -> Text:
        lines = draw(max(1, console.size.height - ROOM))
        return Text.from_ansi("\n".join(lines), no_wrap=True, overflow="ellipsis")

    with Live(get_renderable=text, console=console, refresh_per_second=A_SECOND, transient=True) as shown:
        yield shown.refresh
