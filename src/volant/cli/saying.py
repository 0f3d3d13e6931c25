"""From `-f PATH...` to objects that a daemon can be told, and from what it refuses back to the lines of the files."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from volant.cli.ending import ERROR, USAGE, Ended, status_of
from volant.cli.terminal import plain
from volant.model.meta import is_name

if TYPE_CHECKING:
    from volant.manifests import Flaw, Reading, Said

F = TypeVar("F", bound=Callable[..., Any])

MOST_SHOWN = 100
"""Flaws on one screen, so to say."""

HINTS = {
    "field_conflict": "--force takes it over; leaving the field out leaves it to whoever has it.",
    "object_owned": "Change the deployment instead, or give the object another name.",
    "set_conflict": "--force moves it into this set.",
    "plan_changed": "`volant plan` makes another one.",
    "set_reverted": "Change the files, or try the same once more with --retry.",
    "template_reverted": "Change the files, or try the same once more with --retry.",
    "prune_unconfirmed": "If that is meant, say --confirm-delete {deletes}. `volant diff --prune` shows which.",
}


def files(command: F) -> F:
    """`-f`. `paths` for the command."""
    return click.option(
        "-f",
        "--filename",
        "paths",
        multiple=True,
        required=True,
        metavar="PATH",
        help="A file, a directory with all below it, a URL, or - for standard input. More than one are taken together.",
    )(command)


def of_a_set(command: F) -> F:
    """`--set`, `--manager`, `--prune`, `--force`."""
    for option in (
        click.option("--force", is_flag=True, help="Take over fields and objects of other managers and sets."),
        click.option("--prune", is_flag=True, help="Delete what the set no longer names. Takes one whole directory."),
        click.option("--manager", default="apply", show_default=True, help="Whose the fields are that are said here."),
        click.option("--set", "set_name", metavar="NAME", help="The set: the name of the directory, unless said."),
    ):
        command = option(command)
    return command


def checked(paths: Sequence[str]) -> Reading:
    """What the files say, if all of it is right as far as can be seen here; else every flaw, and the end."""
    from volant.manifests import check

    reading = _read(paths)
    order = {file: n for n, file in enumerate(reading.files)}
    flaws = [*reading.flaws, *check(reading.said)]
    refuse(sorted(flaws, key=lambda flaw: order.get(flaw.file, -1)))
    return reading


def named_in(paths: Sequence[str]) -> tuple[Said, ...]:
    """What the files name, whatever they say of it."""
    from volant.manifests import check

    reading = _read(paths)
    nameless = [flaw for flaw in check(reading.said) if flaw.path.startswith(("/kind", "/metadata/name"))]
    refuse([*reading.flaws, *(flaw for flaw in nameless if "more than once" not in flaw.message)])
    return reading.said


def set_named(said: str | None, paths: Sequence[str]) -> str:
    """The set: as said, else as the directory is called that all the files are in."""
    if said is not None:
        return said
    names = {_directory(path) for path in paths}
    found = names.pop() if len(names) == 1 else ""
    if not is_name(found):
        raise Ended("cannot tell which set this is: no directory gives it a name. Say it with --set", USAGE)
    return found


def refuse(flaws: Sequence[Flaw]) -> None:
    """The end, if there are flaws."""
    if flaws:
        raise Ended(_listed(flaws), ERROR)


@contextmanager
def placed(said: Sequence[Said]) -> Iterator[None]:
    """What the daemon refuses of these objects, at the lines where they stand."""
    from volant.client import ApiError
    from volant.manifests import in_the_way, server_flaws

    try:
        yield
    except ApiError as error:
        mistakes, troubles = server_flaws(said, error.fields), server_flaws(said, in_the_way(error.details))
        hint = HINTS.get(error.code, "").format_map({"deletes": "N", **error.details})
        if mistakes:
            text = _listed(mistakes)
        elif hint:
            # Its last sentence says what to do in the words of the API.
            told = [str(flaw) for flaw in troubles] or [error.message.rpartition(". ")[0] or error.message]
            text = "\n".join([*map(plain, told), hint])
        elif troubles:
            text = "\n".join([plain(error.message), *map(plain, troubles)])
        else:
            raise
        raise Ended(text, status_of(error)) from error


def _read(paths: Sequence[str]) -> Reading:
    from volant.manifests import read

    return read(paths, sys.stdin.buffer.read, _fetched)


def _fetched(url: str) -> bytes:
    from volant.client.fetching import fetched
    from volant.manifests.reading import MAX_BYTES

    return fetched(url, MAX_BYTES)


def _listed(flaws: Sequence[Flaw]) -> str:
    shown = [plain(flaw) for flaw in flaws[:MOST_SHOWN]]
    more = len(flaws) - len(shown)
    counted = f"{len(flaws)} mistake{'s' if len(flaws) > 1 else ''}"
    return "\n".join([f"cannot use these manifests: {counted}", *shown, *([f"and {more} more"] if more else [])])


def _directory(path: str) -> str:
    if path == "-" or "://" in path:
        return ""
    found = Path(path).resolve()
    return found.name if found.is_dir() else found.parent.name
