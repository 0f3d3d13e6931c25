"""`volant events`: what was last committed of an object, or what happens from now on."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import click
import msgspec

from volant.cli import options
from volant.cli.nouns import Noun
from volant.cli.objects import completed_objects, kind_or_object
from volant.cli.terminal import COLOURS, is_coloured, plain
from volant.model.event import EventData, PastEvent

if TYPE_CHECKING:
    from volant.client import AsyncClient

_TIME, _TYPE = 24, 24
LIMIT = 50
LATEST_S = 2.0
"""How long the newest of everything is read for."""

Show = Callable[[int | None, str, EventData], None]


@click.command()
@click.argument("words", nargs=-1, metavar="[KIND[/NAME]]", shell_complete=completed_objects)
@click.option("-f", "--follow", is_flag=True, help="What happens from now on, until Ctrl-C.")
@click.option("--limit", type=options.Whole(1, 500), help="The last so many (50). Not with -f.")
@click.option("--since", type=click.IntRange(0), metavar="REVISION", help="With -f: begin after that revision.")
@click.option("--type", "types", multiple=True, metavar="TYPE", help="With -f: events of this type; repeat.")
@click.option(
    "--plugin",
    metavar="NAME",
    shell_complete=options.completed("plugins"),
    help="With -f: of what is made of this plugin.",
)
@click.option(
    "--deployment",
    metavar="NAME",
    shell_complete=options.completed("deployments"),
    help="With -f: of this deployment and its VMs.",
)
@options.selector
@options.output("table", "json", "yaml", "name", default="table", text="How to print them; json is one object a line.")
@options.reaching
def events(
    url: str,
    words: tuple[str, ...],
    shape: str,
    limit: int | None,
    *,
    follow: bool,
    **filters: Any,
) -> None:
    """Show the last events of an object, or follow what happens.

    An object is vm/NAME, deployment/NAME or plugin/NAME. Without one: the last events of everything, and with -f what
    happens to everything, or to one kind.
    """
    noun, name = kind_or_object(words)
    show = {"json": _as_json, "yaml": _as_yaml, "name": _as_name}.get(shape, _as_line)
    if follow:
        if limit is not None:
            raise click.UsageError("--limit does not go with -f: --since has that begin earlier.")
        asyncio.run(_follow(url, noun, name, filters, show))
        return
    if any(value not in (None, ()) for value in filters.values()):
        raise click.UsageError("--since, --type, --plugin, --deployment and -l go with -f.")
    if noun is None:
        asyncio.run(_newest(url, limit or LIMIT, show))
    elif name is None:
        raise click.UsageError(f"say of which {noun.word}: {noun.word}/NAME, or -f to follow what happens.")
    else:
        _past(url, noun, name, limit or LIMIT, show)


def _past(url: str, noun: Noun, name: str, limit: int, show: Show) -> None:
    from volant.client import Client

    with Client(url) as client:
        found: list[PastEvent] = noun.of(client).events(name, limit=limit)
    for event in found:
        show(event.id, event.type, event)


async def _newest(url: str, limit: int, show: Show) -> None:
    """The last events of everything: the log from so many revisions back, each of which is an event.

    A log that is cut off later than that has fewer, and nothing says that these are all: hence the bound.
    """
    from volant.client import AsyncClient

    async with AsyncClient(url) as client:
        await client.info()  # So that a daemon that is not there is told of, and not waited for.
        newest = await _revision(client)
        if not newest:
            click.echo("No events", err=True)
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(LATEST_S):
                async for change in client.watch(initial=False, since=max(newest - limit, 0)):
                    if change.event is not None:
                        show(change.id, change.type, change.event)
                    if (change.id or 0) >= newest:
                        return


async def _revision(client: AsyncClient) -> int:
    # Of no object at all there is only the bookmark.
    async for change in client.watch(initial=True, names=("-",)):
        if change.type == "bookmark":
            return change.id or 0
    return 0


async def _follow(url: str, noun: Noun | None, name: str | None, filters: dict[str, Any], show: Show) -> None:
    from volant.client import AsyncClient

    chosen = {**filters, "kinds": (noun.kind,) if noun else (), "names": (name,) if name else ()}
    async with AsyncClient(url) as client:
        await client.info()  # So that a daemon that is not there is told of, and not waited for.
        async for change in client.watch(initial=False, **chosen):
            if change.event is not None:
                show(change.id, change.type, change.event)
                sys.stdout.flush()


def _as_json(number: int | None, kind: str, event: EventData) -> None:
    said = {"id": number, "type": kind, **msgspec.to_builtins(event)}
    click.echo(msgspec.json.encode(said).decode())


def _as_yaml(number: int | None, kind: str, event: EventData) -> None:
    import yaml

    said = {"id": number, "type": kind, **msgspec.to_builtins(event)}
    click.echo("---\n" + yaml.safe_dump(said, sort_keys=False, allow_unicode=True), nl=False)


def _as_name(_: int | None, kind: str, event: EventData) -> None:
    click.echo(f"{kind.partition('.')[0]}/{plain(event.name)}")


def _as_line(_: int | None, kind: str, event: EventData) -> None:
    new = msgspec.to_builtins(event.new) if event.new is not None else {}
    words = [str(new[word]) for word in ("status", "phase") if word in new]
    words += [f"{new['ready_replicas']} ready"] if "ready_replicas" in new else []
    why = ": ".join(part for part in (event.reason, event.message) if part)
    padded = kind.ljust(_TYPE)
    if is_coloured(sys.stdout):
        padded = click.style(padded, fg=COLOURS.get(kind.partition(".")[2]))
    parts = [event.timestamp.ljust(_TIME), padded, plain(event.name), plain(" ".join(words)), plain(why)]
    click.echo("  ".join(part for part in parts if part).rstrip())
