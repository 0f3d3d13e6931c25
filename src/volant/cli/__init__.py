"""The `volant` command: talks HTTP like any client, `serve` excepted.

Commands are imported when they are used: `volant --help` needs neither the store nor the drivers, and starts in the
time that click takes.
"""

from __future__ import annotations

import importlib
from typing import ClassVar

import click

from volant import __version__
from volant.errors import VolantError


class Lazy(click.Group):
    """A group that knows where its commands are, and fetches the one that is asked for."""

    table: ClassVar[dict[str, str]] = {
        "serve": "volant.cli.serve:serve",
        "image": "volant.cli.image:image",
        "drain": "volant.cli.drain:drain",
        "why": "volant.cli.why:why",
    }

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names, sorted."""
        return sorted(self.table)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command, imported now; None when there is none of that name."""
        where = self.table.get(cmd_name)
        if where is None:
            return None
        module, _, name = where.partition(":")
        command: click.Command = getattr(importlib.import_module(module), name)
        return command

    def invoke(self, ctx: click.Context) -> object:
        """Run; a VolantError is one sentence on standard error and exit status 1."""
        try:
            return super().invoke(ctx)
        except VolantError as exc:
            raise click.ClickException(exc.message) from exc


@click.group(cls=Lazy)
@click.version_option(__version__, prog_name="volant")
def volant() -> None:
    """Declarative microVMs on this host: say what should exist, Volant makes it so and keeps it so."""
