"""Options that many commands share, each with one meaning everywhere."""

from __future__ import annotations

import functools
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import click

from volant.cli.contexts import DEFAULT, Daemon, daemon
from volant.cli.ending import explained

F = TypeVar("F", bound=Callable[..., Any])

FORMATS = ("table", "wide", "json", "yaml", "name")
LONGEST_S = 86_400.0
LEAST_MB = 32

_UNITS_S = {"": 1.0, "ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}


class Duration(click.ParamType[float]):
    """`30`, `30s`, `500ms`, `2m`, `1h`, in seconds."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Seconds."""
        if isinstance(value, float):
            return value
        found = re.fullmatch(r"([0-9]{1,9}(?:\.[0-9]{1,9})?)(ms|s|m|h)?", str(value), re.ASCII)
        seconds = float(found[1]) * _UNITS_S[found[2] or ""] if found else LONGEST_S + 1
        if seconds > LONGEST_S:
            self.fail(f"{value!r} is no duration such as 30, 30s, 500ms, 2m or 1h (a day at most)", param, ctx)
        return seconds


class Memory(click.ParamType[int]):
    """`512`, `512M` or `1G`, in MiB: 32 at least."""

    name = "memory"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """MiB."""
        if isinstance(value, int):
            return value
        found = re.fullmatch(r"([0-9]{1,9})(?:([MG])(?:iB?)?)?", str(value), re.ASCII)
        size_mb = int(found[1]) * (1024 if found[2] == "G" else 1) if found else 0
        if size_mb < LEAST_MB:
            what = f"a number of MiB such as 512, 512M or 1G, {LEAST_MB} at least"
            self.fail(f"expected {what}, not {value!r}", param, ctx)
        return size_mb


class Whole(click.IntRange):
    """A whole number of a range, said so when it is none."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The number."""
        try:
            return super().convert(value, param, ctx)
        except click.BadParameter:
            range_ = f"from {self.min} to {self.max}" if self.max is not None else f"of {self.min} or more"
            self.fail(f"expected a whole number {range_}, not {value!r}", param, ctx)


class Token(click.ParamType[str]):
    """What a plan is called by: 32 hex digits."""

    name = "token"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """As it was said."""
        if not re.fullmatch(r"[0-9a-f]{32}", str(value), re.ASCII):
            self.fail(f"a plan token has 32 hex digits, not {value!r}: `volant plan` prints one", param, ctx)
        return str(value)


def reaching(command: Callable[..., Any]) -> Callable[..., Any]:
    """The daemon that is asked: `url` for the command. What it refuses is explained."""

    @click.option("--url", metavar="URL", help=f"The daemon: that of --context, or of --data-dir, or {DEFAULT}.")
    @click.option(
        "--context", metavar="NAME", shell_complete=contexts, help="The daemon of this name: see `volant context`."
    )
    @click.option("--data-dir", metavar="DIR", help="Where a daemon says its address.")
    @functools.wraps(command)
    def wrapped(*args: Any, url: str | None, context: str | None, data_dir: str | None, **more: Any) -> Any:
        environ = os.environ  # noqa: TID251  the command line is where it enters
        found = daemon(environ, url=url, context=context, data_dir=data_dir)
        with explained(found.url), chosen_by(found):
            return command(*args, url=found.url, **more)

    return wrapped


@contextmanager
def chosen_by(found: Daemon) -> Iterator[None]:
    """Says of a daemon that cannot be reached what its address was taken from, where that is not on the line."""
    from volant.client import NoAnswer

    try:
        yield
    except NoAnswer as error:
        if error.is_reached or not found.is_kept:
            raise
        raise NoAnswer(f"{error.message} (its address is that of {found.origin})") from error


def contexts(_: click.Context, __: click.Parameter, incomplete: str) -> list[str]:
    """Completes names of contexts, silently nothing when they cannot be read."""
    from volant.cli.contexts import read

    environ = os.environ  # noqa: TID251  the command line is where it enters
    try:
        return [name for name in sorted(read(environ).urls) if name.startswith(incomplete)]
    except click.ClickException:
        return []


def address(url: str | None, context: str | None, data_dir: str | None) -> str:
    """Where the daemon is: as these options say, else as `contexts` finds it."""
    environ = os.environ  # noqa: TID251  the command line is where it enters
    return daemon(environ, url=url, context=context, data_dir=data_dir).url


def output(*formats: str, default: str | None = None, text: str = "How to print it.") -> Callable[[F], F]:
    """`-o`. `shape` for the command."""
    return click.option(
        "-o",
        "--output",
        "shape",
        type=click.Choice(formats or FORMATS),
        default=default,
        help=text,
        show_default=default is not None,
    )


def selector(command: F) -> F:
    """`-l`."""
    return click.option(
        "-l", "--selector", "label_selector", metavar="LABELS", help="By labels: app=web,tier!=db,env in (a,b),!gpu."
    )(command)


watched = click.option("-w", "--watch", "is_watching", is_flag=True, help="Go on showing what changes, until Ctrl-C.")


def waiting(*, default: bool, what: str) -> Callable[[F], F]:
    """`--wait` and `--timeout`."""

    def add(command: F) -> F:
        text = f"Whether to wait until it is {what}." + (" It is waited for." if default else " It is not waited for.")
        command = click.option("--timeout", "timeout_s", type=Duration(), help="How long to wait (60s).")(command)
        return click.option("--wait/--no-wait", "is_waiting", default=default, help=text)(command)

    return add


def atomic(command: F) -> F:
    """`--atomic` and `--deadline`."""
    text = "With --atomic: how long it may take to become healthy (10m)."
    command = click.option("--deadline", "deadline_s", type=Duration(), help=text)(command)
    text = "Go back as a whole unless all of it becomes healthy; prune only then."
    return click.option("--atomic", "is_atomic", is_flag=True, help=text)(command)


def completed(noun: str) -> Callable[[click.Context, click.Parameter, str], list[str]]:
    """Completes names of objects, silently nothing when the daemon does not answer at once."""

    def complete(ctx: click.Context, _: click.Parameter, incomplete: str) -> list[str]:
        from volant.cli.ending import names_of
        from volant.errors import VolantError

        try:
            url = address(*(ctx.params.get(word) for word in ("url", "context", "data_dir")))
            names = names_of(url, noun, timeout_s=1.0)
        except (VolantError, click.ClickException):
            return []
        return [name for name in names if name.startswith(incomplete)]

    return complete


def names(noun: str, *, required: bool = True) -> Callable[[F], F]:
    """NAME..., `names` for the command."""
    return click.argument("names", nargs=-1, required=required, metavar="NAME...", shell_complete=completed(noun))


def name(noun: str) -> Callable[[F], F]:
    """NAME."""
    return click.argument("name", metavar="NAME", shell_complete=completed(noun))
