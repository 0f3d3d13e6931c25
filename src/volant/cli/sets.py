"""`volant sets`: what was applied together, what became of it, and what was pruned of it."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from volant.cli import options
from volant.cli.options import Whole, atomic, output, reaching
from volant.cli.planned import lines, named
from volant.cli.shapes import document
from volant.cli.terminal import columns, is_coloured, plain

if TYPE_CHECKING:
    from volant.model.apply.outcome import SetRevisionView, SetView


@click.group()
def sets() -> None:
    """What was applied together, and what was pruned of it."""


@sets.command("list")
@output(default="table")
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
    elif not found:
        click.echo("No sets: `volant apply` makes one", err=True)
    else:
        heads = ["NAME", "OBJECTS", "RESTORABLE", "STATE", *(["REVISION", "MEMBERS"] if shape == "wide" else [])]
        rows = [_listed(one, is_wide=shape == "wide") for one in found]
        for line in columns(heads, rows, coloured=is_coloured(sys.stdout)):
            click.echo(line)


def _listed(one: SetView, *, is_wide: bool) -> list[object]:
    narrow = [one.name, len(one.objects), len(one.pruned), one.state or ""]
    members = ",".join(named(member.kind, member.name) for member in one.objects)
    return [*narrow, one.revision or "", members] if is_wide else narrow


@sets.command("get")
@options.name("sets")
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
    if found.revisions:
        click.echo()
        head = ["REVISION", "STATE", "APPLIED", "MANAGER", "OBJECTS", "WHY"]
        for line in columns(head, [_row(one) for one in found.revisions], coloured=is_coloured(sys.stdout)):
            click.echo(line)


def _row(one: SetRevisionView) -> list[object]:
    until = f"healthy until {one.deadline}, or it goes back" if one.state == "progressing" and one.deadline else ""
    return [one.number, one.state, one.applied_at, one.manager, one.objects, one.message or until]


@sets.command("rollback")
@options.name("sets")
@click.option("--to", "number", type=Whole(min=1), metavar="REVISION", help="The last healthy, unless said.")
@click.option("--confirm-delete", type=Whole(min=0), metavar="N", help="That N objects go is meant.")
@click.option("--force", is_flag=True, help="Take over fields and objects of other managers and sets.")
@atomic
@click.option("--dry-run", is_flag=True, help="Only say what would be done.")
@output("text", "json", "yaml", default="text")
@reaching
def rollback(  # noqa: PLR0913  one parameter an option
    name: str,
    number: int | None,
    confirm_delete: int | None,
    shape: str,
    url: str,
    *,
    deadline_s: float | None,
    force: bool,
    is_atomic: bool,
    dry_run: bool,
) -> None:
    """Apply a set once more as it was said for an earlier revision."""
    from volant.client import Client
    from volant.client.applying import roll_back_set

    call = roll_back_set(
        name,
        number,
        dry_run=dry_run,
        force=force,
        confirm_delete=confirm_delete,
        atomic=is_atomic,
        deadline_s=deadline_s,
    )
    with Client(url) as client:
        view = client.send(call)
    if shape in ("json", "yaml"):
        document(view, shape)
        return
    for line in lines(view, coloured=is_coloured(sys.stdout)):
        click.echo(line)


@sets.command("restore", short_help="Make again what was pruned of a set in the last 24 hours.")
@options.name("sets")
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
    if not view.objects:
        click.echo(f"set {plain(name)}: nothing of it can be brought back, nothing to do")
        return
    for line in lines(view, coloured=is_coloured(sys.stdout)):
        click.echo(line)
