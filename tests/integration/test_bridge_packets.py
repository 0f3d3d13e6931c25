"""Who reaches whom over the bridge: guests, the host, the world. All of it in a namespace of the test's own."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.builders.bridge_world import (
    GATEWAY,
    PRIVATE,
    PUBLIC,
    Guest,
    Linux,
    Wire,
    World,
    a_network,
    attached,
    ethernet,
    mac_bytes,
    sh,
    udp4,
)
from tests.builders.netns import in_a_namespace

from volant.clock import Uid
from volant.drivers.bridge import BridgeNetwork
from volant.errors import DriverUnavailable
from volant.model.vm import Publish

BRIDGE_CALLS = "sysctl -q -w net.bridge.bridge-nf-call-iptables"


class Scene:
    """A host that serves, guests that serve, and a world that does."""

    def __init__(self, tmp_path: Path, network: BridgeNetwork) -> None:
        self.network = network
        self.pages = tmp_path
        self.world = World()
        self.world.serve(tmp_path)
        self.host = Linux(os.getpid())
        self.everybody: list[Linux] = [self.world, self.host]

    async def guest(self, name: str, number: int, **asked: object) -> Guest:
        made = Guest(await attached(self.network, name, f"10.127.0.{number}", **asked))
        made.serve(self.pages)
        self.everybody.append(made)
        return made


@contextlib.asynccontextmanager
async def a_scene(tmp_path: Path, **settings: object) -> AsyncIterator[Scene]:
    scene = Scene(tmp_path, a_network(tmp_path, **settings))
    try:
        yield scene
    finally:
        for one in scene.everybody:
            one.close()
        await scene.network.close()


def dropped(listing: str, why: str) -> bool:
    """Whether the rule of that name has dropped anything."""
    [line] = [line for line in listing.splitlines() if f'"{why} #' in line]
    return "counter packets 0 " not in line


@in_a_namespace
async def test_a_guest_reaches_nothing_of_the_host_but_an_echo(tmp_path: Path) -> None:
    """F1: the bridge's address and every other one of the host are closed, whatever the egress policy."""
    async with a_scene(tmp_path) as scene:
        scene.host.serve(tmp_path, 81)
        guest = await scene.guest("a", 5, egress="all")
        assert await scene.host.reaches("10.127.0.5")
        assert await scene.world.reaches("9.9.9.1", 81)
        assert [await guest.reaches(address, 81) for address in (GATEWAY, "9.9.9.1", "192.168.77.1")] == [False] * 3
        assert await guest.pings(GATEWAY)
        assert not await guest.pings("9.9.9.1")


@in_a_namespace
async def test_a_guest_does_not_reach_the_loopback_of_the_host(tmp_path: Path) -> None:
    """F1: although loopback is routed on the bridge, for ports that are published there."""
    async with a_scene(tmp_path) as scene:
        guest = await scene.guest("a", 5, egress="all")
        bridge = await scene.network._links.find("volbr0")
        assert bridge is not None
        for sender, target in (("10.127.0.5", "127.0.0.1"), ("127.0.0.1", GATEWAY)):
            guest.put(ethernet(guest.mac, bridge.mac, 0x0800, udp4(sender, target)))
        chains = f"nft list chain inet volant raw; nft list chain bridge volant {guest.attachment.tap}"
        async with asyncio.timeout(5):
            while not all(dropped(sh(chains), why) for why in ("to the host's loopback", "a: another address")):
                await asyncio.sleep(0.02)


@in_a_namespace
async def test_egress_deny_public_all_and_networks(tmp_path: Path) -> None:
    """F2: `public` is the internet and nothing of any LAN, `deny` only answers, a list is what it says."""
    async with a_scene(tmp_path) as scene:
        policies: dict[str, object] = {
            "deny": "deny",
            "public": "public",
            "all": "all",
            "lan": ("192.168.77.0/24",),
            "every": ("0.0.0.0/0",),
        }
        guests = {name: await scene.guest(name, 5 + at, egress=e) for at, (name, e) in enumerate(policies.items())}
        seen = {name: [await guest.reaches(to) for to in (PUBLIC, PRIVATE)] for name, guest in guests.items()}
        assert seen == {
            "deny": [False, False],
            "public": [True, False],
            "all": [True, True],
            "lan": [False, True],
            "every": [True, True],
        }
        assert [await scene.host.reaches(guest.address) for guest in guests.values()] == [True] * 5


