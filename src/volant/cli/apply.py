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
from volant.cli.options import Token, Whole, atomic, output, reaching, waiting
from volant.cli.planned import differences, in_conflict, lines, named
from volant.cli.saying import checked, files, of_a_set, placed, set_named
from volant.cli.terminal import is_coloured, plain

if TYPE_CHECKING:
    from volant.client.applying import Asked
    from volant.manifests import Reading
    from volant.model.apply.outcome import ApplyView
    from volant.model.timeline import PlanView

DIFFERENT = 5
"""Exit status of `diff` when there is something to do. 1 is an error, as everywhere."""


@click.command()
@files
@of_a_set
@click.option("--dry-run", is_flag=True, help="Only say what would be done.")
@click.option("--plan", "token", type=Token(), metavar="TOKEN", help="Do exactly what that plan says, or nothing.")
@click.option("--confirm-delete", type=Whole(min=0), metavar="N", help="That N objects go is meant.")
@atomic
@click.option("--retry", is_flag=True, help="Try once more what was taken back by itself.")
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
    deadline_s: float | None,
    prune: bool,
    force: bool,
    dry_run: bool,
    is_atomic: bool,
    retry: bool,
    is_waiting: bool,
    verbose: bool,
) -> None:
    """Make a set of objects as files say it, all or nothing.

    Fields that the files do not say are left to whoever has said them. With --prune, what the set no longer names is
    deleted; `volant sets restore` brings it back for 24 hours. With --atomic the whole set goes back to what it
    was unless all of it is healthy in time.
    """
    reading = checked(paths)
    asked = _asked(reading, paths, set_name, manager, prune=prune, force=force, confirm=confirm_delete, token=token)
    asked = at_once(asked, is_atomic=is_atomic, deadline_s=deadline_s, retry=retry)
    view = _told(url, reading, asked, dry_run=dry_run)
    _show(view, shape, lines(view, all_of_it=verbose, coloured=is_coloured(sys.stdout)))
    if is_waiting and not dry_run and is_atomic and view.revision is not None:
        from volant.cli.atomic import AFTER_S, DEADLINE_S, await_set

        bound_s = (deadline_s or DEADLINE_S) + AFTER_S if timeout_s is None else timeout_s
        await_set(url, view, view.revision, bound_s)
    elif is_waiting and not dry_run:
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

    What is another manager's or set's is shown as --force would have it, and said to be in conflict.

    Exit status: 0 nothing, 5 something, 1 an error, such as a conflict.
    """
    reading = checked(paths)
    asked = _asked(reading, paths, set_name, manager, prune=prune, force=force)
    try:
        view = _told(url, reading, asked, dry_run=True)
    except Ended as refusal:
        if shape == "text":
            _beside(url, reading, asked, refusal)
        raise
    _show(view, shape, differences(view, coloured=is_coloured(sys.stdout)))
    raise SystemExit(DIFFERENT if any(one.action != "unchanged" for one in view.objects) else DONE)


@click.command()
@files
@of_a_set
@click.option("--timeline/--no-timeline", default=True, help="Also say what would come of it, step by step.")
@output("text", "json", "yaml", default="text")
@reaching
def plan(  # noqa: PLR0913  one parameter an option
    paths: tuple[str, ...],
    set_name: str | None,
    manager: str,
    shape: str,
    url: str,
    *,
    prune: bool,
    force: bool,
    timeline: bool,
) -> None:
    """Show what an apply of these files would do, step by step, and the command that does exactly that.

    Nothing is changed. The timeline is that of the daemon's own controllers on a copy of what it knows, with guests
    that take as long to boot and to stop as those of their plugins were seen to.
    """
    reading = checked(paths)
    asked = _asked(reading, paths, set_name, manager, prune=prune, force=force)
    foretold = _foretold(url, reading, asked, shape) if timeline else None
    view = _told(url, reading, asked, dry_run=True) if foretold is None else foretold.plan
    if foretold is not None and shape != "text":
        from volant.cli.shapes import document

        document(foretold, shape)
        return
    from volant.cli.timeline import lines as coming_of

    coming = [] if foretold is None else ["", *coming_of(foretold.timeline)]
    _show(view, shape, [*differences(view, coloured=is_coloured(sys.stdout)), *coming, *_how_to(view, paths, asked)])


def at_once(asked: Asked, *, is_atomic: bool, deadline_s: float | None, retry: bool) -> Asked:
    """The same, as a whole or not at all."""
    from msgspec import UNSET
    from msgspec.structs import replace

    if not is_atomic and deadline_s is not None:
        raise Ended("cannot apply: --deadline is of --atomic", USAGE)
    return replace(asked, atomic=is_atomic, deadline_seconds=UNSET if deadline_s is None else deadline_s, retry=retry)


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


def _beside(url: str, reading: Reading, asked: Asked, refusal: Ended) -> None:
    """All the differences of what was refused because of others, if that was why: as with force, conflicts marked."""
    from msgspec.structs import replace

    from volant.client import ApiError

    error = refusal.__cause__
    if not isinstance(error, ApiError) or error.code not in ("field_conflict", "set_conflict"):
        return
    try:
        view = _told(url, reading, replace(asked, force=True), dry_run=True)
    except Ended:
        return  # It is not about others alone, and the refusal says what else.
    for line in differences(view, in_conflict(error.details), coloured=is_coloured(sys.stdout)):
        click.echo(line)


def _foretold(url: str, reading: Reading, asked: Asked, shape: str) -> PlanView | None:
    """Plan and timeline; None when there is none to be had, which people are told and programs stop at."""
    from volant.client import ApiError, Client
    from volant.client.applying import plan as planned

    with Client(url) as client, placed(reading.said):
        try:
            return client.send(planned(asked))
        except ApiError as error:
            if shape != "text" or not error.code.startswith("forecast_"):
                raise
            click.echo(f"No timeline: {plain(error.message)}", err=True)
            return None


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
