"""The port `Consoles`, by what QEMU leaves in the run directory: the console's log and its socket.

    log     console.log, console.log.1 and what is kept of ended guests   (`transcript`)
    attach  console.sock: QEMU takes one connection at a time, and another when that one has gone

Whether somebody is attached or not, QEMU writes what the guest says to the log. Nothing is remembered: a daemon made a
moment ago attaches as its predecessor did, because QEMU lets go of whoever has died.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Iterator
from pathlib import Path

from volant.clock import Uid
from volant.drivers.qemu.console import ONE_AT_A_TIME
from volant.drivers.qemu.handover import CONSOLE, connect
from volant.drivers.qemu.rundir import CONSOLE_LOG, RunDir
from volant.drivers.qemu.transcript import PIECE, Reading, kept, opened
from volant.errors import DriverUnavailable


class QemuConsoles:
    """Consoles of the VMs below a run directory."""

    def __init__(self, run_dir: Path) -> None:
        self._rundir = RunDir(run_dir)

    async def log(
        self, uid: Uid, *, tail: int | None = None, follows: bool = False, previous: bool = False
    ) -> FileTranscript | None:
        """What the guest says, or what is left of what the last one said."""
        with _translated(uid):
            found = await asyncio.to_thread(self._open, uid, tail=tail, follows=follows, previous=previous)
        return FileTranscript(uid, found) if found is not None else None

    async def attach(self, uid: Uid) -> SocketLine:
        """Connect to the console's socket. DriverUnavailable when no QEMU listens there."""
        connection = connect(self._rundir.of(uid) / CONSOLE)
        if connection is None:
            raise DriverUnavailable(f"cannot attach to the console of {uid}: no QEMU listens there")
        return SocketLine(uid, connection)

    def _open(self, uid: Uid, *, tail: int | None, follows: bool, previous: bool) -> Reading | None:
        directory = self._rundir.of(uid)
        with ONE_AT_A_TIME:
            said = opened(directory)
            if previous and said is not None:
                said.close()
                said = kept(self._rundir.root, uid)
            elif not previous:
                said = said or kept(self._rundir.root, uid)
            if said is None:
                return None
            return Reading(said, directory / CONSOLE_LOG, tail=tail, follows=follows)


class FileTranscript:
    """A reading, off the event loop where there is something to read."""

    def __init__(self, uid: Uid, reading: Reading) -> None:
        self._uid = uid
        self._reading = reading

    async def read(self) -> bytes:
        """What comes next."""
        with _translated(self._uid):
            return await asyncio.to_thread(self._reading.read) if self._reading.may_have_more else b""

    def close(self) -> None:
        """Let go of the files."""
        self._reading.close()


class SocketLine:
    """The connection to a console's socket."""

    def __init__(self, uid: Uid, connection: socket.socket) -> None:
        self._uid = uid
        self._socket = connection
        self._loop = asyncio.get_running_loop()

    async def read(self) -> bytes:
        """What the guest says next; empty when QEMU has gone."""
        with contextlib.suppress(ConnectionError):
            return await self._loop.sock_recv(self._socket, PIECE)
        return b""

    async def write(self, data: bytes) -> None:
        """Type it."""
        with _translated(self._uid):
            await self._loop.sock_sendall(self._socket, data)

    def close(self) -> None:
        """Let go: QEMU takes the next one."""
        self._socket.close()


@contextlib.contextmanager
def _translated(uid: Uid) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise DriverUnavailable(f"cannot use the console of {uid}: {error.strerror or error}") from error
