"""The user network: arithmetic, and a look at the ports."""

from __future__ import annotations

import re
import socket
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from volant.clock import Uid
from volant.drivers import Attachment
from volant.drivers.user import UserNetwork, first_unprivileged_port, mac_of, published
from volant.errors import DriverUnavailable

UID = Uid("0123456789abcdef0123456789abcdef")
ADDRESS = "127.88.255.241"


def a_network(first_unprivileged: int = 1024) -> UserNetwork:
    return UserNetwork(first_unprivileged=first_unprivileged)


def a_listener(address: str = ADDRESS, port: int = 0) -> socket.socket:
    listening = socket.socket()
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listening.bind((address, port))
    listening.listen(1)
    return listening


def an_attachment(port: int) -> Attachment:
    return a_network().attachment(UID, ADDRESS, (port,))


def test_ports_that_anybody_may_bind_keep_their_number() -> None:
    assert published((8080, 1024, 65535), 1024) == {8080: 8080, 1024: 1024, 65535: 65535}


def test_privileged_ports_are_lifted_by_8000() -> None:
    assert published((80, 443), 1024) == {80: 8080, 443: 8443}


def test_a_lifted_port_gives_way_to_one_that_keeps_its_number() -> None:
    assert published((80, 8080, 8081), 1024) == {80: 8082, 8080: 8080, 8081: 8081}


def test_where_everybody_may_bind_everything_nothing_moves() -> None:
    assert published((80, 8080), 0) == {80: 80, 8080: 8080}


@given(st.lists(st.integers(1, 65535), max_size=8).map(tuple), st.sampled_from([0, 80, 1024, 9000, 20000]))
def test_no_two_ports_meet_and_all_may_be_bound(ports: tuple[int, ...], first_free: int) -> None:
    places = published(ports, first_free)
    assert places.keys() == set(ports)
    assert len(set(places.values())) == len(places)
    assert all(first_free <= place <= 65535 for place in places.values())


def test_the_attachment_is_a_function_of_its_arguments() -> None:
    network = a_network()
    attachment = network.attachment(UID, "127.88.0.10", (80,))
    assert attachment == network.attachment(UID, "127.88.0.10", (80,))
    assert (attachment.mode, attachment.address) == ("user", "127.88.0.10")
    assert (attachment.guest_address, attachment.gateway) == ("10.0.2.15/24", "10.0.2.2")
    [forward] = attachment.forwards
    assert (forward.host_address, forward.host_port, forward.guest_port) == ("127.88.0.10", 8080, 80)


def test_without_an_address_nothing_is_published() -> None:
    assert a_network().attachment(UID, None, (80,)).forwards == ()


def test_macs_are_stable_and_in_qemus_range() -> None:
    assert re.fullmatch(r"52:54:00(:[0-9a-f]{2}){3}", mac_of(UID))
    assert mac_of(UID) == mac_of(UID) != mac_of(Uid("other"))


def test_the_pool_is_loopback() -> None:
    assert a_network().pools == {"user": "127.88.0.0/16"}
    assert a_network().mode == "user"


def test_the_hosts_own_first_unprivileged_port_is_the_default() -> None:
    expected = int(Path("/proc/sys/net/ipv4/ip_unprivileged_port_start").read_text())
    assert first_unprivileged_port() == expected
    [forward] = UserNetwork().attachment(UID, ADDRESS, (80,)).forwards
    assert forward.host_port == (80 if expected <= 80 else 8080)


async def test_a_free_port_is_no_obstacle_and_stays_free() -> None:
    with a_listener() as listening:
        port = listening.getsockname()[1]
    network = a_network()
    await network.ensure(UID, an_attachment(port))
    await network.ensure(UID, an_attachment(port))
    a_listener(port=port).close()


async def test_a_taken_port_is_named_with_its_holder() -> None:
    with a_listener() as listening:
        port = listening.getsockname()[1]
        with pytest.raises(DriverUnavailable) as refused:
            await a_network().ensure(UID, an_attachment(port))
    assert refused.value.message.startswith(f"cannot publish {ADDRESS}:{port}: the port is taken by ")


async def test_somebody_who_listens_everywhere_is_in_the_way_too() -> None:
    with a_listener("0.0.0.0") as listening:
        port = listening.getsockname()[1]
        with pytest.raises(DriverUnavailable, match="taken"):
            await a_network().ensure(UID, an_attachment(port))


async def test_the_same_port_on_another_address_is_not_in_the_way() -> None:
    with a_listener("127.88.255.242") as listening:
        await a_network().ensure(UID, an_attachment(listening.getsockname()[1]))


async def test_a_connection_in_time_wait_is_not_in_the_way() -> None:
    with a_listener() as listening:
        port = listening.getsockname()[1]
        with socket.create_connection((ADDRESS, port)):
            accepted, _ = listening.accept()
            accepted.close()  # The side that closes first, and so keeps the port, is the listening one.
    await a_network().ensure(UID, an_attachment(port))


async def test_an_address_that_is_not_this_hosts_is_said_to_be() -> None:
    elsewhere = a_network().attachment(UID, "192.0.2.1", (8080,))
    with pytest.raises(DriverUnavailable, match=r"cannot publish 192\.0\.2\.1:8080"):
        await a_network().ensure(UID, elsewhere)


async def test_nothing_is_made_so_nothing_is_found() -> None:
    network = a_network()
    await network.ensure(UID, a_network().attachment(UID, ADDRESS, ()))
    assert await network.observe() == []
    await network.ensure_absent(UID)
    await network.close()
