"""`volant sync`: a directory, or a branch of a git repository, is the truth, and a set is kept as it says.

    render ──checked──▶ objects of one commit ──dry run──▶ what it changes ──POST /apply──▶ done, and one line of it
       ▲                                                                                           │
       └──────────────── after the interval; after mistakes later, at most ten intervals ──────────┘

A turn applies one whole commit or nothing. A turn that finds nothing to do writes nothing and says nothing. A mistake
is said once, until it is another one. The loop is this process: it ends with SIGTERM or SIGINT, and with status 0.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import click

from volant.cli.ending import DONE, USAGE, Ended
from volant.cli.options import Duration, reaching

if TYPE_CHECKING:
    from volant.cli.sync_render import Source

LONGEST = 10
"""Intervals between two turns while something is wrong."""


@click.command()
@click.option("--dir", "directory", metavar="DIR", help="The directory that says what should be.")
@click.option(
    "--git", "repository", metavar="URL", help="The repository that does: https, ssh, or a path on this host."
)
@click.option("--branch", metavar="NAME", help="The branch that is followed: the repository's own, unless said.")
@click.option("--path", default="", metavar="PATH", help="The directory in it that is read: all of it, unless said.")
@click.option("--set", "set_name", metavar="NAME", help="The set: the name of the directory, unless said.")
@click.option("--interval", "interval_s", type=Duration(), default="30s", show_default=True, help="Between two turns.")
@click.option("--prune", is_flag=True, help="Delete what the set no longer names.")
@click.option("--confirm-delete", type=click.IntRange(min=0), metavar="N", help="That N objects go at once is meant.")
@click.option("--once", is_flag=True, help="One turn, and the end: 1 if it could not be applied.")
@click.option("--force", is_flag=True, help="Take over fields and objects of other managers and sets.")
@click.option("--state-dir", metavar="DIR", help="Where what git fetches is kept: below $XDG_STATE_HOME, unless said.")
@reaching
def sync(  # noqa: PLR0913, PLR0917  one parameter an option
    directory: str | None,
    repository: str | None,
    branch: str | None,
    path: str,
    set_name: str | None,
    interval_s: float,
    confirm_delete: int | None,
    state_dir: str | None,
    url: str,
    *,
    prune: bool,
    once: bool,
    force: bool,
) -> None:
    """Keep a set as a directory or a git repository says it, over and over.

    Each object that a commit makes or changes has the annotation volant.sync/commit. Whatever is wrong, nothing is
    applied and nothing is pruned until it is mended.
    """
    if (directory is None) == (repository is None):
        raise Ended("cannot sync: say either --dir or --git", USAGE)
    if branch is not None and repository is None:
        raise Ended("cannot sync: --branch is of a repository: say --git", USAGE)
    _ends_cleanly()
    with ExitStack() as held:
        source, found = _source(directory, repository, branch, path, set_name, state_dir, held)
        from volant.cli.sync_turn import Sync

        keeper = Sync(url, source, found, prune=prune, force=force, confirm=confirm_delete)
        if once:
            _say(keeper.turn())
        else:
            keep(keeper.turn, max(interval_s, 0.1), _pause)


def keep(turn: Callable[[], str | None], interval_s: float, pause: Callable[[float], None]) -> None:
    """Turn after turn, until something else than Ended is raised."""
    failures, trouble = 0, ""
    while True:
        try:
            line = turn()
        except Ended as error:
            failures += 1
            if error.message != trouble:
                click.echo(f"Error: {error.message}", err=True)
            trouble = error.message
        else:
            _say(line or ("in order again" if trouble else None))
            failures, trouble = 0, ""
        pause(delay_s(interval_s, failures))


def delay_s(interval_s: float, failures: int) -> float:
    """Until the next turn, after so many in a row that went wrong."""
    # The exponent is bounded because numbers are: a night without network is many failures.
    times: int = min(1 << min(max(failures - 1, 0), LONGEST), LONGEST)
    return interval_s * times


def _source(
    directory: str | None,
    repository: str | None,
    branch: str | None,
    path: str,
    set_name: str | None,
    state_dir: str | None,
    held: ExitStack,
) -> tuple[Source, str]:
    """What is read, and the set that it is."""
    from volant.cli.sync_render import Directory, Repository, set_of, within

    inner = within(path)
    if directory is not None:
        return Directory(Path(directory, inner)), set_of(set_name, str(Path(directory, inner).resolve()))
    from volant.cli.sync_git import Mirror, address, state

    found = address(repository or "")
    name = set_of(set_name, inner or found.url)
    home = Path(state_dir) if state_dir else state(found.url, branch or "", inner, name)
    return Repository(held.enter_context(Mirror(found, branch, home)), inner), name


def _say(line: str | None) -> None:
    if line is not None:
        click.echo(line)


def _pause(seconds: float) -> None:
    threading.Event().wait(seconds)


def _ends_cleanly() -> None:
    """SIGTERM and SIGINT unwind whatever is under way: temporary files go, and a git that runs is ended."""
    if threading.current_thread() is not threading.main_thread():
        return  # Signals are the main thread's, and so is whoever calls this from another one.
    for one in (signal.SIGTERM, signal.SIGINT):
        signal.signal(one, _ended)


def _ended(*_: object) -> None:
    for one in (signal.SIGTERM, signal.SIGINT):
        signal.signal(one, signal.SIG_IGN)  # Because a second one would interrupt the unwinding.
    raise SystemExit(DONE)
