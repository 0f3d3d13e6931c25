"""`/vms/{name}/console`: the serial console of a guest, both ways, over a WebSocket.

    caller ──frames──▶ typed ──▶ Line ──▶ guest
           ◀──frames── unsent ◀── Line ◀── guest

One at a time: whoever comes second is refused, or takes the console by `force`, as with `virsh console`. To look on,
there are the logs.

The guest is never held up by a slow caller: what it says is taken off its console at once, and of what has not been
sent the newest `UNSENT_BYTES` are kept, with a line that says what is missing. What is typed is handed on as the guest
takes it; the caller is not read from meanwhile, so neither side costs more than a frame or two.

Frames of both sorts are input, answers are binary: consoles are bytes. Deliberately absent: sizes of windows, which a
serial line knows nothing of, and a record of what was typed.
"""

from __future__ import annotations

import asyncio
from contextlib import closing
from typing import Any, NoReturn

from starlette.types import Receive, Scope, Send

from volant.api.body import decode_query
from volant.api.call import CALL, Call
from volant.api.deps import Line
from volant.api.seats import Seat
from volant.api.stream import BYE_S, cut_off, limit_send_buffer
from volant.clock import Clock
from volant.errors import ConsoleUnavailable, Unavailable, UpgradeRequired
from volant.model.console import CLOSE_CODES, ConsoleEnd
from volant.model.queries import ConsoleQuery
from volant.telemetry import logger

UNSENT_BYTES = 1 << 18
FRAME_BYTES = 1 << 14
GATHER_S = 0.002
"""Between two reads of the guest's words. They come letter by letter, and each would be a turn of the loop and a frame.
QEMU hands on some 50 kB a second whether this is here or not, which is four times what a serial line carries."""
TYPING_S = 15.0
"""How long the guest may take to take one frame. Shorter than a ping: who waits for it answers none."""
STUCK_S = 30.0
"""How long the caller may take to take one."""

_log = logger("volant.api")


async def attach_to_vm_console(call: Call, query: ConsoleQuery) -> NoReturn:
    """`GET /vms/{name}/console`: Be on the guest's serial console.

    A WebSocket: what is sent is typed, and what the guest says comes back, as binary frames. One caller at a time;
    `force` takes the place of another. It ends with close code 4001 (taken over), 4002 (the guest has ended), 4003 (the
    guest does not take what is typed), 4004 (too slow a reader) or 1012 (the daemon is stopping).
    """
    del query
    vm = call.store.vm(call.name)
    raise UpgradeRequired(
        f"cannot show the console of VM {vm.meta.name} in an answer: ask for an upgrade to WebSocket, version 13",
        details={"name": vm.meta.name},
    )


class ConsoleSocket:
    """The same path as an ASGI application for WebSockets."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One connection, from its request to its end. Raises what refuses it."""
        call: Call = scope[CALL]
        query = decode_query(scope["query_string"], ConsoleQuery)
        vm = call.store.vm(call.name)
        if call.deps.stopping.is_set():
            raise Unavailable("cannot attach to a console: the daemon is stopping", code="stopping")
        async with call.context.seats.seat(vm.meta.uid, vm.meta.name, force=query.force) as seat:
            with closing(await call.deps.consoles.attach(vm)) as line:
                if not await _accept(call, receive, send):
                    return
                _log.info("console.attached", vm=vm.meta.name, uid=vm.meta.uid, request_id=call.request_id)
                end = await Session(call.deps.clock, call.deps.stopping, seat, line, receive, send).run()
                _log.info("console.left", vm=vm.meta.name, uid=vm.meta.uid, request_id=call.request_id, end=end)


async def _accept(call: Call, receive: Receive, send: Send) -> bool:
    """Whether there is still somebody to accept."""
    await receive()  # The request itself.
    limit_send_buffer(send)
    call.is_answered = True
    try:
        await send({"type": "websocket.accept", "headers": [(b"x-request-id", call.request_id.encode())]})
    except OSError:  # What a server says of a caller that is gone.
        return False
    return True


class Session:
    """Somebody on a console. `run` ends when any of the two ends does, or the place is taken."""

    def __init__(
        self, clock: Clock, stopping: asyncio.Event, seat: Seat, line: Line, receive: Receive, send: Send
    ) -> None:
        self._clock = clock
        self._stopping = stopping
        self._seat = seat
        self._line = line
        self._receive = receive
        self._send_message = send
        self._unsent = bytearray()
        self._lost = 0
        self._has_more = asyncio.Event()
        self._is_said = False
        self._is_gone = False
        self._end: asyncio.Future[ConsoleEnd] = asyncio.get_running_loop().create_future()

    async def run(self) -> ConsoleEnd:
        """All of it; how it ended, which the caller has been told."""
        async with asyncio.TaskGroup() as tasks:
            running = [
                tasks.create_task(work)
                for work in (
                    self._type(),
                    self._listen(),
                    self._say(),
                    self._until(self._seat.is_wanted, "taken_over"),
                    self._until(self._stopping, "stopping"),
                )
            ]
            end = await self._end
            for task in running:
                task.cancel()
        if not self._is_gone:
            await self._tell(end)
        return end

    async def _tell(self, end: ConsoleEnd) -> None:
        """Say why it ends, to a caller that reads. Nobody who is to have the seat waits for one that does not."""
        try:
            async with asyncio.timeout(0 if end == "too_slow" else BYE_S):
                await self._send({"type": "websocket.close", "code": CLOSE_CODES[end], "reason": end})
        except TimeoutError:
            await cut_off(self._send_message, self._clock)

    def _ends(self, end: ConsoleEnd) -> None:
        if not self._end.done():
            self._end.set_result(end)

    async def _until(self, event: asyncio.Event, end: ConsoleEnd) -> None:
        await event.wait()
        self._ends(end)

    async def _type(self) -> None:
        """From the caller to the guest."""
        while (message := await self._receive())["type"] != "websocket.disconnect":
            data = message.get("bytes") or (message.get("text") or "").encode("utf-8", "surrogatepass")
            try:
                async with asyncio.timeout(TYPING_S):
                    await self._line.write(data)
            except TimeoutError:
                self._ends("not_reading")
                return
            except ConsoleUnavailable:
                return  # The guest has gone; what it said last is still to be sent, and then that is told.
        self._is_gone = True
        self._ends("detached")

    async def _listen(self) -> None:
        """From the guest, whatever the caller does."""
        while data := await self._line.read():
            self._unsent += data
            over = len(self._unsent) - UNSENT_BYTES
            if over > 0:
                del self._unsent[:over]
                self._lost += over
            self._has_more.set()
            await self._clock.sleep(GATHER_S)
        self._is_said = True
        self._has_more.set()

    async def _say(self) -> None:
        """To the caller."""
        while not (self._is_said and not self._unsent):
            if not self._unsent:
                self._has_more.clear()
                await self._has_more.wait()
                continue
            frame = self._frame()
            try:
                async with asyncio.timeout(STUCK_S):
                    await self._send({"type": "websocket.send", "bytes": frame})
            except TimeoutError:
                self._ends("too_slow")
                return
        self._ends("guest_ended")

    def _frame(self) -> bytes:
        said = b""
        if self._lost:
            said, self._lost = b"\r\n[volant: %d bytes are missing here]\r\n" % self._lost, 0
        frame = said + self._unsent[:FRAME_BYTES]
        del self._unsent[:FRAME_BYTES]
        return frame

    async def _send(self, message: dict[str, Any]) -> None:
        try:
            await self._send_message(message)
        except OSError:  # What a server says of a caller that is gone, whom `_type` hears of as well.
            self._is_gone = True
            self._ends("detached")
