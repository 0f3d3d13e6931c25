"""`volant plugins`: what VMs are made of."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from volant.cli import bodies, options, verbs
from volant.cli.nouns import PLUGIN
from volant.cli.verbs import told
from volant.errors import Invalid

if TYPE_CHECKING:
    from volant.client import AsyncClient


@click.group()
def plugins() -> None:
    """Plugins: list, create, enable, disable, delete."""


plugins.add_command(verbs.listing(PLUGIN, sorts=("created_at", "name", "enabled")))
plugins.add_command(verbs.getting(PLUGIN))
plugins.add_command(verbs.deleting(PLUGIN))


@plugins.command()
@click.option(
    "-f", "--filename", "file", required=True, metavar="FILE", help="The manifest as YAML or JSON; - is standard input."
)
@options.waiting(default=False, what="ready")
@options.output("json", "yaml", "name", text="Print the plugin instead of a sentence.")
@options.reaching
def create(url: str, file: str, shape: str | None, *, is_waiting: bool, timeout_s: float | None) -> None:
    """Install a plugin from its manifest.

    `volant image build` writes one beside each image.
    """
    said = bodies.read(file)
    manifest, name = said.value, said.value.get("name")
    if not isinstance(name, str):
        raise Invalid(f"cannot install {file}: expected the name of the plugin in `name`")

    async def act(client: AsyncClient) -> Any:
        made = await client.plugins.create(manifest)
        if not is_waiting:
            return made
        bound_s = 60.0 if timeout_s is None else timeout_s
        return await client.plugins.wait(name, "ready", generation=made.generation, timeout_s=bound_s)

    with bodies.placed(said):
        told(url, PLUGIN, name, act, shape, done="created", is_waiting=is_waiting)


@plugins.command()
@options.names("plugins")
@options.reaching
def enable(url: str, names: tuple[str, ...]) -> None:
    """Let new VMs be made of plugins again."""
    _switched(url, names, enabled=True)


@plugins.command()
@options.names("plugins")
@options.reaching
def disable(url: str, names: tuple[str, ...]) -> None:
    """Let no new VMs be made of plugins; those that exist stay."""
    _switched(url, names, enabled=False)


def _switched(url: str, names: tuple[str, ...], *, enabled: bool) -> None:
    async def act(client: AsyncClient, name: str) -> str:
        found = await client.plugins.enable(name, enabled=enabled)
        return "enabled" if found.enabled else "disabled"

    verbs.many(url, PLUGIN, list(names), act)
