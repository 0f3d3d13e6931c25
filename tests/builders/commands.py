"""The `volant` command as tests use it: its tree, in this process, and at the end of a pseudo-terminal."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator
from typing import NamedTuple

import click
from click.testing import CliRunner, Result

from volant.cli import volant

COMMON = {"--url", "--context", "--data-dir"}
"""Options that every command has which asks the daemon, with one meaning."""
OF_A_TERMINAL = {"NO_COLOR", "FORCE_COLOR", "COLUMNS", "LINES"}
"""Variables that say of the terminal of whoever runs the tests what ours is not."""
BOUND_S = 60.0
ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


class Leaf(NamedTuple):
    """A command that does something: its words, and what it takes."""

    words: tuple[str, ...]
    command: click.Command

    @property
    def options(self) -> set[str]:
        """The long names of its options."""
        options = [param for param in self.command.params if isinstance(param, click.Option)]
        return {max(option.opts, key=len) for option in options}


def leaves(command: click.Command = volant, words: tuple[str, ...] = ("volant",)) -> Iterator[Leaf]:
    """Every command below this one that is no group."""
    if not isinstance(command, click.Group):
        yield Leaf(words, command)
        return
    context = click.Context(command)
    for name in command.list_commands(context):
        found = command.get_command(context, name)
        assert found is not None
        yield from leaves(found, (*words, name))


def run(url: str, *words: str, stdin: str | None = None) -> Result:
    """The command in this process, without a terminal."""
    return CliRunner().invoke(volant, list(words), input=stdin, env={"VOLANT_URL": url, "NO_COLOR": None})


class Terminal:
    """A process at the end of a pseudo-terminal. `screen` is everything that it has written to it."""

    def __init__(self, url: str, *words: str, **environ: str) -> None:
        """`COLUMNS` of `environ` is how wide it is: the process finds that out by itself."""
        columns = int(environ.pop("COLUMNS", "120"))
        self.screen = ""
        self._main, end = pty.openpty()
        fcntl.ioctl(end, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
        self._modes = termios.tcgetattr(self._main)
        known = {name: value for name, value in os.environ.items() if name not in OF_A_TERMINAL}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "volant", *words],
            stdin=end,
            stdout=end,
            stderr=end,
            start_new_session=True,
            preexec_fn=_owns_terminal,  # noqa: PLW1509  tests of terminals have one thread
            env={**known, "VOLANT_URL": url, "TERM": "xterm-256color", **environ},
        )
        os.close(end)

    @property
    def text(self) -> str:
        """The screen without escape sequences."""
        return ESCAPES.sub("", self.screen)

    def is_sane(self) -> bool:
        """Whether it is as it was before: its modes, and the cursor to be seen."""
        hidden, shown = (self.screen.rfind(f"\x1b[?25{letter}") for letter in "lh")
        return termios.tcgetattr(self._main) == self._modes and shown >= hidden

    def read_until(self, is_there: Callable[[str], object]) -> None:
        """Read until the text satisfies this; fails when it does not in time, or the process ends before."""
        deadline = time.monotonic() + BOUND_S
        while not is_there(self.text):
            assert time.monotonic() < deadline, self.text
            assert self._read(), self.text

    def interrupt(self) -> None:
        """Ctrl-C."""
        os.write(self._main, b"\x03")

    def end(self) -> int:
        """Everything to its end; the exit status."""
        while self._read():
            pass
        return self.process.wait(BOUND_S)

    def close(self) -> None:
        """Whatever it does, it ends."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait(BOUND_S)
        with contextlib.suppress(OSError):
            os.close(self._main)

    def _read(self) -> bool:
        assert select.select([self._main], [], [], BOUND_S)[0], self.text
        try:
            data = os.read(self._main, 1 << 16)
        except OSError:  # What Linux says of a terminal whose other end is closed.
            return False
        self.screen += data.decode(errors="replace")
        return bool(data)


def _owns_terminal() -> None:
    """So that Ctrl-C reaches it: the terminal becomes that of its session."""
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
    # Who runs these tests in the background of a script has Ctrl-C ignored, and children inherit that.
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@contextlib.contextmanager
def terminals(url: str) -> Iterator[Callable[..., Terminal]]:
    """What starts commands at terminals, which are closed in the end."""
    with contextlib.ExitStack() as opened:

        def start(*words: str, **environ: str) -> Terminal:
            terminal = Terminal(url, *words, **environ)
            opened.callback(terminal.close)
            return terminal

        yield start
