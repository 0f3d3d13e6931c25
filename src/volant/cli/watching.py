"""`list --watch`: the list as it is, and as it becomes.

On a terminal the table is drawn anew; elsewhere each object that changed is printed again, one line each (with
`-o json` one object a line), and one that went is printed a last time as deleted.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Sequence
from typing import Any

import click
import msgspec

from volant.cli import shapes
from volant.cli.nouns import Noun
from volant.cli.terminal import is_coloured
from volant.client import AsyncClient
from volant.clock import SystemClock

BETWEEN_S = 0.125
"""Lists are read no more often, however many events there are."""

Draw = Callable[[Sequence[Any]], None]


def watch(url: str, noun: Noun, shape: str, filters: dict[str, Any]) -> None:
    """Until Ctrl-C."""
    if sys.stdout.isatty() and shape in ("table", "wide"):
        _on_terminal(url, noun, shape, filters)
    else:
        asyncio.run(_follow(url, noun, filters, Lines(noun, shape)))


def _on_terminal(url: str, noun: Noun, shape: str, filters: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.live import Live
    from rich.text import Text

    coloured = is_coloured(sys.stdout)
    seen: list[Sequence[Any]] = [()]

    def lines() -> Text:
        drawn = shapes.table(seen[0], noun.view, is_wide=shape == "wide", coloured=coloured)
        return Text.from_ansi("\n".join(drawn), no_wrap=True, overflow="ellipsis")

    # Drawn once a second besides, because ages grow.
    with Live(get_renderable=lines, console=Console(no_color=not coloured), refresh_per_second=1) as live:

        def draw(found: Sequence[Any]) -> None:
            seen[0] = found
            live.refresh()

        asyncio.run(_follow(url, noun, filters, draw))


class Lines:
    """Prints what is new since the last time."""

    def __init__(self, noun: Noun, shape: str) -> None:
        self._noun, self._shape = noun, shape
        self._known: dict[str, Any] = {}
        self._has_heads = False

    def __call__(self, found: Sequence[Any]) -> None:
        """Print those that changed, and those that went."""
        now = {one.name: one for one in found}
        for name in [name for name in self._known if name not in now]:
            self._print([self._known.pop(name)], is_gone=True)
        changed = [one for name, one in now.items() if self._known.get(name) != one]
        self._known = now
        if changed:
            self._print(changed)

    def _print(self, views: Sequence[Any], *, is_gone: bool = False) -> None:
        if self._shape in ("json", "yaml"):
            for one in views:
                said = msgspec.to_builtins(one)
                click.echo(msgspec.json.encode({**said, "deleted": True} if is_gone else said).decode())
        elif self._shape == "name":
            for one in views:
                click.echo(f"{one.name} deleted" if is_gone else one.name)
        else:
            heads, *rows = shapes.table(views, self._noun.view, is_wide=self._shape == "wide")
            if not self._has_heads:
                click.echo(heads)
                self._has_heads = True
            for row in rows:
                click.echo(f"{row}  deleted" if is_gone else row)
        sys.stdout.flush()


async def _follow(url: str, noun: Noun, filters: dict[str, Any], draw: Draw) -> None:
    """List after every change. The first list is read before anything is waited for, so that its errors are told."""
    changed = asyncio.Event()
    clock = SystemClock()
    async with AsyncClient(url) as client:
        draw(await noun.of(client).list(**filters))
        async with asyncio.TaskGroup() as tasks:
            # Replicas count in what is shown of a deployment.
            kinds = (noun.kind, "VM") if noun.kind == "Deployment" else (noun.kind,)
            tasks.create_task(_listen(client, kinds, changed))
            while True:
                await changed.wait()
                changed.clear()
                draw(await _patiently(client, noun, filters))
                await clock.sleep(BETWEEN_S)


async def _listen(client: AsyncClient, kinds: tuple[str, ...], changed: asyncio.Event) -> None:
    async for change in client.watch(kinds=kinds):
        if change.type == "bookmark" or change.event is not None:
            changed.set()


async def _patiently(client: AsyncClient, noun: Noun, filters: dict[str, Any]) -> Sequence[Any]:
    """The list, however long the daemon is away."""
    from volant.client import NoAnswer

    while True:
        try:
            found: Sequence[Any] = await noun.of(client).list(**filters)
        except NoAnswer:
            await SystemClock().sleep(1.0)
        else:
            return found
