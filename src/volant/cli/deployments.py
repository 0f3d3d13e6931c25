"""`volant deployments`: so many VMs of one plugin."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from volant.cli import bodies, edit, options, verbs
from volant.cli import rollout as rollouts
from volant.cli.endpoints import endpoints
from volant.cli.nouns import DEPLOYMENT
from volant.cli.verbs import told

if TYPE_CHECKING:
    from volant.client import AsyncClient


@click.group()
def deployments() -> None:
    """Deployments: list, create, scale, set, roll, delete."""


deployments.add_command(
    verbs.listing(DEPLOYMENT, sorts=("created_at", "name", "plugin", "status", "replicas", "ready_replicas"))
)
deployments.add_command(verbs.getting(DEPLOYMENT))
deployments.add_command(verbs.deleting(DEPLOYMENT))
deployments.add_command(edit.editing(DEPLOYMENT))
deployments.add_command(rollouts.rollout)
deployments.add_command(rollouts.restart)
deployments.add_command(endpoints)


@deployments.command()
@click.argument("name", required=False)
@click.option("--plugin", metavar="NAME", shell_complete=options.completed("plugins"), help="What its VMs are made of.")
@click.option(
    "-f", "--filename", "file", metavar="FILE", help="All of it as YAML or JSON; - is standard input. Options beat it."
)
@click.option("--replicas", type=options.Whole(0, 10_000), help="How many VMs (1).")
@click.option("--vcpu", type=options.Whole(1, 64), help="Virtual CPUs of each.")
@click.option("--memory", "memory_mb", type=options.Memory(), metavar="MB", help="Memory of each in MiB, or 1G.")
@click.option("--env", multiple=True, metavar="NAME=VALUE", help="A variable; repeat.")
@click.option("--label", multiple=True, metavar="NAME=VALUE", help="A label; repeat.")
@click.option("--restart-policy", type=click.Choice(["always", "on_failure", "never"]), help="When a guest ends.")
@options.waiting(default=False, what="available")
@options.output("json", "yaml", "name", text="Print the deployment instead of a sentence.")
@options.reaching
def create(url: str, shape: str | None, *, is_waiting: bool, timeout_s: float | None, **said: Any) -> None:
    """Make a deployment."""
    file = bodies.spoken(said["file"])
    body = bodies.body_of(said, ("name", "plugin", "replicas", "restart_policy"), file.value if file else None)
    name = body["name"]

    async def act(client: AsyncClient) -> Any:
        made = await client.deployments.create(body)
        return await _available(client, made, timeout_s) if is_waiting else made

    with bodies.placed(file):
        told(url, DEPLOYMENT, name, act, shape, done="created", is_waiting=is_waiting, deployment=name)


@deployments.command()
@options.name("deployments")
@click.argument("replicas", type=options.Whole(0, 10_000))
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


@deployments.command("set", short_help="Change what its VMs are made of, or how they roll.")
@options.name("deployments")
@click.argument("changes", nargs=-1, metavar="PATH=VALUE...")
@click.option("--unset", multiple=True, metavar="PATH", help="Back to what the plugin says, or to the default; repeat.")
@click.option(
    "-f",
    "--filename",
    "file",
    metavar="FILE",
    help="A merge patch, YAML or JSON; - is standard input. PATHs beat it.",
)
@options.waiting(default=False, what="complete")
@options.output("json", "yaml", "name", text="Print the deployment instead of a sentence.")
@options.reaching
def set_(url: str, name: str, shape: str | None, *, is_waiting: bool, timeout_s: float | None, **told: Any) -> None:
    """Change what its VMs are made of, how many there are, or how they roll: plugin=web-2 config.env.MODE=test.

    A value is JSON where it is some and text where it is not; labels, variables and texts for cloud-init are always
    text. Another plugin, config, restart_policy or label replaces the VMs, within `strategy`.
    """
    said = bodies.read(told["file"]) if told["file"] else None
    patch = bodies.patch_of(told["changes"], told["unset"], said.value if said else {}, _is_text)

    async def write(client: AsyncClient) -> Any:
        return await client.deployments.patch(name, patch)

    with bodies.placed(said):
        found = rollouts.done(url, name, write, is_waiting=is_waiting, timeout_s=timeout_s)
    rollouts.end(name, found, shape, "changed", is_waiting=is_waiting)


def _is_text(path: str) -> bool:
    first, _, rest = path.partition(".")
    inner = rest.partition(".")[0] if first == "config" else ""
    return first in ("labels", "plugin") or (inner in ("env", "cloud_init") and rest != "cloud_init.enabled")


async def _available(client: AsyncClient, asked: Any, timeout_s: float | None) -> Any:
    bound_s = 60.0 if timeout_s is None else timeout_s
    return await client.deployments.wait(asked.name, "available", generation=asked.generation, timeout_s=bound_s)
