"""The Pages port to a simulated host: every guest serves one small OpenAPI document, at every path."""

from __future__ import annotations

import json

from volant.clock import Clock
from volant.drivers.simulated.host import SimulatedHost
from volant.errors import DriverUnavailable


class SimulatedPages:
    """Finds the guest that is published at an address, as a connection would."""

    def __init__(self, host: SimulatedHost, clock: Clock) -> None:
        self._host = host
        self._clock = clock

    async def page(self, address: str, port: int, path: str, *, max_bytes: int, timeout_s: float) -> bytes:
        """As the port says. A guest answers as it answers its probes."""
        guest = self._host.guest_at(address, port)
        if guest is None or not guest.is_running:
            raise DriverUnavailable("the guest cannot be reached: connection refused")
        if guest.answers == "mute":
            await self._clock.sleep(timeout_s)
            raise DriverUnavailable(f"the guest gives no whole answer in {timeout_s:g} s")
        if guest.answers == "unhealthy":
            raise DriverUnavailable("the guest gives no page: it answers 503")
        return json.dumps(document(path)).encode()


def document(path: str) -> dict[str, object]:
    """What a simulated guest says of its API: that there is the document, and nothing else."""
    answers = {"200": {"description": "This document."}}
    return {
        "openapi": "3.0.3",
        "info": {"title": "Simulated guest", "version": "1.0.0"},
        "paths": {path: {"get": {"summary": "Describe this API", "responses": answers}}},
    }
