"""`volant delete -f`: the end of what files name. What they say besides is not looked at.

What uses comes before what is used: deployments and VMs are asked to go, all of them, then plugins are.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from volant.cli.options import reaching, waiting
from volant.cli.planned import named
from volant.cli.saying import files, named_in

if TYPE_CHECKING:
    from volant.client import Client

ORDER = ("Deployment", "VM", "Plugin")


@click.command()
@files
@waiting(default=True, what="gone")
@reaching
def delete(paths: tuple[str, ...], timeout_s: float | None, url: str, *, is_waiting: bool) -> None:
    """Delete the objects that files name. What is not there is no mistake."""
    from volant.client import Client

    said = named_in(paths)
    keys = sorted({(ORDER.index(one.value["kind"]), str(one.value["metadata"]["name"])) for one in said})
    patience_s = 60.0 if timeout_s is None else timeout_s
    with Client(url) as client:
        going = [(kind, name) for kind, name in _named(keys, plugins=False) if _asked_to_go(client, kind, name)]
        if is_waiting:
            _until_gone(url, going, patience_s)
        going = [(kind, name) for kind, name in _named(keys, plugins=True) if _asked_to_go(client, kind, name)]
        if is_waiting:
            _until_gone(url, going, patience_s)


def _named(keys: list[tuple[int, str]], *, plugins: bool) -> list[tuple[str, str]]:
    return [(ORDER[order], name) for order, name in keys if (ORDER[order] == "Plugin") == plugins]


def _asked_to_go(client: Client, kind: str, name: str) -> bool:
    from volant.client import ApiError

    by_kind: dict[str, Any] = {"VM": client.vms, "Deployment": client.deployments, "Plugin": client.plugins}
    try:
        by_kind[kind].delete(name, wait="none")
    except ApiError as error:
        if not error.code.endswith("_not_found"):
            raise
        click.echo(f"= {named(kind, name)} is not there")
        return False
    click.echo(f"- {named(kind, name)} deleted")
    return True


def _until_gone(url: str, going: list[tuple[str, str]], timeout_s: float) -> None:
    from volant.cli.settling import wait_for_all

    wait_for_all(url, [(kind, name, "deleted") for kind, name in going], timeout_s, is_told=False)
