"""`volant network`: what the bridge network has made on this host, and how to be rid of it.

Speaks to the host and not to the daemon: for `down` none may run, because it would put everything back.
"""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING, Any

import click

from volant import config

if TYPE_CHECKING:
    from volant.daemon.networks import Found


def _where(command: Any) -> Any:
    """The options that say whose network is meant: those of `serve`."""
    for option in (
        click.option("--data-dir", metavar="DIR", help="That of the daemon."),
        click.option("--bridge-name", metavar="NAME", help="The bridge that Volant makes (volbr0)."),
        click.option("--config", metavar="FILE.toml", help="Settings from a file; flags and VOLANT_* beat it."),
    ):
        command = option(command)
    return command


@click.group()
def network() -> None:
    """The bridge network of this host."""


@network.command()
@_where
def show(**flags: Any) -> None:
    """Show the bridge, taps and rules that are Volant's. Changes nothing."""
    from volant.daemon import networks

    for line in _lines(asyncio.run(networks.found(_settings(flags)))):
        click.echo(line)


@network.command()
@_where
@click.option("--force", is_flag=True, help="Although VMs run: they are without a network until a daemon is started.")
def down(*, force: bool, **flags: Any) -> None:
    """Remove the bridge, taps and rules that are Volant's. The next `volant serve` makes them again."""
    from volant.daemon import networks

    was = asyncio.run(networks.remove(_settings(flags), force=force))
    for line in _lines(was):
        click.echo(f"removed {line}" if not was.is_nothing else line)
    if was.has_set_forwarding:
        click.echo("turned IP forwarding off again")


def _settings(flags: dict[str, Any]) -> config.Settings:
    return config.load(flags, os.environ, uid=os.geteuid())  # noqa: TID251  the command line is where it enters


def _lines(found: Found) -> list[str]:
    if found.is_nothing:
        return ["nothing of Volant's is on this host"]
    lines = [f"bridge {found.bridge} {' '.join(found.addresses)}"] if found.bridge is not None else []
    lines += [f"tap {tap.name} of {tap.uid}{' (in use)' if tap.is_used else ''}" for tap in found.taps]
    return lines + [f"rules, family {family}" for family in found.families]
