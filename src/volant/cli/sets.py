"""`volant sets`: what was applied together, and what was pruned of it."""

from __future__ import annotations

import sys

import click

from volant.cli.options import output, reaching
from volant.cli.planned import lines, named
from volant.cli.shapes import document
from volant.cli.terminal import columns, is_coloured


@click.group()
def sets() -> None:
    """What was applied together, and what was pruned of it."""


@sets.command("list")
@output("table", "json", "yaml", "name", default="table")
@reaching
def list_(shape: str, url: str) -> None:
    """List the sets."""
    from volant.client import Client
    from volant.client.applying import list_sets

    with Client(url) as client:
        found = client.send(list_sets())
    if shape in ("json", "yaml"):
        document(found, shape)
    elif shape == "name":
        for one in found:
            click.echo(one.name)
    else:
        rows = [[one.name, len(one.objects), len(one.pruned)] for one in found]
        for line in columns(["NAME", "OBJECTS", "RESTORABLE"], rows, coloured=is_coloured(sys.stdout)):
            click.echo(line)


@sets.command("get")
@click.argument("name", metavar="NAME")
@output("table", "json", "yaml", "name", default="table")
@reaching
def get(name: str, shape: str, url: str) -> None:
    """Show what is in a set, and what can be brought back of it."""
    from volant.client import Client
    from volant.client.applying import get_set

    with Client(url) as client:
        found = client.send(get_set(name))
    if shape in ("json", "yaml"):
        document(found, shape)
        return
    if shape == "name":
        for member in found.objects:
            click.echo(named(member.kind, member.name))
        return
    rows = [[named(one.kind, one.name), "", one.uid] for one in found.objects]
    rows += [
        [named(one.kind, one.name), f"pruned, restorable until {one.restorable_until}", ""] for one in found.pruned
    ]
    for line in columns(["OBJECT", "PRUNED", "UID"], rows, coloured=is_coloured(sys.stdout)):
        click.echo(line)


@sets.command("restore")
@click.argument("name", metavar="NAME")
@click.option("--dry-run", is_flag=True, help="Only say what would be done.")
@output("text", "json", "yaml", default="text")
@reaching
def restore(name: str, shape: str, url: str, *, dry_run: bool) -> None:
    """Make again what was pruned of a set in the last 24 hours, with new identities, addresses and disks."""
    from volant.client import Client
    from volant.client.applying import restore_set

    with Client(url) as client:
        view = client.send(restore_set(name, dry_run=dry_run))
    if shape in ("json", "yaml"):
        document(view, shape)
        return
    for line in lines(view, coloured=is_coloured(sys.stdout)):
        click.echo(line)