@in_a_namespace
async def test_link_local_addresses_are_reached_with_egress_all_only(tmp_path: Path) -> None:
    """F2: what answers at 169.254.169.254 in a cloud gives out the host's credentials."""
    async with a_scene(tmp_path) as scene:
        scene.world.sh("ip addr add 169.254.169.254/32 dev w0")
        sh("ip route add 169.254.169.254/32 dev up0")
        guests = [
            await scene.guest("a", 5, egress="all"),
            await scene.guest("b", 6, egress="public"),
            await scene.guest("c", 7, egress=("0.0.0.0/0",)),
        ]
        assert [await guest.reaches("169.254.169.254") for guest in guests] == [True, False, False]


def is_redirect(frame: bytes) -> bool:
    """Whether it tells a guest to do without the host."""
    return frame[12:14] == b"\x08\x00" and frame[23] == 1 and frame[34] == 5


@in_a_namespace
async def test_guests_reach_each_other_as_their_own_policy_says(tmp_path: Path) -> None:
    """F2: denied unless the one who begins may go there. No frame goes from port to port: the host routes."""
    async with a_scene(tmp_path) as scene:
        a = await scene.guest("a", 5, egress="public")
        b = await scene.guest("b", 6, egress="all")
        c = await scene.guest("c", 7, egress=("10.127.0.5/32",))
        bridge = await scene.network._links.find("volbr0")
        assert bridge is not None
        for calls in (1, 0):
            # Whether or not the kernel takes bridged packets for routed ones, as hosts of containers have it.
            sh(f"{BRIDGE_CALLS}={calls} || test ! -e /proc/sys/net/bridge")
            wire, other = Wire(a.attachment.tap or ""), Wire(b.attachment.tap or "")
            seen = [await a.reaches(b.address), await b.reaches(a.address)]
            seen += [await c.reaches(a.address), await c.reaches(b.address)]
            frames, others = wire.frames(), other.frames()
            wire.close()
            other.close()
            assert seen == [False, True, True, False], calls
            assert not any(is_redirect(frame) for frame in (*frames, *others)), calls
            macs = {frame[6:12] for frame in frames if frame[12:14] in (b"\x08\x00", b"\x08\x06")}
            assert macs == {mac_bytes(a.mac), mac_bytes(bridge.mac)}, calls


@in_a_namespace
async def test_frames_do_not_go_from_guest_to_guest(tmp_path: Path) -> None:
    """F2: neither to its MAC nor to everybody, whatever the policy of the one who sends."""
    sh(f"{BRIDGE_CALLS}=0 || test ! -e /proc/sys/net/bridge")
    async with a_scene(tmp_path) as scene:
        a, b = await scene.guest("a", 5, egress="all"), await scene.guest("b", 6, egress="all")
        wire = Wire(b.attachment.tap or "")
        for target in (b.mac, "ff:ff:ff:ff:ff:ff", "33:33:00:00:00:01"):
            a.put(ethernet(a.mac, target, 0x0800, udp4(a.address, b.address, payload=b"straight")))
        assert await a.reaches(b.address)  # by then the frames before would have come
        seen = [frame for frame in wire.frames() if b"straight" in frame]
        wire.close()
        assert seen == []


@in_a_namespace
async def test_from_outside_nobody_reaches_a_guest_at_its_address(tmp_path: Path) -> None:
    """A machine of the LAN that routes to the pool over this host gets nowhere."""
    async with a_scene(tmp_path) as scene:
        guest = await scene.guest("a", 5)
        assert await scene.host.reaches(guest.address)
        assert not await scene.world.reaches(guest.address)


@in_a_namespace
async def test_the_world_sees_the_hosts_address_and_no_guests(tmp_path: Path) -> None:
    async with a_scene(tmp_path) as scene:
        guest = await scene.guest("a", 5)
        wire = Wire("up0")
        assert await guest.reaches(PUBLIC)
        sources = {frame[26:30] for frame in wire.frames() if frame[12:14] == b"\x08\x00"}
        wire.close()
        assert sources == {bytes((9, 9, 9, 1)), bytes((9, 9, 9, 9))}


