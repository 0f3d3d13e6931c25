"""One QMP connection, kept for as long as the VM lives: what QEMU says about its guest.

    socket ──readable──▶ drain ──▶ lines ──▶ greeting · answer · event ──▶ fields of Monitor ──▶ on_change

Everything happens in the event loop's reader callback: there is no task that could be lost, and `drain` may be called
by whoever has seen the process end. Since all that a dead QEMU said is in the socket's buffer by then, its last word
(`SHUTDOWN` and why) is known in the same moment as its end. That is why this is not the library `qemu.qmp`, whose
client reads in tasks of its own and has to be awaited to be got rid of.

QMP serves one client a socket; a second one waits in the queue without a greeting. So a Monitor that was connected
may never come up, and nobody should wait for one without a deadline.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import socket
from collections.abc import Callable
from typing import Any

import msgspec

_MAX_LINE = 1 << 20
_MAX_READS = 64
_STATE_EVENTS = frozenset({"STOP", "RESUME", "SUSPEND", "WAKEUP"})


class Monitor:
    """The facts: `run_state` (QEMU's word; None until it has answered), `shutdown` (why it is going), `has_panicked`.

    `is_up` once QEMU has answered a question; `is_lost` once the connection has ended, which means: look at the
    process. `on_change` is called after any of them changed. Takes over the connected, non-blocking socket.
    """

    def __init__(self, connection: socket.socket, *, on_change: Callable[[], None]) -> None:
        self.run_state: str | None = None
        self.shutdown: str | None = None
        self.has_panicked = False
        self.is_lost = False
        self._connection = connection
        self._on_change = on_change
        self._rest = b""
        self._numbers = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[Any]] = {}
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(connection, self.drain)

    @property
    def is_up(self) -> bool:
        """Whether QEMU has answered."""
        return self.run_state is not None

    def send(self, command: str) -> int | None:
        """Say it and do not wait for an answer. The number its answer will carry, or None if it could not be said."""
        number = next(self._numbers)
        try:
            self._connection.sendall(msgspec.json.encode({"execute": command, "id": number}) + b"\n")
        except OSError:  # Full, because QEMU does not read: then it would not obey either. Or closed.
            return None
        return number

    async def is_answering(self, within_s: float) -> bool:
        """Ask for the run state, and whether an answer comes in time."""
        if self.is_lost or not self.is_up:
            return False
        answer = self._ask_run_state()
        if answer is None:
            return False
        await asyncio.wait({answer}, timeout=within_s)
        return answer.done() and not answer.cancelled()

    def drain(self) -> None:
        """Take in everything that has arrived."""
        if self.is_lost:
            return
        before = self._facts()
        for _ in range(_MAX_READS):
            try:
                data = self._connection.recv(1 << 16)
            except BlockingIOError:
                break
            except OSError:
                data = b""
            if not data:
                self._lose()
                break
            self._take(data)
        if self._facts() != before:
            self._on_change()

    def close(self) -> None:
        """Let go of the connection. QEMU runs on, and listens for the next client."""
        with contextlib.suppress(ValueError):
            self._loop.remove_reader(self._connection)
        self._connection.close()
        for answer in self._waiting.values():
            answer.cancel()
        self._waiting.clear()

    def _facts(self) -> tuple[str | None, str | None, bool, bool]:
        return self.run_state, self.shutdown, self.has_panicked, self.is_lost

    def _lose(self) -> None:
        self.is_lost = True
        self.close()

    def _take(self, data: bytes) -> None:
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            with contextlib.suppress(msgspec.DecodeError):
                said = msgspec.json.decode(line)
                if isinstance(said, dict):
                    self._hear(said)
        if len(self._rest) > _MAX_LINE:
            self._lose()

    def _hear(self, said: dict[str, Any]) -> None:
        match said:
            case {"QMP": _}:
                self.send("qmp_capabilities")
                self._ask_run_state()
            case {"event": "SHUTDOWN", "data": {"reason": str(reason)}}:
                self.shutdown = reason
            case {"event": "GUEST_PANICKED"}:
                self.has_panicked = True
            case {"event": event} if event in _STATE_EVENTS:
                self._ask_run_state()
            case {"return": {"status": str(state)}, "id": int(number)}:
                self.run_state = state
                self._settle(number)

    def _ask_run_state(self) -> asyncio.Future[Any] | None:
        number = self.send("query-status")
        if number is None:
            return None
        self._waiting[number] = self._loop.create_future()
        return self._waiting[number]

    def _settle(self, number: int) -> None:
        answer = self._waiting.pop(number, None)
        if answer is not None and not answer.done():
            answer.set_result(None)
