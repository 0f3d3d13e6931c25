"""Fan-out of committed events, fed by the store only.

    store ──publish(batch)──▶ bus ──▶ listeners   (controllers: which keys to look at)
                               └────▶ ring        (streams: events in commit order)

Publication happens after the commit, in commit order, on the loop. Listeners are called at once and must not block; one
that raises is reported and keeps nobody else from hearing. Streams keep a cursor into one shared ring: a reader costs
its cursor, so a thousand of them cost no copies, and one that does not read costs nothing at all. A reader that falls
out of the ring is told so (`Lagged`), never skipped ahead in silence; it may read the gap from the store's event log.

Deliberately absent: any memory of who has seen what. That is the reader's revision.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_right
from collections.abc import Callable, Sequence

from volant.errors import VolantError
from volant.model.event import Committed
from volant.telemetry import logger

Listener = Callable[[Sequence[Committed]], None]

RING_EVENTS = 8192
"""How many events a stream may be behind before it is cut off. At about 700 bytes each: under 6 MiB, shared by all."""

_log = logger("volant.bus")


class Lagged(VolantError):
    """The reader is further behind than the ring reaches; `details.after` is the last revision it was given."""


class Bus:
    """One ring of committed events and those who wait for more. Lives on one loop; not thread-safe."""

    def __init__(self, ring_events: int = RING_EVENTS) -> None:
        self._ring = _Ring(ring_events)
        self._listeners: list[Listener] = []
        self._waiters: set[asyncio.Future[None]] = set()
        self.last_revision = 0

    def start_at(self, revision: int) -> None:
        """Events up to `revision` were committed before this bus existed: they are in the log, not in the ring."""
        self.last_revision = max(self.last_revision, revision)

    def publish(self, batch: Sequence[Committed]) -> None:
        """Called by the store, once a group commit, with the events in commit order."""
        if not batch:
            return
        self._ring.extend(batch)
        self.last_revision = batch[-1].revision
        # A copy, because a listener may end itself or another while it is called.
        for listener in tuple(self._listeners):
            _tell(listener, batch)
        waiters, self._waiters = self._waiters, set()
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)

    def listen(self, listener: Listener) -> Callable[[], None]:
        """Call `listener` with every batch from now on; the result ends that, however often it is called."""
        self._listeners.append(listener)

        def end() -> None:
            if listener in self._listeners:
                self._listeners.remove(listener)

        return end

    def reader(self, after: int | None = None) -> Reader:
        """A cursor behind revision `after` (None: from now on). Raises Lagged when the ring no longer reaches there.

        Of an `after` that is still to be published, what lies up to it is passed over: a snapshot of the store may be a
        commit ahead of the bus.
        """
        after = self.last_revision if after is None else after
        if after < self.oldest:
            raise Lagged("cannot read from the ring: it no longer reaches that far back", details={"after": after})
        return Reader(self, after)

    @property
    def oldest(self) -> int:
        """A reader may start after this revision or a later one."""
        return self._ring[self._ring.first].revision - 1 if self._ring.end else self.last_revision


class Reader:
    """One stream's place in the ring. Made by `Bus.reader`."""

    def __init__(self, bus: Bus, after: int) -> None:
        self._bus = bus
        self._position = bus._ring.place_behind(after)
        self.after = after

    @property
    def behind(self) -> int:
        """How many published events have not been taken."""
        return self._bus._ring.end - self._position

    def take(self, limit: int = 512) -> list[Committed]:
        """The events after the cursor, in order, at most `limit`; empty when there are none. Raises Lagged."""
        ring = self._bus._ring
        if self._position < ring.first:
            # What has left the ring is no loss to a reader that began ahead of it.
            if self.after < ring.dropped:
                raise Lagged("cannot keep up: the reader is too slow", details={"after": self.after})
            self._position = ring.first
        while self._position < ring.end and ring[self._position].revision <= self.after:
            self._position += 1
        taken = ring.slice(self._position, min(ring.end, self._position + limit))
        self._position += len(taken)
        if taken:
            self.after = taken[-1].revision
        return taken

    async def wait(self) -> None:
        """Return when there may be something to take. Cancel-safe."""
        if self.behind:
            return
        waiter = asyncio.get_running_loop().create_future()
        waiters = self._bus._waiters
        waiters.add(waiter)
        try:
            await waiter
        finally:
            waiters.discard(waiter)


class _Ring:
    """The last `size` events by position: 0 is the first that was ever published, `end` the next to be.

    A list of fixed size rather than a deque, because a slice of it costs its length wherever in the ring it lies.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._slots: list[Committed] = []
        self.end = 0
        self.dropped = -1
        """The revision of the last event that is no longer held."""

    @property
    def first(self) -> int:
        """The oldest position that is still held (`end` when none is)."""
        return self.end - len(self._slots)

    def __getitem__(self, position: int) -> Committed:
        return self._slots[position % self._size]

    def extend(self, events: Sequence[Committed]) -> None:
        for event in events:
            if len(self._slots) < self._size:
                self._slots.append(event)
            else:
                self.dropped = self._slots[self.end % self._size].revision
                self._slots[self.end % self._size] = event
            self.end += 1

    def slice(self, start: int, stop: int) -> list[Committed]:
        """The events at positions `start` to `stop`, which must be held."""
        low, high = start % self._size, stop % self._size
        if stop - start == 0:
            return []
        return self._slots[low:high] if low < high else self._slots[low:] + self._slots[:high]

    def place_behind(self, revision: int) -> int:
        """The position of the first event after `revision`."""
        return bisect_right(range(self.first, self.end), revision, key=lambda p: self[p].revision) + self.first


def _tell(listener: Listener, batch: Sequence[Committed]) -> None:
    try:
        listener(batch)
    except Exception as error:  # noqa: BLE001 -- because the others must hear, and the writers learn of their commit
        _log.error("bus.listener_failed", listener=repr(listener), revision=batch[-1].revision, exc_info=error)
