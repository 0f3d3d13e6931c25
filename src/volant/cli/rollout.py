"""`volant deployments rollout`: how a change of a deployment's template gets on, what was before, and back to it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from volant.cli import options
from volant.cli.ending import FAILED, Ended
from volant.cli.terminal import plain

if TYPE_CHECKING:
    from volant.client import AsyncClient
    from volant.model.views import RevisionView

COMPLETE = "complete"
NEXT = {
    "ProgressDeadlineExceeded": "`volant deployments rollout undo {name}` goes back; `volant why {name}` says more.",
    "RolledBack": "`volant deployments rollout history {name}` shows which template it was.",
    "RolloutPaused": "`volant deployments rollout resume {name}` goes on with it.",
}
"""What to do about a rollout that has failed, by its reason."""


@click.group(short_help="Of a change of what VMs are made of: status, history, undo.")
def rollout() -> None:
    """How a change of what VMs are made of gets on: status, history, undo, pause, resume, restart."""


@rollout.command(short_help="Show how it gets on, until it is complete or has failed.")
@options.name("deployments")
@click.option("--watch/--no-watch", "is_watching", default=True, help="Whether to wait for its end. It is waited for.")
@click.option("--timeout", "timeout_s", type=options.Duration(), help="How long to wait (as long as it takes).")
@options.output("json", "yaml", "name", text="Print the deployment instead of a sentence.")
@options.reaching
def status(url: str, name: str, shape: str | None, *, is_watching: bool, timeout_s: float | None) -> None:
    """Show how a rollout gets on, replica by replica, until it is complete or has failed.

    Exit status: 0 it is complete, 2 it has failed: stuck, paused or taken back; 3 it is not there or goes, 4 not in
    time.
    """
    from volant.client import Client

    bound_s = 0.0 if not is_watching else options.LONGEST_S if timeout_s is None else timeout_s
    with Client(url) as asked:
        # Before anything is shown, so that it is this rollout which is waited for, and not one that takes it back.
        generation = asked.deployments.get(name).generation

    async def act(client: AsyncClient) -> Any:
        return await client.deployments.wait(name, COMPLETE, generation=generation, timeout_s=bound_s)

    found = shown(url, name, act)
    end(name, found, shape, f"is complete: revision {found.template_revision}, {_figures(found)}")


@rollout.command(short_help="Show the templates that it has and had.")
@options.name("deployments")
@click.option("--revision", type=options.Whole(1), metavar="N", help="This one, with all that it makes.")
@options.output("table", "json", "yaml", default="table")
@options.reaching
def history(url: str, name: str, revision: int | None, shape: str) -> None:
    """Show the templates that a deployment has and had, the newest first, and what changed with each.

    Of values of variables and texts for cloud-init there is a digest in what changed.
    """
    from volant.cli import revisions
    from volant.cli.shapes import document
    from volant.client import Client

    with Client(url) as client:
        found = client.deployments.revisions(name)
    chosen = found if revision is None else [_of(found, name, revision)]
    if shape != "table":
        document(chosen if revision is None else chosen[0], shape)
        return
    for line in revisions.table(found) if revision is None else revisions.details(chosen[0], found):
        click.echo(line)


@rollout.command(short_help="Go back to the template of an earlier revision.")
@options.name("deployments")
@click.option("--to", "--to-revision", "revision", type=options.Whole(1), metavar="N", help="To this one.")
@options.waiting(default=False, what="complete")
@options.output("json", "yaml", "name", text="Print the deployment instead of a sentence.")
@options.reaching
def undo(
    url: str, name: str, revision: int | None, shape: str | None, *, is_waiting: bool, timeout_s: float | None
) -> None:
    """Go back to the template of an earlier revision: the one before, unless said. That is a rollout as well."""

    async def write(client: AsyncClient) -> Any:
        return await client.deployments.rollback(name, revision)

    found = done(url, name, write, is_waiting=is_waiting, timeout_s=timeout_s)
    end(name, found, shape, f"rolled back, as revision {found.template_revision}", is_waiting=is_waiting)


@rollout.command()
@options.name("deployments")
@options.output("json", "yaml", "name", text="Print the deployment instead of a sentence.")
@options.reaching
def pause(url: str, name: str, shape: str | None) -> None:
    """Replace no more VMs of it, until `resume`. Scaling goes on."""

    async def write(client: AsyncClient) -> Any:
        return await client.deployments.pause(name)

    end(name, done(url, name, write), shape, "paused")


@rollout.command()
@options.name("deployments")
@options.waiting(default=False, what="complete")
@options.output("json", "yaml", "name", text="Print the deployment instead of a sentence.")
@options.reaching
def resume(url: str, name: str, shape: str | None, *, is_waiting: bool, timeout_s: float | None) -> None:
    """Go on replacing VMs."""

    async def write(client: AsyncClient) -> Any:
        return await client.deployments.resume(name)

    found = done(url, name, write, is_waiting=is_waiting, timeout_s=timeout_s)
    end(name, found, shape, "resumed", is_waiting=is_waiting)


@rollout.command(short_help="Replace all its VMs by new ones of the same template.")
@options.name("deployments")
@options.waiting(default=False, what="complete")
@options.output("json", "yaml", "name", text="Print the deployment instead of a sentence.")
@options.reaching
def restart(url: str, name: str, shape: str | None, *, is_waiting: bool, timeout_s: float | None) -> None:
    """Replace all its VMs by new ones of the same template, as a rollout."""

    async def write(client: AsyncClient) -> Any:
        return await client.deployments.restart(name)

    found = done(url, name, write, is_waiting=is_waiting, timeout_s=timeout_s)
    end(name, found, shape, "restarted" if is_waiting else "is being restarted", is_waiting=is_waiting)


def done(
    url: str,
    name: str,
    write: Callable[[AsyncClient], Any],
    *,
    is_waiting: bool = False,
    timeout_s: float | None = None,
) -> Any:
    """The deployment after a write; with `is_waiting` after the rollout that comes of it, which is shown meanwhile."""
    if not is_waiting:
        from volant.cli import at_once

        return at_once.done(url, write)
    bound_s = 60.0 if timeout_s is None else timeout_s

    async def act(client: AsyncClient) -> Any:
        written = await write(client)
        return await client.deployments.wait(name, COMPLETE, generation=written.generation, timeout_s=bound_s)

    return shown(url, name, act)


def shown(url: str, name: str, act: Callable[[AsyncClient], Any]) -> Any:
    """The outcome of `act`, with the rollout shown meanwhile. Raises Ended with what to do about one that failed."""
    from volant.cli.rollout_screen import run_shown

    with _advised(name):
        return run_shown(url, name, act)


@contextmanager
def _advised(name: str) -> Iterator[None]:
    from volant.client import ApiError

    try:
        yield
    except ApiError as error:
        hint = NEXT.get(str(error.details.get("reason")))
        if error.code != "deployment_failed" or hint is None:
            raise
        raise Ended(f"{plain(error.message)}\n{hint.format(name=plain(name))}", FAILED) from error


def end(name: str, found: Any, shape: str | None, sentence: str, *, is_waiting: bool = False) -> None:
    """Say what was done, or print the deployment in that shape."""
    if shape:
        from volant.cli.shapes import show_one

        show_one(found, shape)
    else:
        click.echo(f"deployment {plain(name)} {sentence}{', complete' if is_waiting else ''}")


def _figures(found: Any) -> str:
    return f"{found.ready_replicas} of {found.replicas} ready"


def _of(found: Sequence[RevisionView], name: str, number: int) -> RevisionView:
    one = next((one for one in found if one.revision == number), None)
    if one is None:
        kept = ", ".join(str(one.revision) for one in reversed(found))
        raise Ended(f"cannot show revision {number} of {plain(name)}: it is not kept. Those that are: {kept}.", 3)
    return one
