"""The Hypervisor port to a simulated host."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from volant.clock import Clock, Uid
from volant.drivers import BEAT_S, Attachment, Boot, HypervisorInfo, Instance
from volant.drivers.simulated.host import SimulatedHost
from volant.errors import DriverRefused, DriverUnavailable

INFO = HypervisorInfo(
    name="simulated",
    accelerator="simulated",
    isolation="none",
    version="1",
    detail="guests are simulated in memory: nothing is started",
)


class SimulatedHypervisor:
    """A driver, as fresh as the daemon that made it: what there is, it finds on the host."""

    def __init__(self, host: SimulatedHost, clock: Clock) -> None:
        self._host = host
        self._clock = clock
        # Keys only, each once: a reader that does not read costs no more than the guests there are.
        self._hints: dict[Uid, None] = {}
        self._woken = asyncio.Event()
        self._stop_listening = host.listen(self._hint)

    @property
    def info(self) -> HypervisorInfo:
        """That nothing here is real."""
        return INFO

    async def launch(self, uid: Uid, boot: Boot) -> None:
        """Start a guest unless one lives; it behaves as the host's script and faults have it."""
        host = self._host
        host.note("launch", uid)
        guest = host.guest(uid)
        if guest is not None and guest.is_alive:
            return
        behaviour = host.plan(boot)
        if behaviour.launch_s > 0:
            await self._clock.sleep(behaviour.launch_s)
        if behaviour.launch == "refused":
            raise DriverRefused(f"cannot start {boot.name}: the simulation refuses it")
        if behaviour.launch == "unavailable":
            raise DriverUnavailable(f"cannot start {boot.name} now: the simulation is busy")
        host.spawn(uid, behaviour, boot)

    async def observe(self) -> list[Instance]:
        """Every instance there is."""
        return [guest.look() for guest in self._host.guests()]

    async def inspect(self, uid: Uid) -> Instance | None:
        """One instance; a lie or a stale answer when the host was told so."""
        if self._host.look_s > 0:
            await self._clock.sleep(self._host.look_s)
        return self._host.look(uid)

    async def request_stop(self, uid: Uid) -> None:
        """The guest shuts down, if it hears. Raises DriverUnavailable when its VMM does not answer."""
        self._host.note("request_stop", uid)
        guest = self._host.guest(uid)
        if guest is None or not guest.is_alive:
            return
        if guest.is_mute:
            raise DriverUnavailable("cannot ask the guest to stop: its VMM does not answer")
        self._host.ask_to_stop(guest)

    async def kill(self, uid: Uid) -> None:
        """The process is gone."""
        self._host.note("kill", uid)
        for guest in self._host.alive(uid):
            self._host.end(guest, "killed", code=-9)

    async def forget(self, uid: Uid, *, keeps_console: bool = False) -> None:
        """The record is gone. Raises DriverUnavailable while the process lives."""
        self._host.note("forget", uid)
        if self._host.alive(uid):
            raise DriverUnavailable("cannot forget a guest whose process lives")
        self._host.remove(uid, keeps_console=keeps_console)

    async def reattach(self, uid: Uid, attachment: Attachment) -> None:
        """Nothing: simulated guests have no taps."""

    async def watch(self) -> AsyncIterator[Uid | None]:
        """Uids to which something happened, each once however often, since this driver was made."""
        while True:
            while self._hints:
                uid = next(iter(self._hints))
                del self._hints[uid]
                yield uid
            self._woken.clear()
            try:
                async with asyncio.timeout(BEAT_S):
                    await self._woken.wait()
            except TimeoutError:
                yield None

    async def close(self) -> None:
        """Hear no more of the host."""
        self._stop_listening()

    def _hint(self, uid: Uid) -> None:
        self._hints[uid] = None
        self._woken.set()