@in_a_namespace
async def test_a_port_is_published_on_loopback_unless_said_otherwise(tmp_path: Path) -> None:
    """F4: 127.0.0.1 for the host alone; 0.0.0.0 for whoever reaches the host."""
    async with a_scene(tmp_path) as scene:
        publish = (
            Publish(guest_port=80, host_port=8080),
            Publish(guest_port=80, host_port=8081, host_ip="0.0.0.0"),
            Publish(guest_port=80, host_port=8082, host_ip="192.168.77.1"),
        )
        await scene.guest("a", 5, publish=publish)
        places = [
            ("127.0.0.1", 8080),
            ("9.9.9.1", 8080),
            ("127.0.0.1", 8081),
            ("9.9.9.1", 8081),
            ("192.168.77.1", 8082),
        ]
        assert [await scene.host.reaches(*place) for place in places] == [True, False, True, True, True]
        places = [("9.9.9.1", 8080), ("9.9.9.1", 8081), ("192.168.77.1", 8082), ("9.9.9.1", 8082)]
        assert [await scene.world.reaches(*place) for place in places] == [False, True, True, False]


@in_a_namespace
async def test_what_is_published_on_loopback_is_not_reached_by_a_neighbour_who_sends_to_it(tmp_path: Path) -> None:
    """F4: a frame for 127.0.0.1 that comes in over a wire is no business of ours, and not rewritten."""
    async with a_scene(tmp_path) as scene:
        publish = (Publish(guest_port=80, host_port=8080), Publish(guest_port=80, host_port=8081, host_ip="0.0.0.0"))
        await scene.guest("a", 5, publish=publish)
        scene.world.sh("sysctl -qw net.ipv4.conf.all.route_localnet=1 net.ipv4.conf.all.rp_filter=0")
        scene.world.sh("sysctl -qw net.ipv4.conf.w0.rp_filter=0; ip addr flush dev lo")
        scene.world.sh("ip route add 127.0.0.1 via 9.9.9.1 src 9.9.9.9")
        assert [await scene.world.reaches("127.0.0.1", port) for port in (8080, 8081)] == [False, False]
        assert await scene.world.reaches("9.9.9.1", 8081)


@in_a_namespace
async def test_a_port_on_all_addresses_leaves_those_of_the_user_network_alone(tmp_path: Path) -> None:
    """F4: every address of 127.0.0.0/8 is the host's own, and most of them are other VMs'."""
    async with a_scene(tmp_path) as scene:
        await scene.guest("a", 5, publish=(Publish(guest_port=80, host_port=8081, host_ip="0.0.0.0"),))
        with socket.create_server(("127.88.0.10", 8081)) as other:
            other.settimeout(2)
            with socket.create_connection(("127.88.0.10", 8081), timeout=2):
                other.accept()[0].close()
        assert await scene.host.reaches("127.0.0.1", 8081)


@in_a_namespace
async def test_a_guest_reaches_published_ports_as_its_policy_says_its_own_among_them(tmp_path: Path) -> None:
    """The way out and back in (hairpin), where the kernel does not take bridged packets for routed ones."""
    sh(f"{BRIDGE_CALLS}=0 || test ! -e /proc/sys/net/bridge")
    async with a_scene(tmp_path) as scene:
        publish = (Publish(guest_port=80, host_port=8081, host_ip="0.0.0.0"),)
        a = await scene.guest("a", 5, publish=publish, egress="all")
        b = await scene.guest("b", 6, egress="all")
        c = await scene.guest("c", 7, egress="public")
        assert [await guest.reaches("9.9.9.1", 8081) for guest in (a, b, c)] == [True, True, False]


@in_a_namespace
async def test_a_port_that_is_taken_is_not_published(tmp_path: Path) -> None:
    """F4: neither one of a program of the host, whose callers it would be given, nor one of another VM."""
    async with a_scene(tmp_path) as scene:
        scene.host.serve(tmp_path, 8090)
        with pytest.raises(DriverUnavailable, match=r"cannot publish 127.0.0.1:8090: the port is taken by busybox"):
            await attached(scene.network, "a", "10.127.0.5", publish=(Publish(guest_port=80, host_port=8090),))
        mine = (Publish(guest_port=80, host_port=8091),)
        await attached(scene.network, "b", "10.127.0.6", publish=mine)
        await attached(scene.network, "b", "10.127.0.6", publish=mine)
        for host_ip in ("127.0.0.1", "0.0.0.0"):
            theirs = (Publish(guest_port=80, host_port=8091, host_ip=host_ip),)
            with pytest.raises(DriverUnavailable, match="another VM has published that port"):
                await attached(scene.network, "c", "10.127.0.7", publish=theirs)
        await scene.network.ensure_absent(Uid("b"))
        await attached(scene.network, "c", "10.127.0.7", publish=mine)


