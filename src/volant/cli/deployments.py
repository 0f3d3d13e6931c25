"""`volant deployments`: so many VMs of one plugin."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from volant.cli import bodies, options, verbs
from volant.cli.nouns import DEPLOYMENT
from volant.cli.verbs import told

if TYPE_CHECKING:
    from volant.client import AsyncClient


@click.group()
def deployments() -> None:
    """Deployments: list, create, scale, delete."""


deployments.add_command(
    verbs.listing(DEPLOYMENT, sorts=("created_at", "name", "plugin", "status", "replicas", "ready_replicas"))
)
deployments.add_command(verbs.getting(DEPLOYMENT))
deployments.add_command(verbs.deleting(DEPLOYMENT))


@deployments.command()
@click.argument("name", required=False)
@click.option("--plugin", metavar="NAME", shell_complete=options.completed("plugins"), help="What its VMs are made of.")
@click.option(
    "-f", "--filename", "file", metavar="FILE", help="The whole of it as JSON; - is standard input. Options beat it."
)
@click.option("--replicas", type=click.IntRange(0, 10_000), help="How many VMs (1).")
@click.option("--vcpu", type=click.IntRange(1, 64), help="Virtual CPUs of each.")
@click.option("--memory", "memory_mb", type=click.IntRange(32), metavar="MB", help="Memory of each in MiB.")
@click.option("--env", multiple=True, metavar="NAME=VALUE", help="A variable; repeat.")
@click.option("--label", multiple=True, metavar="NAME=VALUE", help="A label; repeat.")
@click.option("--restart-policy", type=click.Choice(["always", "on_failure", "never"]), help="When a guest ends.")
@options.waiting(default=False, what="available")
@options.output("json", "yaml", "name", text="Print the deployment instead of a sentence.")
@options.reaching
def create(url: str, shape: str | None, *, is_waiting: bool, timeout_s: float | None, **said: Any) -> None:
    """Make a deployment."""
    body = bodies.body_of(said, ("name", "plugin", "replicas", "restart_policy"))
    name = body["name"]

    async def act(client: AsyncClient) -> Any:
        made = await client.deployments.create(body)
        return await _available(client, made, timeout_s) if is_waiting else made

    told(url, DEPLOYMENT, name, act, shape, done="created", is_waiting=is_waiting, deployment=name)


@deployments.command()
@options.name("deployments")
@click.argument("replicas", type=click.IntRange(0, 10_000))
@options.waiting(default=False, what="available")
@options.output("json", "yaml", "name", text="Print the deployment instead of a sentence.")
@options.reaching
def scale(url: str, name: str, replicas: int, shape: str | None, *, is_waiting: bool, timeout_s: float | None) -> None:
    """Have so many VMs from now on."""

    async def act(client: AsyncClient) -> Any:
        asked = await client.deployments.scale(name, replicas)
        return await _available(client, asked, timeout_s) if is_waiting else asked

    done = f"scaled to {replicas}"
    told(url, DEPLOYMENT, name, act, shape, done=done, is_waiting=is_waiting, deployment=name)


async def _available(client: AsyncClient, asked: Any, timeout_s: float | None) -> Any:
    bound_s = 60.0 if timeout_s is None else timeout_s
    return await client.deployments.wait(asked.name, "available", generation=asked.generation, timeout_s=bound_s)
