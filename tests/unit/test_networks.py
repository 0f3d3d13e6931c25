"""Several networks as one: each VM on the one that has its mode."""

from __future__ import annotations

import random
from collections.abc import Mapping

import pytest
from tests.builders.objects import uid_of
from tests.builders.stores import HandClock

from volant.drivers.networks import Networks
from volant.drivers.simulated import SimulatedHost, SimulatedNetwork
from volant.errors import DriverRefused, DriverUnavailable
from volant.model.meta import Misfit
from volant.model.vm import NetworkConfig, NetworkMode, Publish

UID = uid_of("web")


class Bridge(SimulatedNetwork):
    """One that has another mode, and can be changed by others."""

    @property
    def mode(self) -> NetworkMode:
        return "bridge"

    @property
    def pools(self) -> Mapping[NetworkMode, str]:
        return {"bridge": "10.127.0.0/22", "dhcp": ""}

    def check(self, asked: NetworkConfig) -> None:
        if asked.bridge_name == "eth0":
            raise Misfit("/bridge_name", "not that one")


class World:
    def __init__(self) -> None:
        clock = HandClock()
        self.bridged = SimulatedHost(clock, random.Random(1))
        self.host = SimulatedHost(clock, random.Random(1))
        self.bridge = Bridge(self.bridged, clock, is_watched=True)
        self.user = SimulatedNetwork(self.host, clock)
        self.networks = Networks([self.bridge, self.user])


def test_the_first_is_what_a_vm_gets_that_asks_for_none() -> None:
    networks = World().networks
    assert networks.mode == "bridge"
    assert dict(networks.pools) == {"bridge": "10.127.0.0/22", "dhcp": "", "user": "127.88.0.0/16"}
    assert networks.is_watched
    assert not Networks([World().user]).is_watched


def test_each_judges_what_is_asked_of_its_own_mode() -> None:
    networks = World().networks
    networks.check(NetworkConfig(mode="user", bridge_name="eth0"))
    for asked in (NetworkConfig(bridge_name="eth0"), NetworkConfig(mode="dhcp", bridge_name="eth0")):
        with pytest.raises(Misfit, match="not that one"):
            networks.check(asked)
    with pytest.raises(Misfit, match="'user' \\(or 'none'\\)"):
        Networks([World().user]).check(NetworkConfig(mode="bridge"))


@pytest.mark.parametrize(
    ("mode", "hint"),
    [("bridge", "start the daemon with --network bridge$"), ("dhcp", "with --network bridge --bridge-allow NAME$")],
)
def test_a_mode_that_is_not_there_says_what_makes_it_possible(mode: NetworkMode, hint: str) -> None:
    with pytest.raises(Misfit, match=hint):
        Networks([World().user]).check(NetworkConfig(mode=mode))


@pytest.mark.parametrize(
    ("asked", "path"),
    [
        (NetworkConfig(mode="none", publish=(Publish(guest_port=1, host_port=2000),)), "/publish"),
        (NetworkConfig(mode="none", egress="public"), "/egress"),
    ],
)
def test_a_vm_without_a_network_can_ask_for_nothing(asked: NetworkConfig, path: str) -> None:
    with pytest.raises(Misfit) as refused:
        World().networks.check(asked)
    assert refused.value.path == path


async def test_a_vm_that_changes_its_mode_leaves_the_network_that_it_was_on() -> None:
    world = World()
    on_bridge = world.bridge.attachment(UID, "10.127.0.10", (8080,))
    await world.bridge.ensure(UID, on_bridge)
    attachment = world.networks.attachment(UID, "127.88.0.10", (8080,), NetworkConfig(mode="user"))
    await world.networks.ensure(UID, attachment)
    assert (UID in world.host.networks, UID in world.bridged.networks) == (True, False)
    assert await world.networks.is_attached(UID, attachment)
    assert await world.networks.observe() == [UID]
    await world.networks.ensure_absent(UID)
    assert await world.networks.observe() == []


async def test_what_one_cannot_remove_is_not_taken_for_gone() -> None:
    world = World()
    world.host.network_fault = "busy"
    with pytest.raises(DriverUnavailable):
        await world.networks.ensure_absent(UID)


async def test_a_mode_that_is_not_there_is_refused() -> None:
    world = World()
    with pytest.raises(DriverRefused, match="'bridge'"):
        Networks([world.user]).attachment(UID, None, (), NetworkConfig(mode="bridge"))


async def test_the_one_that_can_be_changed_is_listened_to() -> None:
    async for uid in World().networks.watch():
        assert uid is None
        break
