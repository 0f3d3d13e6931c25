"""The port `Consoles` to a simulated host: guests say when they start, run and end, and echo what is typed."""

from __future__ import annotations

from volant.clock import Clock, Uid
from volant.drivers.simulated.guest import Guest
from volant.drivers.simulated.host import SimulatedHost
from volant.errors import DriverUnavailable

LOOK_AGAIN_S = 0.05


class SimulatedConsoles:
    """Consoles of the guests of one host."""

    def __init__(self, host: SimulatedHost, clock: Clock) -> None:
        self._host = host
        self._clock = clock

    async def log(
        self, uid: Uid, *, tail: int | None = None, follows: bool = False, previous: bool = False
    ) -> SimulatedTranscript | None:
        """What the guest has said, or the one before it."""
        guest = self._host.guest(uid)
        text = self._host.last_words.get(uid) if guest is None or previous else guest.console
        if text is None or (guest is None and previous):
            return None
        lines = text.splitlines(keepends=True)
        told = text if tail is None else b"".join(lines[len(lines) - min(tail, len(lines)) :])
        return SimulatedTranscript(self._host, uid, told, guest=guest, follows=follows)

    async def attach(self, uid: Uid) -> SimulatedLine:
        """Be on the console of a guest that lives."""
        guest = self._host.guest(uid)
        if guest is None or not guest.is_alive:
            raise DriverUnavailable(f"cannot attach to the console of {uid}: its guest does not run")
        return SimulatedLine(self._host, guest, self._clock)


class SimulatedTranscript:
    """What a guest has said by now, then what it says, then what the next one says."""

    def __init__(self, host: SimulatedHost, uid: Uid, told: bytes, *, guest: Guest | None, follows: bool) -> None:
        self._host = host
        self._uid = uid
        self._told = told
        self._guest = guest
        self._seen = guest.said if guest is not None else 0
        self._follows = follows

    async def read(self) -> bytes:
        """What comes next."""
        told, self._told = self._told, b""
        return told or (self._news() if self._follows else b"")

    def close(self) -> None:
        """Nothing is held."""

    def _news(self) -> bytes:
        guest = self._guest
        if guest is None or guest.said <= self._seen:
            now = self._host.guest(self._uid)
            if now is None or now is guest:
                return b""
            guest, self._guest, self._seen = now, now, 0
        news = guest.since(self._seen)
        self._seen = guest.said
        return news


class SimulatedLine:
    """Somebody at the console of one guest."""

    def __init__(self, host: SimulatedHost, guest: Guest, clock: Clock) -> None:
        self._host = host
        self._guest = guest
        self._clock = clock
        self._seen = guest.said

    async def read(self) -> bytes:
        """What the guest says next; empty once it has ended."""
        while self._guest.said <= self._seen:
            self._host.guest(self._guest.uid)  # The world moves on when it is looked at.
            if not self._guest.is_alive:
                return b""
            await self._clock.sleep(LOOK_AGAIN_S)
        news = self._guest.since(self._seen)
        self._seen = self._guest.said
        return news

    async def write(self, data: bytes) -> None:
        """Type it. DriverUnavailable once the guest has ended."""
        if not self._guest.is_alive:
            raise DriverUnavailable("cannot type: the guest has ended")
        self._guest.say(data)

    def close(self) -> None:
        """Nothing is held."""
