"""`volant deployments endpoints`: where requests may be sent now, for people and for whoever writes a proxy's list.

With `--watch` a line for each change, the whole list every time: a reader needs no state of its own.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click
import msgspec

from volant.cli import options
from volant.cli.terminal import columns, is_coloured, plain

if TYPE_CHECKING:
    from volant.model.views import EndpointsView, ReplicaView


@click.command(short_help="Show where its ready VMs are reached.")
@options.name("deployments")
@options.output("table", "json", "yaml", "name", default="table")
@click.option("-w", "--watch", "is_watching", is_flag=True, help="A line for each change of them, until Ctrl-C.")
@options.reaching
def endpoints(url: str, name: str, shape: str, *, is_watching: bool) -> None:
    """Show where a deployment is reached: its ready VMs and their ports."""
    from volant.client import Client

    with Client(url) as client:
        if not is_watching:
            _show(client.deployments.endpoints(name), shape)
            return
        for found in client.follow_endpoints(name):
            click.echo(_line(found, shape))
            sys.stdout.flush()


def _show(found: EndpointsView, shape: str) -> None:
    if shape in ("json", "yaml"):
        from volant.cli.shapes import document

        document(found, shape)
    elif shape == "name":
        for one in found.endpoints:
            click.echo(one.vm)
    elif not found.endpoints:
        click.echo("No endpoints", err=True)
    else:
        rows = [
            [one.vm, ",".join(_addresses(one)), one.template_revision or "", one.node or ""] for one in found.endpoints
        ]
        for line in columns(["VM", "ADDRESS", "REVISION", "NODE"], rows, coloured=is_coloured(sys.stdout)):
            click.echo(line)


def _line(found: EndpointsView, shape: str) -> str:
    if shape in ("json", "yaml"):  # What is JSON on one line is YAML on one line.
        return msgspec.json.encode(found).decode()
    said = [one.vm if shape == "name" else f"{one.vm}={','.join(_addresses(one))}" for one in found.endpoints]
    return plain(" ".join(said) or "-")


def _addresses(replica: ReplicaView) -> list[str]:
    """Where its ports are reached; one that publishes none has its own address."""
    return [f"{at.address}:{at.port}" for at in replica.ports] or [replica.ip or ""]
