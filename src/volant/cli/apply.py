"""`volant apply`, `plan` and `diff`: one set of objects as the files say it, all or nothing.

    files ──checked──▶ objects ──POST /apply──▶ the plan, done or (plan, diff, --dry-run) only said

Exit status: 0 done; 1 error, nothing was changed; with --wait 2 something failed for good, 3 it is gone, 4 timed out.
Of `diff`: 0 no difference, 5 there are some.
"""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import click

from volant.cli.ending import DONE, USAGE, Ended
from volant.cli.options import output, reaching, waiting
from volant.cli.planned import differences, lines, named
from volant.cli.saying import checked, files, of_a_set, placed, set_named
from volant.cli.terminal import is_coloured

if TYPE_CHECKING:
    from volant.client.applying import Asked
    from volant.manifests import Reading
    from volant.model.apply.outcome import ApplyView

DIFFERENT = 5
"""Exit status of `diff` when there is something to do. 1 is an error, as everywhere."""


@click.command()
@files
@of_a_set
@click.option("--dry-run", is_flag=True, help="Only say what would be done.")
@click.option("--plan", "token", metavar="TOKEN", help="Do exactly what a plan of this token says, or nothing.")
@click.option("--confirm-delete", type=click.IntRange(min=0), metavar="N", help="That N objects go is meant.")
@waiting(default=False, what="ready")
@click.option("-v", "--verbose", is_flag=True, help="Also say what is left as it is.")
@output("text", "json", "yaml", "name", default="text")
@reaching
def apply(  # noqa: PLR0913  one parameter an option
    paths: tuple[str, ...],
    set_name: str | None,
    manager: str,
    token: str | None,
    confirm_delete: int | None,
    shape: str,
    url: str,
    *,
    timeout_s: float | None,
    prune: bool,
    force: bool,
    dry_run: bool,
    is_waiting: bool,
    verbose: bool,
) -> None:
    """Make a set of objects as files say it, all or nothing.

    Fields that the files do not say are left to whoever has said them. With --prune, what the set no longer names is
    deleted; `volant sets restore` brings it back for 24 hours.
    """
    reading = checked(paths)
    asked = _asked(reading, paths, set_name, manager, prune=prune, force=force, confirm=confirm_delete, token=token)
    view = _told(url, reading, asked, dry_run=dry_run)
    _show(view, shape, lines(view, all_of_it=verbose, coloured=is_coloured(sys.stdout)))
    if is_waiting and not dry_run:
        from volant.cli.settling import settle

        settle(url, view, reading.said, 60.0 if timeout_s is None else timeout_s)


@click.command()
@files
@of_a_set
@output("text", "json", "yaml", default="text")
@reaching
def diff(
    paths: tuple[str, ...],
    set_name: str | None,
    manager: str,
    shape: str,
    url: str,
    *,
    prune: bool,
    force: bool,
) -> None:
    """Show what an apply of these files would change, field by field. Nothing is changed.

    Exit status: 0 nothing, 5 something, 1 an error.
    """
    reading = checked(paths)
    asked = _asked(reading, paths, set_name, manager, prune=prune, force=force)
    view = _told(url, reading, asked, dry_run=True)
    _show(view, shape, differences(view, coloured=is_coloured(sys.stdout)))
    raise SystemExit(DIFFERENT if any(one.action != "unchanged" for one in view.objects) else DONE)


@click.command()
@files
@of_a_set
@output("text", "json", "yaml", default="text")
@reaching
def plan(
    paths: tuple[str, ...],
    set_name: str | None,
    manager: str,
    shape: str,
    url: str,
    *,
    prune: bool,
    force: bool,
) -> None:
    """Show what an apply of these files would do, and the command that does exactly that. Nothing is changed."""
    reading = checked(paths)
    asked = _asked(reading, paths, set_name, manager, prune=prune, force=force)
    view = _told(url, reading, asked, dry_run=True)
    _show(view, shape, [*differences(view, coloured=is_coloured(sys.stdout)), *_how_to(view, paths, asked)])


def _asked(  # noqa: PLR0913  one parameter an option
    reading: Reading,
    paths: Sequence[str],
    set_name: str | None,
    manager: str,
    *,
    prune: bool,
    force: bool,
    confirm: int | None = None,
    token: str | None = None,
) -> Asked:
    from msgspec import UNSET

    from volant.client.applying import Asked

    if prune and reading.is_partial:
        raise Ended("cannot prune: what is given is not known to be all of the set. Give one whole directory", USAGE)
    if not reading.said and not prune:
        raise Ended(f"cannot apply: there is no manifest in {', '.join(paths)}", 1)
    return Asked(
        set=set_named(set_name, paths),
        objects=[one.value for one in reading.said],
        manager=manager,
        prune=prune,
        partial=reading.is_partial,
        force=force,
        confirm_delete=UNSET if confirm is None else confirm,
        plan=UNSET if token is None else token,
    )


def _told(url: str, reading: Reading, asked: Asked, *, dry_run: bool) -> ApplyView:
    from volant.client import Client
    from volant.client.applying import apply as applied

    with Client(url) as client, placed(reading.said):
        return client.send(applied(asked, dry_run=dry_run))


def _show(view: ApplyView, shape: str, text: Iterator[str] | Sequence[str]) -> None:
    from volant.cli.shapes import document

    if shape in ("json", "yaml"):
        document(view, shape)
    elif shape == "name":
        for one in view.objects:
            click.echo(named(one.kind, one.name))
    else:
        for line in text:
            click.echo(line)


def _how_to(view: ApplyView, paths: Sequence[str], asked: Asked) -> list[str]:
    if all(one.action == "unchanged" for one in view.objects):
        return []
    words = ["volant", "apply", *(word for path in paths for word in ("-f", path)), "--set", asked.set]
    words += ["--manager", asked.manager] if asked.manager != "apply" else []
    words += ["--prune"] * asked.prune + ["--force"] * asked.force
    deletes = view.summary.get("delete", 0)
    words += ["--confirm-delete", str(deletes)] if deletes else []
    return ["", "Exactly this is done by", f"  {shlex.join([*words, '--plan', view.token])}"]
