"""One living VMM: the handle on its process, the connection to its monitor, and its end.

    pidfd readable ──▶ collect status ▸ drain QMP ▸ close ──▶ End ──▶ on_end
    QMP says something ──────────────────────────────────────────────▶ on_change

A Vmm exists only while its process does and may be made anew at any time for the same process: it holds nothing that
cannot be had again from the host, but for what QMP said about the end while nobody listened. Callbacks of the event
loop, no tasks: an end is dealt with in the turn of the loop in which the kernel reports it.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import Callable
from pathlib import Path

from msgspec import Struct

from volant.clock import Instant, Uid
from volant.drivers import BEAT_S, Instance, InstanceState, processes
from volant.drivers.qemu.exits import End
from volant.drivers.qemu.handover import AGENT, GUEST_AGENT, QMP, connect
from volant.drivers.qemu.qmp import Monitor
from volant.model.vm import Booted


class Patience(Struct, frozen=True, kw_only=True):
    """How long QEMU may take, in seconds: to its first answer, to any other, to go when killed, to go by itself.

    The last is for a QEMU that has announced its end and hangs on the way out, which it does on rare panics. `beat_s`
    is how long a watch of ours says nothing.
    """

    start_s: float = 30.0
    answer_s: float = 1.0
    kill_s: float = 10.0
    leave_s: float = 10.0
    beat_s: float = BEAT_S


PATIENCE = Patience()

_RUNNING = frozenset({"running", "suspended"})
_NOT_YET = frozenset({"prelaunch", "inmigrate", "restore-vm", "finish-migrate", "postmigrate"})
_SHUTDOWN = b"shutdown\n"
_GUEST_SHUTDOWN = b'\xff{"execute":"guest-shutdown","arguments":{"mode":"powerdown"}}\n'
"""The first byte is no JSON: it ends whatever the agent has heard in part. Success has no answer, and none is read."""


class Vmm:
    """Takes over `handle` (pidfd). `directory` is where its sockets are, which may be gone.

    `on_change(uid)` is called when it comes up, stops or goes on; `on_end(vmm, end)` once, when the process has ended.
    """

    def __init__(  # noqa: PLR0913 - what is known of a process that was found
        self,
        uid: Uid,
        handle: int,
        *,
        pid: int,
        directory: Path,
        started_at: Instant | None,
        booted: Booted | None,
        patience: Patience,
        on_change: Callable[[Uid], None],
        on_end: Callable[[Vmm, End], None],
    ) -> None:
        self.uid = uid
        self.pid = pid
        self.started_at = started_at
        self.booted = booted
        self._handle = handle
        self._directory = directory
        self._on_change = on_change
        self._on_end = on_end
        self._loop = asyncio.get_running_loop()
        self._monitor: Monitor | None = None
        self._agents: dict[str, socket.socket] = {}
        self._was_asked = False
        self._patience = patience
        self._last_call: asyncio.TimerHandle | None = None
        self._was_killed = False
        self._was_up = False
        self._news = asyncio.Event()
        self.is_open = True
        self._loop.add_reader(handle, self._end)
        self.listen()

    def listen(self) -> None:
        """Connect to QMP, unless that is so. Harmless when QEMU does not listen."""
        if self._monitor is not None and (not self._monitor.is_lost or self._is_leaving):
            return  # On its way out it would not answer, and what it said last is not to be lost.
        connection = connect(self._directory / QMP)
        self._monitor = Monitor(connection, on_change=self._hear) if connection is not None else None

    @property
    def is_up(self) -> bool:
        """Whether QEMU has answered and is still connected."""
        return self._monitor is not None and self._monitor.is_up and not self._monitor.is_lost

    @property
    def is_halted(self) -> bool:
        """Whether the process is stopped by a signal or a debugger, and cannot answer."""
        seen = processes.stat(self.pid)
        return seen is not None and seen.is_stopped

    @property
    def is_overdue(self) -> bool:
        """Whether the process has ended and the loop has not said so: for a moment at each end, or it never will."""
        return self.is_open and processes.is_gone(self._handle)

    def instance(self) -> Instance:
        """What is known without asking, from the last word of QMP and a look at the process."""
        return Instance(uid=self.uid, state=self._state(), pid=self.pid, started_at=self.started_at, booted=self.booted)

    async def until_settled(self, within_s: float) -> bool:
        """Wait until QEMU has answered, or, if it is on its way out, has ended. False if that did not come in time."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                while self.is_open and (not self.is_up or self._is_leaving):
                    self._news.clear()
                    await self._news.wait()
        return self.is_up or not self.is_open

    async def until_gone(self, within_s: float) -> bool:
        """Wait for the end. False if it did not come in time."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                while self.is_open:
                    self._news.clear()
                    await self._news.wait()
        return not self.is_open

    async def is_answering(self, within_s: float) -> bool:
        """Ask QEMU, and whether it answered in time. A halted process is not waited for."""
        if self._monitor is None or self.is_halted:
            return False
        return await self._monitor.is_answering(within_s)

    def request_stop(self) -> None:
        """Ask the guest to shut down: its power button and a line to our init. Waits for nothing.

        A guest that booted itself is asked through QEMU's guest agent as well from the second time on: its system
        has had its chance to hear the button, and the agent goes round whatever there decides about buttons.
        """
        if self._monitor is not None and not self._monitor.is_lost:
            self._monitor.send("system_powerdown")
        self._tell(AGENT, _SHUTDOWN)
        if self._was_asked:
            self._tell(GUEST_AGENT, _GUEST_SHUTDOWN)
        self._was_asked = True

    def _tell(self, name: str, line: bytes) -> None:
        """Say it to whoever listens behind that socket in the guest. What comes back stays in the socket, unread."""
        if name not in self._agents:
            connection = connect(self._directory / name)
            if connection is None:
                return
            # Kept open to the end: QEMU drops what a guest that is still booting has not read when its sender leaves.
            self._agents[name] = connection
        with contextlib.suppress(OSError):
            self._agents[name].sendall(line)

    def kill(self) -> None:
        """SIGKILL."""
        self._was_killed = True
        processes.kill(self._handle)

    def close(self) -> None:
        """Let go of the process, which runs on. Harmless when repeated."""
        if not self.is_open:
            return
        self.is_open = False
        if self._last_call is not None:
            self._last_call.cancel()
        self._loop.remove_reader(self._handle)
        os.close(self._handle)
        if self._monitor is not None:
            self._monitor.close()
        for connection in self._agents.values():
            connection.close()
        self._news.set()

    @property
    def _is_leaving(self) -> bool:
        return self._monitor is not None and self._monitor.shutdown is not None

    def _state(self) -> InstanceState:
        if self._monitor is None or not self.is_up or self._is_leaving or self.is_halted:
            return "unknown"
        if self._monitor.run_state in _RUNNING:
            return "running"
        return "starting" if self._monitor.run_state in _NOT_YET else "unknown"

    def _hear(self) -> None:
        self._was_up = self._was_up or self.is_up
        if self._is_leaving and self._last_call is None:
            self._last_call = self._loop.call_later(self._patience.leave_s, processes.kill, self._handle)
        self._news.set()
        self._on_change(self.uid)

    def _end(self) -> None:
        code = processes.collect(self._handle)
        monitor = self._monitor
        was_listening = monitor is not None and monitor.is_up
        if monitor is not None:
            monitor.drain()
        end = End(
            code=code,
            shutdown=monitor.shutdown if monitor is not None else None,
            has_panicked=monitor is not None and monitor.has_panicked,
            was_up=self._was_up,
            was_listening=was_listening,
            was_killed=self._was_killed,
        )
        self.close()
        self._on_end(self, end)
