"""`volant context`: named daemons, and which of them is asked when none is said."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from typing import Any

import click

from volant.cli import options
from volant.cli.contexts import Contexts, change, daemon, read
from volant.cli.ending import ERROR, Ended
from volant.cli.terminal import columns, is_coloured, plain


def _environ() -> Mapping[str, str]:
    return os.environ  # noqa: TID251  the command line is where it enters


@click.group()
def context() -> None:
    """Named daemons: list, show, use, add, remove."""


@context.command("list")
@options.output(default="table")
def list_(shape: str) -> None:
    """List the contexts."""
    kept = read(_environ())
    found = [{"name": name, "url": url, "current": name == kept.current} for name, url in sorted(kept.urls.items())]
    if shape == "name":
        for one in found:
            click.echo(one["name"])
    elif shape in ("json", "yaml"):
        _document(found, shape)
    elif not found:
        click.echo("No contexts: `volant context add NAME URL` makes one", err=True)
    else:
        rows = [["*" if one["current"] else " ", one["name"], one["url"]] for one in found]
        for line in columns(["CURRENT", "NAME", "URL"], rows, coloured=is_coloured(sys.stdout)):
            click.echo(line)


@context.command(short_help="Show a context, or which daemon is asked now.")
@click.argument("name", required=False, metavar="[NAME]", shell_complete=options.contexts)
@options.output("text", "json", "yaml", "name", default="text")
def show(name: str | None, shape: str) -> None:
    """Show a context; without a name, which daemon is asked now, and why that one."""
    kept = read(_environ())
    if name is None:
        found = daemon(_environ())
        by_name = next((one for one, url in kept.urls.items() if url.rstrip("/") == found.url), "")
        said = {"url": found.url, "origin": found.origin, "name": by_name, "current": kept.current}
    else:
        said = {"url": kept.url(name, "`show`"), "origin": "", "name": name, "current": kept.current}
    if shape in ("json", "yaml"):
        _document(said, shape)
    elif shape == "name":
        click.echo(said["name"])
    else:
        because = f" ({said['origin']})" if said["origin"] else ""
        click.echo(plain(f"{said['url']}{because}"))


@context.command()
@click.argument("name", shell_complete=options.contexts)
def use(name: str) -> None:
    """Ask this one from now on, when no other is said."""

    def step(kept: Contexts) -> Contexts:
        kept.url(name, "`use`")
        return kept._replace(current=name)

    change(_environ(), step)
    click.echo(f"context {name} is current")


@context.command()
@click.argument("name")
@click.argument("url")
@click.option("--use", "is_used", is_flag=True, help="Also make it the current one.")
@click.option("--replace", is_flag=True, help="Also when there is one of this name.")
def add(name: str, url: str, *, is_used: bool, replace: bool) -> None:
    """Keep the address of a daemon under a name."""
    from volant.client.address import checked
    from volant.model.meta import is_name

    if not is_name(name):
        raise click.UsageError(f"{name!r} is no name: small letters, digits and dashes, 63 at most.")
    address = checked(url)

    def step(kept: Contexts) -> Contexts:
        if name in kept.urls and not replace:
            raise Ended(f"there is a context {name} already, {kept.urls[name]}. --replace takes its place", ERROR)
        return Contexts({**kept.urls, name: address}, name if is_used else kept.current)

    change(_environ(), step)
    click.echo(f"context {name} added{', and is current' if is_used else ''}")


@context.command()
@click.argument("name", shell_complete=options.contexts)
def remove(name: str) -> None:
    """Forget a context. The daemon stays as it is."""

    def step(kept: Contexts) -> Contexts:
        kept.url(name, "`remove`")
        left = {one: url for one, url in kept.urls.items() if one != name}
        return Contexts(left, None if kept.current == name else kept.current)

    was = read(_environ()).current
    change(_environ(), step)
    click.echo(f"context {name} removed{', no context is current now' if was == name else ''}")


def _document(found: Any, shape: str) -> None:
    from volant.cli.shapes import document

    document(found, shape)
