"""`volant export`: what there is, as manifests that apply back to no difference."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from volant.cli.ending import GONE, USAGE, Ended
from volant.cli.objects import completed_keys
from volant.cli.options import completed, output, reaching
from volant.cli.terminal import plain

if TYPE_CHECKING:
    from volant.client import Client

KINDS = {"vm": "VM", "deployment": "Deployment", "plugin": "Plugin"}


@click.command()
@click.argument("objects", nargs=-1, metavar="[KIND/NAME]...", shell_complete=completed_keys)
@click.option("--set", "set_name", metavar="NAME", shell_complete=completed("sets"), help="The objects of this set.")
@click.option("--all", "is_all", is_flag=True, help="Every object, but the VMs of deployments.")
@output("yaml", "json", default="yaml")
@reaching
def export(objects: tuple[str, ...], set_name: str | None, shape: str, url: str, *, is_all: bool) -> None:
    """Write manifests of what there is, such as vm/db. Secrets are in them: the texts for cloud-init, and variables."""
    from volant.client import Client
    from volant.manifests import written

    if sum((bool(objects), set_name is not None, is_all)) != 1:
        raise Ended("expected one of: KIND/NAME..., --set NAME, --all", USAGE)
    keys = [_key(word) for word in objects]
    with Client(url) as client:
        found = list(_found(client, keys, set_name))
    if shape == "json":
        import json

        click.echo(json.dumps({"kind": "List", "items": found}, indent=2, ensure_ascii=False))
    else:
        click.echo(written(found), nl=False)


def _key(word: str) -> tuple[str, str]:
    kind, _, name = word.partition("/")
    if kind not in KINDS or not name:
        raise Ended(f"cannot tell what {plain(word)} is: expected vm/NAME, deployment/NAME or plugin/NAME", USAGE)
    return KINDS[kind], name


def _found(client: Client, keys: list[tuple[str, str]], set_name: str | None) -> Iterator[dict[str, Any]]:
    from volant.client.applying import list_manifests

    if not keys:
        yield from client.send(list_manifests(of_set=set_name))
    for kind, name in keys:
        found = client.send(list_manifests(kind=kind, name=name))
        if not found:
            raise Ended(f"there is no {kind} {plain(name)}", GONE)
        yield from found
