"""`list --watch`: the list as it is, and as it becomes.

On a terminal the table is drawn anew; elsewhere each object that changed is printed again, one line each (with
`-o json` one object a line), and one that went is printed a last time as deleted.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import click
import msgspec

from volant.cli import shapes
from volant.cli.nouns import Noun
from volant.cli.terminal import is_coloured, is_drawn_on
from volant.client import ApiError, AsyncClient, NoAnswer
from volant.clock import SystemClock

BETWEEN_S = 0.125
"""Lists are read no more often, however many events there are."""

Draw = Callable[[Sequence[Any]], None]
Read = Callable[[AsyncClient], Awaitable[Sequence[Any]]]
"""Asks for what is shown."""


def watch(url: str, noun: Noun, shape: str, filters: dict[str, Any]) -> None:
    """Until Ctrl-C."""
    _shown(url, noun, shape, lambda client: noun.of(client).list(**filters))


def watch_named(url: str, noun: Noun, shape: str, names: Sequence[str]) -> None:
    """The same of these objects. All have to be there at first; one that goes is shown as gone."""
    is_first = True

    async def read(client: AsyncClient) -> Sequence[Any]:
        nonlocal is_first
        found = []
        for name in names:
            try:
                found.append(await noun.of(client).get(name))
            except ApiError as error:
                if is_first or error.status != 404:
                    raise
        is_first = False
        return found

    _shown(url, noun, shape, read)


def _shown(url: str, noun: Noun, shape: str, read: Read) -> None:
    if is_drawn_on(sys.stdout) and shape in ("table", "wide"):
        _on_terminal(url, noun, shape, read)
    else:
        asyncio.run(_follow(url, noun, read, Lines(noun, shape)))


def _on_terminal(url: str, noun: Noun, shape: str, read: Read) -> None:
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

        asyncio.run(_follow(url, noun, read, draw))


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


async def _follow(url: str, noun: Noun, read: Read, draw: Draw) -> None:
    """List after every change. The first list is read before anything is waited for, so that its errors are told."""
    async with AsyncClient(url) as client:
        draw(await read(client))
        try:
            await _draw_changes(client, noun, read, draw)
        except BaseExceptionGroup as group:  # What ended it has a meaning of its own: nobody reads, the daemon refuses.
            raise _first(group) from None


async def _draw_changes(client: AsyncClient, noun: Noun, read: Read, draw: Draw) -> None:
    changed = asyncio.Event()
    clock = SystemClock()
    async with asyncio.TaskGroup() as tasks:
        # Replicas count in what is shown of a deployment.
        kinds = (noun.kind, "VM") if noun.kind == "Deployment" else (noun.kind,)
        tasks.create_task(_listen(client, kinds, changed))
        while True:
            await changed.wait()
            changed.clear()
            draw(await _patiently(client, read))
            await clock.sleep(BETWEEN_S)


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    one = group.exceptions[0]
    return _first(one) if isinstance(one, BaseExceptionGroup) else one


async def _listen(client: AsyncClient, kinds: tuple[str, ...], changed: asyncio.Event) -> None:
    async for change in client.watch(kinds=kinds):
        if change.type == "bookmark" or change.event is not None:
            changed.set()


async def _patiently(client: AsyncClient, read: Read) -> Sequence[Any]:
    """What is shown, however long the daemon is away."""
    while True:
        try:
            return await read(client)
        except NoAnswer:
            await SystemClock().sleep(1.0)
