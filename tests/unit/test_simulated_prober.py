"""Simulated guests take their probes as they were told to."""

from __future__ import annotations

import random
from typing import Any

from tests.builders.objects import uid_of
from tests.builders.virtual_time import VirtualClock, virtual

from volant.drivers import Boot, Prober
from volant.drivers.simulated import (
    Behaviour,
    SimulatedHost,
    SimulatedHypervisor,
    SimulatedNetwork,
    SimulatedProber,
)
from volant.model.vm import Booted, VMConfig

UID = uid_of("web-1")
ADDRESS = "127.88.0.10"


async def a_guest(clock: VirtualClock, **behaviour: Any) -> tuple[SimulatedHost, Prober]:
    """A guest that was launched just now, and a prober."""
    host = SimulatedHost(clock, random.Random(1), behaviour=Behaviour(**behaviour))
    attachment = SimulatedNetwork(host, clock).attachment(UID, ADDRESS, (8080,))
    mark = Booted(config=VMConfig(), restart_nonce=0)
    await SimulatedHypervisor(host, clock).launch(UID, Boot(uid=UID, name="web-1", booted=mark, attachment=attachment))
    return host, SimulatedProber(host, clock)


@virtual
async def test_a_guest_answers_once_it_has_booted_and_serves(clock: VirtualClock) -> None:
    _, prober = await a_guest(clock, boot_s=1.0, answers_after_s=2.0)
    said = []
    for _ in range(4):
        said.append(await prober.http(ADDRESS, 8080, "/", 1.0))
        await clock.sleep(1.0)
    assert said == ["failure", "failure", "failure", "success"]
    assert await prober.tcp(ADDRESS, 8080, 1.0) == "success"


@virtual
async def test_only_what_is_published_can_be_reached(clock: VirtualClock) -> None:
    host, prober = await a_guest(clock)
    assert await prober.http(ADDRESS, 8081, "/", 1.0) == "failure"
    assert await prober.http("127.88.0.11", 8080, "/", 1.0) == "failure"
    host.crash(UID)
    assert await prober.http(ADDRESS, 8080, "/", 1.0) == "failure"
    assert host.probes[UID] == 0


@virtual
async def test_a_guest_can_fall_ill_and_recover(clock: VirtualClock) -> None:
    host, prober = await a_guest(clock)
    host.answer(UID, "unhealthy")
    assert await prober.http(ADDRESS, 8080, "/", 1.0) == "failure"
    began = clock.monotonic()
    host.answer(UID, "mute")
    assert await prober.http(ADDRESS, 8080, "/", 1.0) == "failure"
    assert clock.monotonic() - began == 1.0
    host.answer(UID, "healthy")
    assert await prober.http(ADDRESS, 8080, "/", 1.0) == "success"
    assert host.probes[UID] == 3


@virtual
async def test_probes_that_cannot_be_sent_are_unknown(clock: VirtualClock) -> None:
    """P5."""
    host, prober = await a_guest(clock)
    host.probe_fault = "no descriptors left"
    host.probe_s = 0.5
    assert await prober.tcp(ADDRESS, 8080, 1.0) == "unknown"
    assert (clock.monotonic(), host.probes[UID]) == (0.5, 0)
