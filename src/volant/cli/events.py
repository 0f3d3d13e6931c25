"""`volant events`: what was last committed of an object, or what happens from now on."""

from __future__ import annotations

import asyncio
import sys
from typing import Any

import click
import msgspec

from volant.cli import options
from volant.cli.nouns import NOUNS
from volant.cli.terminal import COLOURS, is_coloured, plain
from volant.model.event import EventData, PastEvent

_TIME, _TYPE = 24, 24


@click.command()
@click.argument("kind", required=False, type=click.Choice(sorted(NOUNS)))
@click.argument("name", required=False)
@click.option("-f", "--follow", is_flag=True, help="What happens from now on, until Ctrl-C.")
@click.option("--limit", type=click.IntRange(1, 500), default=50, show_default=True, help="The last so many.")
@click.option("--since", type=click.IntRange(0), metavar="REVISION", help="With -f: begin after that revision.")
@click.option("--type", "types", multiple=True, metavar="TYPE", help="With -f: events of this type; repeat.")
@click.option("--plugin", metavar="NAME", help="With -f: of what is made of this plugin.")
@click.option("--deployment", metavar="NAME", help="With -f: of this deployment and its VMs.")
@options.selector
@options.output("table", "json", "yaml", "name", default="table", text="How to print them; json is one object a line.")
@options.reaching
def events(
    url: str,
    kind: str | None,
    name: str | None,
    shape: str,
    limit: int,
    *,
    follow: bool,
    **filters: Any,
) -> None:
    """Show the last events of an object, or follow what happens.

    KIND is vm, deployment or plugin. With -f both may be left out.
    """
    show = {"json": _as_json, "yaml": _as_yaml, "name": _as_name}.get(shape, _as_line)
    if follow:
        asyncio.run(_follow(url, kind, name, filters, show))
        return
    if kind is None or name is None:
        raise click.UsageError("say of which object (volant events vm NAME), or -f to follow what happens.")
    if any(filters.values()):
        raise click.UsageError("--since, --type, --plugin, --deployment and -l go with -f.")
    from volant.client import Client

    with Client(url) as client:
        found: list[PastEvent] = NOUNS[kind].of(client).events(name, limit=limit)
    for event in found:
        show(event.id, event.type, event)


async def _follow(url: str, kind: str | None, name: str | None, filters: dict[str, Any], show: Any) -> None:
    from volant.client import AsyncClient

    chosen = {**filters, "kinds": (NOUNS[kind].kind,) if kind else (), "names": (name,) if name else ()}
    async with AsyncClient(url) as client:
        await client.info()  # So that a daemon that is not there is told of, and not waited for.
        async for change in client.watch(initial=False, **chosen):
            if change.event is not None:
                show(change.id, change.type, change.event)
                sys.stdout.flush()


def _as_json(number: int, kind: str, event: EventData) -> None:
    said = {"id": number, "type": kind, **msgspec.to_builtins(event)}
    click.echo(msgspec.json.encode(said).decode())


def _as_yaml(number: int, kind: str, event: EventData) -> None:
    import yaml

    said = {"id": number, "type": kind, **msgspec.to_builtins(event)}
    click.echo("---\n" + yaml.safe_dump(said, sort_keys=False, allow_unicode=True), nl=False)


def _as_name(_: int, kind: str, event: EventData) -> None:
    click.echo(f"{kind.partition('.')[0]}/{plain(event.name)}")


def _as_line(_: int, kind: str, event: EventData) -> None:
    new = msgspec.to_builtins(event.new) if event.new is not None else {}
    words = [str(new[word]) for word in ("status", "phase") if word in new]
    words += [f"{new['ready_replicas']} ready"] if "ready_replicas" in new else []
    why = ": ".join(part for part in (event.reason, event.message) if part)
    padded = kind.ljust(_TYPE)
    if is_coloured(sys.stdout):
        padded = click.style(padded, fg=COLOURS.get(kind.partition(".")[2]))
    parts = [event.timestamp.ljust(_TIME), padded, plain(event.name), plain(" ".join(words)), plain(why)]
    click.echo("  ".join(part for part in parts if part).rstrip())
