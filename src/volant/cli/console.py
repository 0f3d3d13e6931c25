"""`volant console`: be on a guest's serial console, from a terminal or through pipes.

    terminal ──raw──▶ keys ──Ctrl-]?──▶ Console.write ──▶ guest
             ◀──────────── bytes ────── Console.read ◀──

The terminal is in raw mode for as long as that lasts, and gets its own mode back however it ends, short of SIGKILL:
Ctrl-C belongs to the guest then, and signals from elsewhere (SIGTERM, SIGHUP) end the attachment like the key does.
What the guest says goes to the terminal as it is, because that is what a console is for.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import termios
import tty
from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from volant.cli import options
from volant.cli.ending import DONE, ERROR, FAILED, Ended
from volant.cli.terminal import plain

if TYPE_CHECKING:
    from volant.client.consoles import Console
    from volant.model.console import ConsoleEnd

DETACH = b"\x1d"
"""Ctrl-], as with telnet and virsh."""
LINGER_S = 1.0
PIECE = 1 << 12

_SAID: dict[ConsoleEnd, tuple[str, int]] = {
    "detached": ("detached", DONE),
    "guest_ended": ("the guest has ended", DONE),
    "taken_over": ("somebody else has taken the console over", FAILED),
    "not_reading": ("the guest does not take what is typed", FAILED),
    "too_slow": ("what the guest said was not taken in time", FAILED),
    "stopping": ("the daemon is stopping; the guest goes on", ERROR),
    "broken": ("the connection to the daemon broke; the guest goes on", ERROR),
}


@click.command()
@options.name("vms")
@click.option("--force", is_flag=True, help="Take the place of whoever is attached.")
@options.reaching
def console(url: str, name: str, *, force: bool) -> None:
    """Attach to a VM's serial console: Ctrl-] leaves it.

    One at a time. Without a terminal, standard input is typed, and it ends when the guest has been silent for a second
    after the end of the input.
    """
    end = asyncio.run(_attach(url, name, force=force))
    text, status = _SAID[end]
    if status != DONE:
        raise Ended(f"cannot stay on the console of {plain(name)}: {text}.", status)
    if sys.stdin.isatty():
        click.echo(f"\nvolant: {text}", err=True)


async def _attach(url: str, name: str, *, force: bool) -> ConsoleEnd:
    from volant.client import AsyncClient

    async with AsyncClient(url) as client, client.vms.console(name, force=force) as attached:
        session = _Session(attached)  # Before the terminal's mode is changed: no signal may leave it like that.
        with _raw(sys.stdin.fileno()):
            if sys.stdin.isatty():  # Said when it is so: what is typed from now on is the guest's.
                click.echo(f"volant: on the console of {plain(name)}; Ctrl-] leaves it\r", err=True)
            return await session.run()


class _Session:
    """Both ways, until either ends, or a signal comes: those are heard as soon as it is made."""

    def __init__(self, attached: Console) -> None:
        loop = asyncio.get_running_loop()
        self._console = attached
        self._end: asyncio.Future[ConsoleEnd] = loop.create_future()
        self._has_said = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(number, self._ends, "detached")

    async def run(self) -> ConsoleEnd:
        async with asyncio.TaskGroup() as tasks:
            running = [tasks.create_task(self._show()), tasks.create_task(self._type())]
            end = await self._end
            for task in running:
                task.cancel()
        return end

    def _ends(self, end: ConsoleEnd) -> None:
        if not self._end.done():
            self._end.set_result(end)

    async def _show(self) -> None:
        while data := await self._console.read():
            self._has_said.set()
            try:
                _write_all(data)
            except OSError:  # because whoever read it has gone: `volant console web | head`
                self._ends("detached")
                return
        self._ends(self._console.end or "broken")

    async def _type(self) -> None:
        keys = _Keys(sys.stdin.fileno())
        while data := await keys.read():
            before, key, _ = data.partition(DETACH) if keys.is_terminal else (data, b"", b"")
            await self._console.write(before)
            if key:
                self._ends("detached")
        if not keys.is_terminal:
            await self._until_silent()
        self._ends("detached")

    async def _until_silent(self) -> None:
        with contextlib.suppress(TimeoutError):
            while True:
                self._has_said.clear()
                async with asyncio.timeout(LINGER_S):
                    await self._has_said.wait()


class _Keys:
    """Standard input. A terminal or pipe is waited for by the loop: a thread that waits could not be called off."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self.is_terminal = os.isatty(descriptor)

    async def read(self) -> bytes:
        """What was typed; empty at the end."""
        await self._until_readable()
        try:
            return os.read(self._descriptor, PIECE)
        except OSError:  # What Linux says of a terminal that is gone.
            return b""

    async def _until_readable(self) -> None:
        loop = asyncio.get_running_loop()
        ready: asyncio.Future[None] = loop.create_future()
        try:
            loop.add_reader(self._descriptor, _resolve, ready)
        except PermissionError:
            return  # A file, which is always readable.
        try:
            await ready
        finally:
            loop.remove_reader(self._descriptor)


def _resolve(ready: asyncio.Future[None]) -> None:
    if not ready.done():
        ready.set_result(None)


@contextlib.contextmanager
def _raw(descriptor: int) -> Iterator[None]:
    """Every key as it is, and nothing shown by the terminal itself. Nothing at all for what is no terminal."""
    if not os.isatty(descriptor):
        yield
        return
    before = termios.tcgetattr(descriptor)
    try:
        tty.setraw(descriptor, termios.TCSADRAIN)  # What was typed ahead is not thrown away.
        yield
    finally:
        with contextlib.suppress(termios.error):  # because the terminal may be gone
            termios.tcsetattr(descriptor, termios.TCSADRAIN, before)


def _write_all(data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(sys.stdout.fileno(), view) :]
