"""Waiting with something to look at: a line for each object, as it gets there.

    act (a write, a wait) ──────────────▶ its outcome
    watch of the same objects ──▶ Board ──▶ a live list on a terminal, a line a change elsewhere

All of it goes to standard error, because standard output is for results. What is shown decides nothing: a watch that
breaks is not missed.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, TypeVar

import click

from volant.cli.board import Board, Row, Shown
from volant.cli.terminal import COLOURS, is_coloured, is_drawn_on, plain
from volant.client import AsyncClient
from volant.clock import SystemClock
from volant.errors import VolantError

T = TypeVar("T")

FIRST_LOOK_S = 0.5
"""How long the first look may hold up what is to be done."""

Act = Callable[[AsyncClient], Awaitable[T]]
Show = Callable[[Row], None]
"""Called with each row that is another than before."""


def run_with_progress(
    url: str, act: Act[T], *, shown: Shown | None = None, news: Shown | None = None, **filters: Any
) -> T:
    """The outcome of `act`, with those objects shown meanwhile that `shown` and the filters choose.

    What there is at the first look is told of those that `news` chooses. Raises what `act` raises.
    """
    return asyncio.run(_run(url, act, Board(shown, news), filters))


async def _run(url: str, act: Act[T], board: Board, filters: dict[str, Any]) -> T:
    failure: VolantError | click.ClickException | None = None
    found: list[T] = []
    async with AsyncClient(url) as client, asyncio.TaskGroup() as tasks:
        looked = asyncio.Event()
        telling = tasks.create_task(_tell(client, board, filters, looked))
        try:
            # What is there before is not news, and what comes of it is.
            with suppress(TimeoutError):
                async with asyncio.timeout(FIRST_LOOK_S):  # because wait_for may swallow Ctrl-C
                    await looked.wait()
            found.append(await act(client))
        except (VolantError, click.ClickException) as error:
            failure = error
        finally:
            telling.cancel()
    if failure is not None:
        raise failure
    return found[0]


async def _tell(client: AsyncClient, board: Board, filters: dict[str, Any], looked: asyncio.Event) -> None:
    clock = SystemClock()
    # OSError: nobody reads what is shown any more.
    with suppress(VolantError, OSError), _screen(board, clock) as show:
        async for change in client.watch(**filters):
            row = board.take(change, clock.monotonic())
            if row is not None:
                show(row)
            if change.type == "bookmark":
                looked.set()
    looked.set()


@contextmanager
def _screen(board: Board, clock: SystemClock) -> Iterator[Show]:
    begun_s = clock.monotonic()
    if not is_drawn_on(sys.stderr):
        yield lambda row: _line(row, clock.monotonic() - begun_s) if row.is_news else None
        return
    from volant.cli.live import live

    coloured = is_coloured(sys.stderr)

    def draw(most: int) -> Sequence[str]:
        now_s = clock.monotonic()
        rows, more = board.rows(most - 2)
        head = f"waiting, {now_s - begun_s:.0f} s"
        return [head, *drawn(rows, now_s, coloured=coloured), *([f"  and {more} more"] if more else [])]

    with live(draw) as refresh:
        yield lambda _row: refresh()


def drawn(rows: Sequence[Row], now_s: float, *, coloured: bool) -> Iterator[str]:
    """A line each: name, for how long it has been so, and how it is."""
    width = max((len(plain(row.name)) for row in rows), default=0)
    for row in rows:
        fg = COLOURS.get(row.word.partition(" ")[0].rstrip(":,")) if coloured else None
        word = click.style(plain(row.word), fg=fg) if fg else plain(row.word)
        yield f"  {plain(row.name).ljust(width)}  {f'{max(0, now_s - row.since_s):.0f} s':>5}  {word}"


def _line(row: Row, after_s: float) -> None:
    click.echo(f"{plain(row.name)}: {plain(row.word)} ({after_s:.0f} s)", err=True)
