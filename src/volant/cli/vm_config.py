"""`volant vms config`: what a VM is booted with next."""

from __future__ import annotations

from typing import Any

import click

from volant.cli import bodies, options


@click.group()
def config() -> None:
    """What a VM is booted with next: get, set, history."""


@config.command("get")
@options.name("vms")
@options.output("yaml", "json", default="yaml")
@options.reaching
def config_get(url: str, name: str, shape: str) -> None:
    """Show the config of a VM."""
    from volant.cli.shapes import document
    from volant.client import Client

    with Client(url) as client:
        document(client.vms.get_config(name), shape)


@config.command("set")
@options.name("vms")
@click.argument("changes", nargs=-1, metavar="PATH=VALUE...")
@click.option("--unset", multiple=True, metavar="PATH", help="Back to what the plugin says; repeat.")
@click.option(
    "-f",
    "--filename",
    "file",
    metavar="FILE",
    help="A merge patch, YAML or JSON; - is standard input. PATHs beat it.",
)
@options.output("yaml", "json", text="Print the whole config instead of a sentence.")
@options.reaching
def config_set(
    url: str, name: str, changes: tuple[str, ...], unset: tuple[str, ...], file: str | None, shape: str | None
) -> None:
    """Change the config of a VM: resources.vcpu=4 env.MODE=test.

    A value is JSON where it is some and text where it is not; variables and texts for cloud-init are always text.
    The change is for the next boot.
    """
    from volant.cli.shapes import document
    from volant.client import Client

    said = bodies.read(file) if file else None
    patch = bodies.patch_of(changes, unset, said.value if said else {}, _is_text)
    with Client(url) as client, bodies.placed(said):
        before = None if shape else client.vms.get_config(name)
        found = client.vms.patch_config(name, patch)
    if shape:
        document(found, shape)
        return
    click.echo(f"vm {name} {'unchanged' if found == before else 'configured'}")
    if found.restart_required:
        click.echo(f"Its guest was booted with another config: `volant vms restart {name}` takes it over.", err=True)


@config.command("history")
@options.name("vms")
@click.option("--limit", type=click.IntRange(1), help="The newest so many.")
@options.output("table", "json", "yaml", default="table")
@options.reaching
def config_history(url: str, name: str, limit: int | None, shape: str) -> None:
    """Show what was changed in the config of a VM, the newest first."""
    from volant.cli.shapes import document
    from volant.cli.terminal import columns
    from volant.client import Client

    with Client(url) as client:
        found = client.vms.config_history(name, limit=limit)
    if shape != "table":
        document(found, shape)
        return
    rows = [(one.generation, one.timestamp, one.author, _changed(one.changes)) for one in found]
    for line in columns(("GENERATION", "TIME", "BY", "CHANGES"), rows):
        click.echo(line)


def _changed(changes: dict[str, Any]) -> str:
    said = [
        path if isinstance(change, bool) else f"{path}: {_value(change.old)} → {_value(change.new)}"
        for path, change in sorted(changes.items())
    ]
    return ", ".join(said)


def _value(value: Any) -> str:
    import json

    return "nothing" if value is None else value if isinstance(value, str) else json.dumps(value)


def _is_text(path: str) -> bool:
    return path.partition(".")[0] in ("env", "cloud_init") and path != "cloud_init.enabled"
