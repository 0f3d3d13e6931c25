"""What is the same for every noun: list, get, delete; to do it to many; to say what was done.

volant vms list ──▶ verb of a Noun ──▶ volant.client ──▶ shapes
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import click

from volant.cli import options
from volant.cli.ending import GONE, Ended
from volant.cli.nouns import VM, Noun
from volant.cli.terminal import plain

if TYPE_CHECKING:
    from volant.client import AsyncClient, Client

AT_ONCE = 16
"""Deletes and stops under way together: each waits for its guest, and a host has more than one."""


def listing(noun: Noun, *, sorts: tuple[str, ...], filters: tuple[str, ...] = ()) -> click.Command:
    """`list`: with these filters besides those that every kind has."""

    @options.reaching
    def run(url: str, shape: str, *, is_watching: bool, **chosen: Any) -> None:
        from volant.cli.shapes import show
        from volant.client import Client

        if is_watching:
            from volant.cli.watching import watch

            watch(url, noun, shape, chosen)
            return
        with Client(url) as client:
            found = noun.of(client).list(**chosen)
        if not found and shape in ("table", "wide"):
            click.echo(f"No {_many(noun)}", err=True)
            return
        show(found, noun.view, shape)

    added = [
        options.output(default="table"),
        options.selector,
        options.watched,
        click.option("-q", "--query", "q", metavar="TEXT", help="Those with this in their name."),
        click.option("--sort", type=click.Choice(sorts), help="What to sort by (created_at)."),
        click.option("--order", type=click.Choice(["asc", "desc"]), help="The direction of --sort."),
        *(click.option(f"--{one}", metavar=one.upper(), help=f"Those of this {one} only.") for one in filters),
    ]
    return _command("list", f"List {_many(noun)}.", run, added)


def getting(noun: Noun) -> click.Command:
    """`get`: one or several by name."""

    @options.reaching
    def run(url: str, names: tuple[str, ...], shape: str, *, is_watching: bool) -> None:
        from volant.cli.shapes import show, show_one
        from volant.client import Client

        if is_watching:
            from volant.cli.watching import watch_named

            watch_named(url, noun, shape, names)
            return
        with Client(url) as client:
            if len(names) == 1:
                show_one(noun.of(client).get(names[0]), shape)
                return
            ends = [_got(client, url, noun, name) for name in names]
        found = [one for one in ends if not isinstance(one, Ended)]
        if found or shape in ("json", "yaml"):
            show(found, noun.view, shape)
        _end([one for one in ends if isinstance(one, Ended)])

    return _command(
        "get",
        f"Show {_many(noun)}.",
        run,
        [options.names(noun.plural), options.output(default="table"), options.watched],
    )


def _got(client: Client, url: str, noun: Noun, name: str) -> Any:
    """The object, or the Ended that there is instead. Raises the Ended that every other name would come to as well."""
    from volant.cli.ending import explained
    from volant.client import ApiError

    try:
        with explained(url):
            return noun.of(client).get(name)
    except Ended as error:
        if not isinstance(error.__cause__, ApiError):
            raise
        return error


def _end(failures: Sequence[Ended]) -> None:
    """Say each, and end with the worst, if there are any."""
    for one in failures:
        click.echo(f"Error: {one.message}", err=True)
    if failures:
        raise SystemExit(max(one.exit_code for one in failures))


def deleting(noun: Noun, *, can_force: bool = False) -> click.Command:
    """`delete`: by names or by labels, several at a time."""

    @options.reaching
    def run(
        url: str,
        names: tuple[str, ...],
        label_selector: str | None,
        *,
        is_waiting: bool,
        timeout_s: float | None,
        ignore: bool,
        **more: bool,
    ) -> None:
        async def delete(client: AsyncClient, name: str) -> str:
            bound = {} if timeout_s is None or not is_waiting else {"wait": "deleted", "timeout_s": min(timeout_s, 600)}
            said = bound if is_waiting else {"wait": "none"}
            left = await noun.of(client).delete(name, **said, **more)
            return "deleted" if left is None else "is being deleted"

        many(url, noun, chosen(url, noun, names, label_selector), delete, ignored=GONE if ignore else None)

    added = [
        options.names(noun.plural, required=False),
        options.selector,
        options.waiting(default=True, what="gone"),
        click.option("--ignore-not-found", "ignore", is_flag=True, help="What is not there is no error."),
    ]
    if can_force:
        added.append(click.option("--force", is_flag=True, help="Without asking the guest to shut down first."))
    return _command("delete", f"Delete {_many(noun)}.", run, added)


def chosen(url: str, noun: Noun, names: tuple[str, ...], label_selector: str | None) -> list[str]:
    """The names that were given, or those that have the labels. UsageError for both or neither."""
    if bool(names) == (label_selector is not None):
        raise click.UsageError("say which: NAME..., or -l LABELS; one of them.")
    if label_selector is None:
        return list(dict.fromkeys(names))
    from volant.client import Client

    with Client(url) as client:
        found = [one.name for one in noun.of(client).list(label_selector=label_selector)]
    if not found:
        click.echo(f"No {_many(noun)} match", err=True)
    return found


def many(
    url: str,
    noun: Noun,
    names: list[str],
    act: Callable[[AsyncClient, str], Any],
    *,
    ignored: int | None = None,
    is_shown: bool = False,
) -> None:
    """Do it to each, at most so many at once, and say a line of each in their order.

    What goes wrong with one does not keep the others; the exit status is the worst. `is_shown`: with progress.
    """
    ends = _ends(url, names, act) if not is_shown else _with_progress(url, noun, names, act)
    for name, end in zip(names, ends, strict=True):
        if isinstance(end, str):
            click.echo(f"{noun.word} {plain(name)} {end}")
    _end([end for end in ends if isinstance(end, Ended) and end.exit_code != ignored])


def _ends(url: str, names: list[str], act: Callable[[AsyncClient, str], Any]) -> list[str | Ended]:
    """How each ended."""
    if len(names) != 1:
        import asyncio

        return asyncio.run(_alone(url, names, act))
    from volant.cli import at_once
    from volant.cli.ending import explained

    try:
        with explained(url):
            return [at_once.done(url, lambda client: act(client, names[0]))]
    except Ended as error:
        return [error]


def _with_progress(url: str, noun: Noun, names: list[str], act: Callable[[AsyncClient, str], Any]) -> list[str | Ended]:
    from volant.cli.waiting import run_with_progress

    return run_with_progress(url, lambda client: _each(client, url, names, act), kinds=(noun.kind,), names=tuple(names))


async def _alone(url: str, names: list[str], act: Callable[[AsyncClient, str], Any]) -> list[str | Ended]:
    from volant.client import AsyncClient

    async with AsyncClient(url) as client:
        return await _each(client, url, names, act)


async def _each(
    client: AsyncClient, url: str, names: list[str], act: Callable[[AsyncClient, str], Any]
) -> list[str | Ended]:
    import asyncio

    from volant.cli.ending import explained

    gate = asyncio.Semaphore(AT_ONCE)

    async def one(name: str) -> str | Ended:
        try:
            async with gate:
                with explained(url):
                    said: str = await act(client, name)
        except Ended as error:
            return error
        return said

    async with asyncio.TaskGroup() as tasks:
        running = [tasks.create_task(one(name)) for name in names]
    return [task.result() for task in running]


def told(
    url: str,
    noun: Noun,
    name: str,
    act: Callable[[AsyncClient], Any],
    shape: str | None,
    *,
    done: str,
    is_waiting: bool,
    **watched: Any,
) -> None:
    """Do it, with progress when it is waited for, and print a sentence, or the object in that shape."""
    if is_waiting:
        from volant.cli.waiting import run_with_progress

        found = run_with_progress(url, act, **(watched or {"kinds": (noun.kind,), "names": (name,)}))
    else:
        from volant.cli import at_once

        found = at_once.done(url, act)
    if shape:
        from volant.cli.shapes import show_one

        show_one(found, shape)
    else:
        click.echo(f"{noun.word} {plain(name)} {done}{f', {noun.ready}' if is_waiting else ''}")


def _command(name: str, text: str, run: Callable[..., Any], added: list[Any]) -> click.Command:
    for option in reversed(added):
        run = option(run)
    return click.command(name, help=text)(run)


def _many(noun: Noun) -> str:
    return "VMs" if noun is VM else noun.plural
