"""One open event stream: the objects if asked for, the log if need be, then the ring, until somebody ends it.

    states.slices ──bookmark──────▶ ┐
    store.events_after ──pages────▶ ┤
    bus ring ──take──▶ joined ──────┴──one write a wake-up──▶ reader
                         │
                         └ made once for all readers that are at the same place (W7)

Events come in commit order, each once: the cursor is the revision that was last given out, in the log as in the ring.
A reader that stops reading costs its cursor and what the socket holds; when the ring has gone past it, or one write has
been stuck for half a minute, it is cut off and told where it was, and others never notice (W6).

Deliberately absent: a queue per reader.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable, Sequence
from math import ceil
from typing import Any

from volant.api.deps import Deps
from volant.api.frames import NOWHERE, Format, Wanted
from volant.api.states import slices
from volant.bus import Bus, Lagged, Reader
from volant.clock import Clock
from volant.errors import Gone, VolantError
from volant.model.event import Committed

PAGE = 512
"""Events read from the log at a time: a few milliseconds of the loop."""

STUCK_S = 30.0
"""How long one write may wait for a reader that does not read."""

BYE_S = 0.5
"""How long such a reader may hold up the end of the daemon."""

SEND_BUFFER = 128 << 10
"""Bytes the kernel keeps for a reader. Its own choice is megabytes, and hides for minutes that nobody reads."""

_JOINS_KEPT = 16


class Streams:
    """All open streams: wakes those that wait, and joins frames for those that are at the same place."""

    def __init__(self, bus: Bus) -> None:
        self.open = 0
        self._asleep: set[Stream] = set()
        self._joins: dict[tuple[Wanted, bytes, int, int], bytes] = {}
        bus.listen(self._published)

    def sleep(self, stream: Stream) -> None:
        """Wake it at the next commit."""
        self._asleep.add(stream)

    def forget(self, stream: Stream) -> None:
        """Do not wake it any more."""
        self._asleep.discard(stream)

    def joined(self, wanted: Wanted, form: Format, events: Sequence[Committed]) -> bytes:
        """The frames of consecutive events, those that are wanted, as one piece."""
        key = (wanted, form.media, events[0].revision, events[-1].revision)
        joined = self._joins.get(key)
        if joined is None:
            joined = b"".join([form.event(event) for event in events if wanted.takes(event)])
            if len(self._joins) >= _JOINS_KEPT:
                del self._joins[next(iter(self._joins))]
            self._joins[key] = joined
        return joined

    def _published(self, _: Sequence[Committed]) -> None:
        asleep, self._asleep = self._asleep, set()
        for stream in asleep:
            stream.wake()


class Stream:
    """One reader. `run` ends when the reader hangs up, falls behind, or the daemon stops."""

    def __init__(
        self,
        deps: Deps,
        streams: Streams,
        wanted: Wanted,
        form: Format,
        send: Callable[[Any], Awaitable[None]],
        hung_up: Callable[[], Awaitable[None]],
        *,
        has_state: bool = False,
    ) -> None:
        self._deps = deps
        self._streams = streams
        self._wanted = wanted
        self._form = form
        self._send_message = send
        self._hung_up = hung_up
        self._has_state = has_state
        self._after = deps.bus.last_revision
        self._is_whole = True
        self._is_gone = False
        self._is_beat_due = False
        self._is_sending = False
        self._beats_stuck = 0
        self._waiter: asyncio.Future[None] | None = None

    async def run(self, after: int | None) -> None:
        """Write the body of the answer: everything after revision `after`; else the objects, or only what is to come.

        Its head has been sent.
        """
        limit_send_buffer(self._send_message)
        self._streams.open += 1
        try:
            async with asyncio.timeout(None) as self._leash, asyncio.TaskGroup() as tasks:
                watchers = (tasks.create_task(self._watch_reader()), tasks.create_task(self._watch_daemon()))
                self._timer = self._next_beat()
                try:
                    await self._write(after)
                finally:
                    self._timer.cancel()
                    for watcher in watchers:
                        watcher.cancel()
        except TimeoutError:
            await cut_off(self._send_message, self._deps.clock)
        finally:
            self._streams.open -= 1
            self._streams.forget(self)

    def wake(self) -> None:
        """There may be something to do."""
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def _write(self, after: int | None) -> None:
        last = b""
        try:
            await self._follow(await self._begin(after))
        except VolantError as error:
            reason = "too_slow" if isinstance(error, Lagged) else error.code
            last = self._form.word("reset", {"reason": reason, "last": self._after if self._is_whole else None}, None)
        if self._deps.stopping.is_set():
            last += self._form.word("bye", {}, None)
        if not self._is_gone:
            await self._send_message({"type": "http.response.body", "body": last, "more_body": False})

    async def _begin(self, after: int | None) -> Reader:
        """Send what the ring does not have; a place in the ring where nothing is missing and nothing comes twice."""
        bus, store = self._deps.bus, self._deps.store
        if after is None and not self._has_state:
            after = bus.last_revision
        if after is None or is_expired(self._deps, after):
            await self._send(self._form.opening(None))
            after = await (self._show() if after is None else self._reset(store.oldest_event))
        else:
            await self._send(self._form.opening(after))
        while not self._is_over:
            try:
                return await self._catch_up(after)
            except Gone as gone:
                after = await self._reset(gone.details["oldest"])
        return bus.reader()

    async def _catch_up(self, after: int) -> Reader:
        """Send what only the log has. Raises Gone when it has been compacted meanwhile."""
        self._after = after
        while not self._is_over:
            try:
                return self._deps.bus.reader(after)
            except Lagged:
                pass
            page = self._deps.store.events_after(after, PAGE)
            await self._send(self._streams.joined(self._wanted, self._form, page))
            self._after = after = page[-1].revision
            # A write to a reader that keeps up does not wait, so without this nobody else would run meanwhile.
            await self._deps.clock.sleep(0)
        return self._deps.bus.reader()

    async def _show(self) -> int:
        """Send the objects as they are, then the bookmark; the revision after which to go on."""
        # Until the bookmark the reader has nothing that could be resumed from.
        self._is_whole = False
        revision, shown = 0, 0
        for part in slices(self._deps, self._wanted, self._form):
            revision, shown = part.revision, shown + part.shown
            await self._send(part.frames)
            await self._deps.clock.sleep(0)
            if self._is_over:
                return revision
        await self._send(self._form.word("bookmark", {"revision": revision, "objects": shown}, revision))
        self._is_whole = True
        return revision

    async def _reset(self, oldest: int) -> int:
        """Tell the reader that events are missing; the revision after which to go on.

        Not 410, which ends an EventSource for good.
        """
        said = {"reason": "expired", "oldest": oldest}
        if self._has_state:
            await self._send(self._form.word("reset", said, NOWHERE))
            return await self._show()
        self._after = now = self._deps.bus.last_revision
        await self._send(self._form.word("reset", said, now))
        return now

    async def _follow(self, reader: Reader) -> None:
        while not self._is_over:
            out = self._take(reader)
            if out is None and not self._is_beat_due:
                await self._sleep()
                continue
            if self._is_beat_due:
                self._is_beat_due = False
                out = (out or b"") + self._form.beat(self._after)
            if out:
                await self._send(out)

    def _take(self, reader: Reader) -> bytes | None:
        """The frames of what is new, which may be none of it; None when nothing is new. Raises Lagged."""
        events = reader.take()
        if not events:
            return None
        self._after = events[-1].revision
        return self._streams.joined(self._wanted, self._form, events)

    async def _send(self, data: bytes) -> None:
        if data:
            self._is_sending = True
            await self._send_message({"type": "http.response.body", "body": data, "more_body": True})
            self._is_sending = False
            self._beats_stuck = 0

    async def _sleep(self) -> None:
        self._waiter = asyncio.get_running_loop().create_future()
        self._streams.sleep(self)
        try:
            await self._waiter
        finally:
            self._waiter = None

    @property
    def _is_over(self) -> bool:
        return self._is_gone or self._deps.stopping.is_set()

    def _next_beat(self) -> asyncio.TimerHandle:
        # One timer a stream and not one a wait, because a timeout around each wait costs as much as a write.
        return asyncio.get_running_loop().call_later(self._deps.heartbeat_s, self._beat)

    def _beat(self) -> None:
        self._timer = self._next_beat()
        self._is_beat_due = True
        self._beats_stuck += self._is_sending
        if self._beats_stuck > ceil(STUCK_S / self._deps.heartbeat_s):
            self._leash.reschedule(asyncio.get_running_loop().time())
        self.wake()

    async def _watch_reader(self) -> None:
        await self._hung_up()
        self._is_gone = True
        self.wake()

    async def _watch_daemon(self) -> None:
        await self._deps.stopping.wait()
        self._leash.reschedule(asyncio.get_running_loop().time() + BYE_S)
        self.wake()


def is_expired(deps: Deps, after: int) -> bool:
    """Whether neither ring nor log reaches back to revision `after`."""
    return after < min(deps.bus.oldest, deps.store.oldest_event)


async def cut_off(send: Any, clock: Clock) -> None:
    """Drop the connection, with whatever its reader has not read: closing would wait for that."""
    transport = _transport(send)
    if transport is not None:
        transport.abort()
        await clock.sleep(0)  # So that the server sees it gone rather than an answer without an end.


def _transport(send: Any) -> asyncio.WriteTransport | None:
    """The connection behind a server's `send`, where it can be found. ASGI has no way to drop one."""
    transport = getattr(getattr(send, "__self__", None), "transport", None)
    return transport if isinstance(transport, asyncio.WriteTransport) else None


def limit_send_buffer(send: Any) -> None:
    """Have the kernel keep little for a reader, where the connection can be found."""
    transport = _transport(send)
    sock = transport.get_extra_info("socket") if transport is not None else None
    if sock is not None:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
