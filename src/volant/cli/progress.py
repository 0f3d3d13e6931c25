"""How far something is, for people: a bar on a terminal, a line for each thing begun where it is read by a program.

The bar goes to standard error, because standard output is for results.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import click

from volant.cli.terminal import is_drawn_on

Progress = Callable[[str, int, int | None], None]
"""`progress(what, done, total)`; both counted in the same unit, total None while it is not known."""


@contextmanager
def shown_progress() -> Iterator[Progress]:
    """What to hand to something that takes longer than a second. The bar is gone when the block ends."""
    if not is_drawn_on(sys.stderr):
        yield _lines()
        return
    from rich.console import Console
    from rich.progress import BarColumn, SpinnerColumn, TaskProgressColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bar

    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TimeElapsedColumn(),
    )
    with Bar(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=None)
        current = ""

        def tell(what: str, done: int, total: int | None) -> None:
            nonlocal current
            if what != current:
                bar.reset(task, total=total, description=what)
                current = what
            bar.update(task, completed=done, total=total)

        yield tell


def _lines() -> Progress:
    seen: set[str] = set()

    def tell(what: str, _done: int, _total: int | None) -> None:
        if what not in seen:
            seen.add(what)
            click.echo(what, err=True)

    return tell
