"""The Prober port to a simulated host: guests answer as they were told to."""

from __future__ import annotations

from volant.clock import Clock
from volant.drivers.simulated.host import SimulatedHost
from volant.model.health import ProbeOutcome


class SimulatedProber:
    """Finds the guest that is published at an address, as a connection would. Every path is answered alike."""

    def __init__(self, host: SimulatedHost, clock: Clock) -> None:
        self._host = host
        self._clock = clock

    async def http(self, address: str, port: int, path: str, timeout_s: float) -> ProbeOutcome:
        """As the port says."""
        return await self._ask(address, port, timeout_s)

    async def tcp(self, address: str, port: int, timeout_s: float) -> ProbeOutcome:
        """As the port says."""
        return await self._ask(address, port, timeout_s)

    async def _ask(self, address: str, port: int, timeout_s: float) -> ProbeOutcome:
        host = self._host
        if host.probe_s > 0:
            await self._clock.sleep(min(host.probe_s, timeout_s))
        if host.probe_fault is not None:
            return "unknown"
        guest = host.guest_at(address, port)
        if guest is None or not guest.is_running:
            return "failure"
        host.probes[guest.uid] += 1
        if guest.answers == "mute":
            await self._clock.sleep(timeout_s)
        return "success" if guest.answers == "healthy" and guest.is_running else "failure"
