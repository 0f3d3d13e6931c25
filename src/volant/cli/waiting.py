"""Waiting with something to look at: a line for each VM, as it gets there.

    act (a write, a wait) ──────────────▶ its outcome
    watch of the same objects ──▶ words ──▶ a live list on a terminal, a line a change elsewhere

All of it goes to standard error, because standard output is for results. What is shown decides nothing: a watch that
breaks is not missed.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, TypeVar

import click
import msgspec

from volant.cli.terminal import COLOURS, is_coloured, plain
from volant.client import AsyncClient, Change
from volant.clock import SystemClock
from volant.errors import VolantError

T = TypeVar("T")

FIRST_LOOK_S = 0.5
"""How long the first look may hold up what is to be done."""

Act = Callable[[AsyncClient], Awaitable[T]]


class Words:
    """What is known of each object, in one word or two."""

    def __init__(self) -> None:
        self.said: dict[str, str] = {}
        self._known: dict[str, dict[str, Any]] = {}

    def take(self, change: Change) -> str | None:
        """The name of the object of which there is something new to say."""
        if change.object is not None:
            kind, name = change.type.partition(".")[0], change.object.name
            self._known[name] = _of_view(kind, change.object)
        elif change.event is not None:
            name = change.event.name
            new = msgspec.to_builtins(change.event.new) if change.event.new is not None else {}
            self._known.setdefault(name, {}).update(new)
            if change.type.endswith((".deleted", ".removed", ".deleting")):
                self._known[name] = {"status": change.type.partition(".")[2]}
            if change.type.endswith(".error"):
                self._known[name]["why"] = change.event.message or change.event.reason
        else:
            return None
        word = _word(self._known[name])
        if not word or self.said.get(name) == word:
            return None
        self.said[name] = word
        return name


def run_with_progress(url: str, act: Act[T], **filters: Any) -> T:
    """The outcome of `act`, with those objects shown meanwhile that the filters choose. Raises what `act` raises."""
    return asyncio.run(_run(url, act, filters))


async def _run(url: str, act: Act[T], filters: dict[str, Any]) -> T:
    failure: VolantError | None = None
    found: list[T] = []
    async with AsyncClient(url) as client, asyncio.TaskGroup() as tasks:
        looked = asyncio.Event()
        telling = tasks.create_task(_tell(client, filters, looked))
        try:
            # What is there before is not news, and what comes of it is.
            with suppress(TimeoutError):
                await asyncio.wait_for(looked.wait(), FIRST_LOOK_S)
            found.append(await act(client))
        except VolantError as error:
            failure = error
        finally:
            telling.cancel()
    if failure is not None:
        raise failure
    return found[0]


async def _tell(client: AsyncClient, filters: dict[str, Any], looked: asyncio.Event) -> None:
    words = Words()
    with suppress(VolantError), _screen(words) as say:
        async for change in client.watch(**filters):
            if change.type == "bookmark":
                looked.set()
            name = words.take(change)
            if name is not None:
                say(name, change.event is not None)
    looked.set()


@contextmanager
def _screen(words: Words) -> Iterator[Callable[[str, bool], None]]:
    """What is called with each name of which there is something to say, and whether it is news."""
    if not sys.stderr.isatty():
        yield lambda name, is_news: _line(name, words.said[name]) if is_news else None
        return
    from rich.console import Console
    from rich.live import Live
    from rich.text import Text

    clock = SystemClock()
    begun = clock.monotonic()
    coloured = is_coloured(sys.stderr)

    def draw() -> Text:
        lines = [f"waiting, {clock.monotonic() - begun:.0f} s"]
        width = max(map(len, words.said), default=0)
        for name, word in sorted(words.said.items()):
            fg = COLOURS.get(word.partition(" ")[0].rstrip(":")) if coloured else None
            lines.append(f"  {plain(name).ljust(width)}  {click.style(plain(word), fg=fg) if fg else plain(word)}")
        return Text.from_ansi("\n".join(lines))

    console = Console(stderr=True, no_color=not coloured, highlight=False)
    with Live(get_renderable=draw, console=console, refresh_per_second=8, transient=True) as live:
        yield lambda _, __: live.refresh()


def _line(name: str, word: str) -> None:
    click.echo(f"{plain(name)}: {plain(word)}", err=True)


def _of_view(kind: str, view: Any) -> dict[str, Any]:
    conditions = {one.type: one.status == "true" for one in getattr(view, "conditions", ())}
    if kind == "vm":
        return {"status": view.status, "ready": conditions.get("ready", False)}
    if kind == "deployment":
        phase = view.status.phase
        return {"phase": phase, "replicas": view.replicas, "ready_replicas": view.ready_replicas}
    return {"ready": conditions.get("ready", False)}


def _word(known: dict[str, Any]) -> str:
    if "replicas" in known:
        return f"{known.get('ready_replicas', 0)} of {known['replicas']} ready"
    status = known.get("status")
    if status is None:
        return "ready" if known.get("ready") else f"not ready{_because(known)}"
    if status == "running":
        return "ready" if known.get("ready") else "running, not ready yet"
    return f"{status}{_because(known)}"


def _because(known: dict[str, Any]) -> str:
    return f": {known['why']}" if known.get("why") else ""