@in_a_namespace
async def test_a_port_that_was_taken_meanwhile_keeps_nothing_else_from_being_repaired(tmp_path: Path) -> None:
    """F4: a guest that runs gets its tap, its egress and its other ports back; the error names the one that is not."""
    async with a_scene(tmp_path) as scene:
        publish = (Publish(guest_port=80, host_port=8090), Publish(guest_port=80, host_port=8091))
        attachment = await attached(scene.network, "a", "10.127.0.5", publish=publish)
        for harm in (f"ip link del {attachment.tap}; nft flush ruleset", "nft flush ruleset"):
            sh(harm)
            with socket.create_server(("127.0.0.1", 8090)):
                for _ in range(2):
                    with pytest.raises(DriverUnavailable, match=r"cannot publish 127.0.0.1:8090: the port is taken by"):
                        await scene.network.ensure(Uid("a"), attachment)
            assert not await scene.network.is_attached(Uid("a"), attachment)
            guest = Guest(attachment)
            scene.everybody.append(guest)
            guest.serve(tmp_path)
            assert await guest.reaches(PUBLIC)
            assert [await scene.host.reaches("127.0.0.1", port) for port in (8090, 8091)] == [False, True]
            await scene.network.ensure(Uid("a"), attachment)
            assert await scene.network.is_attached(Uid("a"), attachment)
            assert await scene.host.reaches("127.0.0.1", 8090)
            scene.everybody.remove(guest)
            guest.close()


@in_a_namespace
async def test_a_first_launch_with_a_taken_port_makes_nothing(tmp_path: Path) -> None:
    """F4: how often it is tried: nothing of the VM is left that would hold its other ports."""
    async with a_scene(tmp_path) as scene:
        publish = (Publish(guest_port=80, host_port=8090), Publish(guest_port=80, host_port=8091))
        with socket.create_server(("127.0.0.1", 8090)):
            for _ in range(2):
                with pytest.raises(DriverUnavailable, match=r"cannot publish 127.0.0.1:8090"):
                    await attached(scene.network, "a", "10.127.0.5", publish=publish)
        assert await scene.network.observe() == []


@in_a_namespace
async def test_ipv6_is_routed_filtered_and_masqueraded_like_ipv4(tmp_path: Path) -> None:
    async with a_scene(tmp_path, pool6="fd00:77::/64") as scene:
        scene.world.sh("ip -6 addr add 2600::9/64 dev w0 nodad")
        sh("ip -6 addr add 2600::1/64 dev up0 nodad")
        scene.host.serve(tmp_path, 81)
        a = await scene.guest("a", 5, egress="public")
        b = await scene.guest("b", 6, egress="all")
        assert a.attachment.guest_address6 == "fd00:77::5/128"
        assert await scene.host.reaches("[fd00:77::5]")
        assert await a.reaches("[2600::9]")
        assert not await a.reaches("[fd00:77::6]")
        assert await b.reaches("[fd00:77::5]")
        assert [await b.reaches(at, 81) for at in ("[fd00:77::1]", "[2600::1]", "[fe80::1%eth0]")] == [False] * 3


@in_a_namespace
async def test_connections_of_a_vm_that_is_gone_are_forgotten(tmp_path: Path) -> None:
    """F7: the next VM with its address does not inherit what others may answer it."""
    async with a_scene(tmp_path) as scene:
        guest = await scene.guest("a", 5)
        other = await scene.guest("b", 6)
        assert await guest.reaches(PUBLIC)
        assert await other.reaches(PUBLIC)
        assert await scene.host.reaches(guest.address)
        assert b"src=10.127.0.5" in await asyncio.to_thread(_connections)
        await scene.network.ensure_absent(Uid("a"))
        assert b"10.127.0.5" not in await asyncio.to_thread(_connections)
        assert b"10.127.0.6" in await asyncio.to_thread(_connections)


def _connections() -> bytes:
    return Path("/proc/net/nf_conntrack").read_bytes()
