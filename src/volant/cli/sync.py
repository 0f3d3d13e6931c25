"""`volant sync`: a directory, or a branch of a git repository, is the truth, and a set is kept as it says.

    render ──checked──▶ objects of one commit ──dry run──▶ what it changes ──POST /apply──▶ done, and one line of it
       ▲                                                                                           │
       └──────────────── after the interval; after mistakes later, at most ten intervals ──────────┘

What a turn is, `volant.gitops` says; the daemon's own syncs are the same. A turn applies one whole commit or nothing. A
turn that finds nothing to do writes nothing and says nothing. A mistake is said once, until it is another one. The loop
is this process: it ends with SIGTERM or SIGINT, and with status 0.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from volant.cli.atomic import DEADLINE_S
from volant.cli.ending import DONE, ERROR, USAGE, Ended, explained
from volant.cli.options import Duration, atomic, reaching
from volant.cli.saying import placed

if TYPE_CHECKING:
    from volant.client import Client
    from volant.gitops import Aim, Source, Turned
    from volant.gitops.turn import Talk

SHORTEST_S = 1.0
"""Between two turns: what is read is read as a whole each time."""


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
@atomic
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
    deadline_s: float | None,
    prune: bool,
    once: bool,
    force: bool,
    is_atomic: bool,
) -> None:
    """Keep a set as a directory or a git repository says it, over and over.

    Each object that a commit makes or changes has the annotation volant.sync/commit. Whatever is wrong, nothing is
    applied and nothing is pruned until it is mended. With --atomic a commit that does not become healthy goes back as
    a whole, and is not tried again.
    """
    if deadline_s is not None and not is_atomic:
        raise Ended("cannot sync: --deadline is of --atomic", USAGE)
    if (directory is None) == (repository is None):
        raise Ended("cannot sync: say either --dir or --git", USAGE)
    if branch is not None and repository is None:
        raise Ended("cannot sync: --branch is of a repository: say --git", USAGE)
    if interval_s < SHORTEST_S:
        raise Ended(f"cannot sync: an --interval is {SHORTEST_S:g}s or more", USAGE)
    _ends_cleanly()
    with ExitStack() as held, in_words():
        source, found = _source(directory, repository, branch, path, set_name, state_dir, held)
        from volant.gitops import Aim

        bound_s = (deadline_s or DEADLINE_S) if is_atomic else None
        keeper = Keeper(url, source, Aim(found, prune, force, confirm_delete, bound_s))
        if once:
            _say(keeper.turn())
        else:
            keep(keeper.turn, interval_s, _pause)


class Keeper:
    """Turns of one set. Remembers the commit that was applied last."""

    def __init__(self, url: str, source: Source, aim: Aim) -> None:
        self._url, self._source, self._aim = url, source, aim
        self._applied: str | None = None

    def turn(self) -> str | None:
        """What was done, in one line; None when there was nothing to do. Raises Ended, and then nothing was done."""
        from volant.client import Client
        from volant.gitops import said_of, turn

        with in_words():
            render = self._source.render()
            with explained(self._url), placed(render.said), Client(self._url) as client:
                turned = carried(client, turn(self._aim, render, self._applied))
        self._applied = turned.commit
        return said_of(turned)


def carried(client: Client, talk: Talk) -> Turned:
    """What a turn gives, its calls carried by this client."""
    from volant.client import ApiError

    try:
        call = next(talk)
        while True:
            try:
                found = client.send(call)
            except ApiError as error:
                call = talk.throw(error)
            else:
                call = talk.send(found)
    except StopIteration as end:
        turned: Turned = end.value
        return turned


@contextmanager
def in_words() -> Iterator[None]:
    """What a sync cannot do, as the end of a command."""
    from volant.gitops import SyncFailed, WrongSource

    try:
        yield
    except WrongSource as error:
        raise Ended(error.message, USAGE) from error
    except SyncFailed as error:
        raise Ended(error.message, ERROR) from error


def keep(turn: Callable[[], str | None], interval_s: float, pause: Callable[[float], None]) -> None:
    """Turn after turn, until something else than Ended is raised."""
    from volant.gitops import delay_s

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
    from volant.gitops import Directory, Mirror, Repository, address, set_of, within
    from volant.gitops.git import state

    inner = within(path)
    if directory is not None:
        return Directory(Path(directory, inner)), set_of(set_name, str(Path(directory, inner).resolve()))
    environ = os.environ  # noqa: TID251  the command line is where it enters
    found = address(repository or "")
    name = set_of(set_name, inner or found.url)
    home = Path(state_dir) if state_dir else state(environ, found.url, branch or "", inner, name)
    return Repository(held.enter_context(Mirror(found, branch, home, environ)), inner), name


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
