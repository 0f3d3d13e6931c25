"""The prober: one connection a probe, straight to the guest's published port.

    http   connect ▸ GET ▸ read the head, at most 16 KiB ▸ 2xx or 3xx?
    tcp    connect ▸ listen for a moment ▸ still there, or has it said something?

It goes to the numeric address it is given: nothing is resolved, no proxy is asked, no redirect is followed (it counts
as a success and is not looked at). Guests are not trusted: what one sends is bounded in size and in time, and none of
it is kept.

What a tcp probe can tell is little where QEMU's user network publishes the port: QEMU takes every call itself, before
it asks the guest. If nobody in the guest listens the call is dropped a moment later, and that is a failure here; so is
a server that hangs up without a word. But a guest that does not answer QEMU at all (still booting, hung) looks like a
server that waits to be spoken to. Probe by http what can be probed so.

Unknown is what says nothing about the guest: no descriptor or port left on this host, no route, no right, or a daemon
that was held up for so long that it did not look in time.
"""

from __future__ import annotations

import asyncio
import errno
import re
from collections.abc import Coroutine

from volant.clock import Clock
from volant.drivers.http1 import PATH, connection, get, head, is_numeric
from volant.model.health import ProbeOutcome

SETTLE_S = 0.25
"""How long a connection must hold before it counts, if the timeout is not shorter. QEMU drops a call that the guest
refuses as soon as the guest has said so, which takes milliseconds."""
LATE_S = 0.25
"""A timeout that is noticed so late says more about this process than about the guest."""

_OURS = frozenset(
    {
        errno.EMFILE,
        errno.ENFILE,
        errno.ENOBUFS,
        errno.ENOMEM,
        errno.EADDRNOTAVAIL,
        errno.ENETUNREACH,
        errno.EACCES,
        errno.EPERM,
    }
)
_SUCCESS = re.compile(rb"HTTP/1\.[01] [23][0-9][0-9][ \r\n]")


class SocketProber:
    """The port `Prober`, by sockets. Keeps nothing between two probes."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    async def http(self, address: str, port: int, path: str, timeout_s: float) -> ProbeOutcome:
        """As the port says."""
        if not PATH.fullmatch(path):
            return "unknown"
        return await self._ask(address, timeout_s, _http(address, port, path))

    async def tcp(self, address: str, port: int, timeout_s: float) -> ProbeOutcome:
        """As the port says. Connecting and holding have to fit into `timeout_s` together."""
        return await self._ask(address, timeout_s, self._tcp(address, port, min(SETTLE_S, timeout_s / 2)))

    async def _ask(self, address: str, timeout_s: float, is_well: Coroutine[None, None, bool]) -> ProbeOutcome:
        if not is_numeric(address):
            is_well.close()
            return "unknown"
        began = self._clock.monotonic()
        try:
            async with asyncio.timeout(timeout_s):
                return "success" if await is_well else "failure"
        except _HeldUp:
            return "unknown"
        except TimeoutError:
            return "unknown" if self._is_late(began, timeout_s) else "failure"
        except OSError as error:
            return "unknown" if error.errno in _OURS else "failure"

    async def _tcp(self, address: str, port: int, settle_s: float) -> bool:
        async with connection(address, port) as (reader, _):
            began = self._clock.monotonic()
            try:
                async with asyncio.timeout(settle_s):
                    return bool(await reader.read(1))
            except TimeoutError:
                if self._is_late(began, settle_s):
                    raise _HeldUp from None
                # An end that came in the same turn of the loop as the timeout has been noted by the reader.
                return not reader.at_eof() and reader.exception() is None

    def _is_late(self, began: float, span_s: float) -> bool:
        return self._clock.monotonic() - began > span_s + LATE_S


class _HeldUp(Exception):
    """Nobody looked in time."""


async def _http(address: str, port: int, path: str) -> bool:
    async with connection(address, port) as (reader, writer):
        writer.write(get(address, port, path))
        found = await head(reader)
        return found is not None and _SUCCESS.match(found[0]) is not None
