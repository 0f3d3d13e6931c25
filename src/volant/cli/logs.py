"""`volant logs`: what a guest says on its serial console."""

from __future__ import annotations

import sys
from collections.abc import Iterable

import click

from volant.cli import options
from volant.cli.terminal import is_coloured


@click.command()
@options.name("vms")
@click.option(
    "-f",
    "--follow",
    is_flag=True,
    help="Go on with what it says, over restarts, the daemon's too, until the VM is deleted.",
)
@click.option("--tail", "-n", type=click.IntRange(0), metavar="LINES", help="Only the last so many lines.")
@click.option("-p", "--previous", is_flag=True, help="Of the guest before the one that runs: why it ended, say.")
@click.option("--raw", is_flag=True, help="As the guest wrote it, control sequences and all: a terminal obeys them.")
@options.reaching
def logs(url: str, name: str, tail: int | None, *, follow: bool, previous: bool, raw: bool) -> None:
    """Show what a VM's guest says on its serial console.

    Of a VM whose guest has ended it is the end of what that one said. Control sequences are left out, but for colours
    on a terminal.
    """
    if follow and previous:
        raise click.UsageError("--previous is of a guest that says nothing any more: -f does not go with it.")
    from volant.client import Client

    with Client(url) as client:
        if not follow:
            _show([client.vms.logs(name, tail=tail, previous=previous)], raw=raw)
            return
        _show(client.vms.follow_logs(name, tail=tail, on_gap=_say_gap), raw=raw)


def _say_gap(sentence: str) -> None:
    click.echo(f"volant: {sentence}", err=True)


def _show(pieces: Iterable[str], *, raw: bool) -> None:
    from volant.cli.consoletext import Harmless

    harmless = Harmless(coloured=is_coloured(sys.stdout))
    try:
        for piece in pieces:
            _write(piece if raw else harmless.of(piece))
    finally:
        if not raw:
            _write(harmless.rest())


def _write(text: str) -> None:
    if text:
        click.echo(text, nl=False, color=True)
        sys.stdout.flush()
