"""The simulated network."""

from __future__ import annotations

import random

import pytest
from tests.builders.objects import uid_of
from tests.builders.virtual_time import VirtualClock, virtual

from volant.drivers import Forward
from volant.drivers.simulated import SimulatedHost, SimulatedHypervisor, SimulatedNetwork
from volant.errors import DriverUnavailable

UID = uid_of("web-1")


def a_network(clock: VirtualClock) -> tuple[SimulatedHost, SimulatedNetwork]:
    """A world and its network."""
    host = SimulatedHost(clock, random.Random(1))
    return host, SimulatedNetwork(host, clock)


@virtual
async def test_ports_are_published_on_the_address_of_the_vm(clock: VirtualClock) -> None:
    _, network = a_network(clock)
    attached = network.attachment(UID, "127.88.0.10", (8080, 22))
    assert attached.address == "127.88.0.10"
    assert attached.mac == "52:54:7f:58:00:0a"
    assert attached.forwards[0] == Forward(host_address="127.88.0.10", host_port=8080, guest_port=8080)
    assert [forward.guest_port for forward in attached.forwards] == [8080, 22]
    assert network.pools == {"user": "127.88.0.0/16"}


@virtual
async def test_without_an_address_nothing_is_published(clock: VirtualClock) -> None:
    _, network = a_network(clock)
    assert network.attachment(UID, None, (80,)).forwards == ()


@virtual
async def test_what_is_made_stays_until_it_is_taken_away(clock: VirtualClock) -> None:
    host, network = a_network(clock)
    for _ in range(2):
        await network.ensure(UID, network.attachment(UID, "127.88.0.10", ()))
    await network.close()
    again = SimulatedNetwork(host, clock)
    assert await again.observe() == [UID]
    for _ in range(2):
        await again.ensure_absent(UID)
    assert await again.observe() == []


@virtual
async def test_a_fault_names_what_is_in_the_way(clock: VirtualClock) -> None:
    host, network = a_network(clock)
    host.network_fault = "the port 80 is taken"
    with pytest.raises(DriverUnavailable, match="the port 80 is taken"):
        await network.ensure(UID, network.attachment(UID, "127.88.0.10", (80,)))
    assert await network.observe() == []


@virtual
async def test_the_network_of_a_host_outlives_its_guests(clock: VirtualClock) -> None:
    host, network = a_network(clock)
    driver = SimulatedHypervisor(host, clock)
    await network.ensure(UID, network.attachment(UID, "127.88.0.10", ()))
    host.orphan(UID)
    await driver.kill(UID)
    await driver.forget(UID)
    assert await network.observe() == [UID]
