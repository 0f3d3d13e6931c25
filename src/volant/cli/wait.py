"""`volant wait`: until it is so, or cannot be so any more."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from volant.cli import options
from volant.cli.objects import completed_objects, of_a_kind

if TYPE_CHECKING:
    from volant.client import AsyncClient

DEFAULTS = {"vm": "ready", "deployment": "available", "plugin": "ready"}


@click.command()
@click.argument("words", nargs=-1, required=True, metavar="KIND/NAME", shell_complete=completed_objects)
@click.option(
    "--for",
    "state",
    type=click.Choice(["available", "complete", "deleted", "exists", "ready", "running", "stopped"]),
    help="What to wait for (a VM or plugin ready, a deployment available; complete: its rollout).",
)
@click.option("--timeout", "timeout_s", type=options.Duration(), default="60s", show_default=True, help="How long.")
@options.reaching
def wait(url: str, words: tuple[str, ...], state: str | None, timeout_s: float) -> None:
    """Wait until an object is as it should be: vm/db, deployment/web, plugin/hello.

    Exit status: 0 it is, 2 it cannot be any more unless somebody acts, 3 it is not there or goes, 4 not in time.
    """
    from volant.cli.waiting import run_with_progress

    noun, name = of_a_kind(words)
    kind = noun.word
    goal = state or DEFAULTS[kind]
    if goal not in noun.goals:
        raise click.UsageError(f"a {kind} is never {goal}: wait for {', '.join(noun.goals)}.")

    async def act(client: AsyncClient) -> Any:
        return await noun.of(client).wait(name, goal, timeout_s=timeout_s)

    watched = {"deployment": name} if kind == "deployment" else {"kinds": (noun.kind,), "names": (name,)}
    run_with_progress(url, act, **watched)
    click.echo(f"{kind} {name} {'is there' if goal == 'exists' else f'is {goal}'}")
