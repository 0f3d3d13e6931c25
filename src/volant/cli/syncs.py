"""`volant syncs`: the sets that the daemon itself keeps as files say them. Which there are, its settings say."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from volant.cli import options
from volant.cli.ending import ERROR, TIMED_OUT, Ended
from volant.cli.options import Duration, output, reaching
from volant.cli.terminal import columns, is_coloured, plain

if TYPE_CHECKING:
    from volant.model.views import SyncView

HEADS = ["NAME", "STATE", "COMMIT", "APPLIED", "FAILURES", "FROM"]


@click.group()
def syncs() -> None:
    """Sets that the daemon keeps by itself: list, get, now."""


@syncs.command("list")
@output("table", "json", "yaml", "name", default="table")
@reaching
def list_(shape: str, url: str) -> None:
    """List them."""
    from volant.client import Client
    from volant.client.applying import list_syncs

    with Client(url) as client:
        _show(client.send(list_syncs()), shape)


@syncs.command("get")
@options.name("syncs")
@output("table", "json", "yaml", "name", default="table")
@reaching
def get(name: str, shape: str, url: str) -> None:
    """Show one of them, and what is in its way."""
    from volant.cli.shapes import document
    from volant.client import Client
    from volant.client.applying import get_sync

    with Client(url) as client:
        found = client.send(get_sync(name))
    if shape in ("json", "yaml"):
        document(found, shape)
        return
    _show([found], shape)
    if shape == "table" and found.status.error is not None:
        click.echo(_error(found))


@syncs.command("now", short_help="Have it tried now.")
@options.name("syncs")
@click.option("--wait/--no-wait", "is_waiting", default=True, help="Whether to wait until it was tried. It is waited.")
@click.option("--timeout", "timeout_s", type=Duration(), default="60s", show_default=True, help="How long to wait.")
@reaching
def now(name: str, url: str, *, is_waiting: bool, timeout_s: float) -> None:
    """Have it tried now: 1 if that did not go well, 4 if it is not over in time."""
    from volant.client import Client, NotReached
    from volant.client.applying import sync_now

    with Client(url) as client:
        try:
            found = client.send(sync_now(name, wait="tried" if is_waiting else None, timeout_s=timeout_s))
        except NotReached as error:
            raise Ended(f"cannot say how the sync of {plain(name)} went: it is not over yet", TIMED_OUT) from error
    if not is_waiting:
        click.echo(f"sync {plain(name)} is being tried")
    elif found.status.state != "synced":
        raise Ended(_error(found), ERROR)
    else:
        click.echo(f"sync {plain(name)} at {plain((found.status.commit or '')[:22])}: in order")


def _show(found: list[SyncView], shape: str) -> None:
    from volant.cli.shapes import document, since

    if shape in ("json", "yaml"):
        document(found, shape)
        return
    if shape == "name":
        for one in found:
            click.echo(one.name)
        return
    if not found:
        click.echo("No syncs: the daemon's settings name none", err=True)
        return
    rows = [
        [
            one.name,
            one.status.state,
            (one.status.commit or "")[:22],
            since(one.status.applied_at) if one.status.applied_at else "",
            one.status.failures,
            one.spec.git or one.spec.dir,
        ]
        for one in found
    ]
    for line in columns(HEADS, rows, coloured=is_coloured(sys.stdout)):
        click.echo(line)


def _error(found: SyncView) -> str:
    said = found.status.error or "it was not tried yet"
    return "\n".join(plain(line) for line in said.split("\n"))
