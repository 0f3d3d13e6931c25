"""Frames that a guest may not send, sent by its VMM, and watched for on the wire behind its tap."""

from __future__ import annotations

import asyncio
import os
import socket
import struct
from pathlib import Path

from tests.builders.bridge_world import (
    BRIDGE,
    GATEWAY,
    VNET_HEADER,
    Wire,
    a_network,
    arp,
    attached,
    ethernet,
    icmp6,
    mac_bytes,
    sh,
    udp4,
)
from tests.builders.netns import in_a_namespace

from volant.drivers import Attachment, tap

EVIL = "02:66:66:66:66:66"
OURS = "10.127.0.5"
ANOTHERS = "10.127.0.6"
EVERYBODY = "ff:ff:ff:ff:ff:ff"
OURS6 = "fd00:77::5"
ANOTHERS6 = "fd00:77::6"
ALL_NODES = "ff02::1"
NODES_MAC = "33:33:00:00:00:01"


class Tap:
    """The VMM's end of a tap, and the wire behind it: the bridge, where only what was let in arrives."""

    def __init__(self, attachment: Attachment, bridge: str = BRIDGE) -> None:
        self.mac = attachment.mac or ""
        self._end = tap.open_tap(attachment.tap or "")
        self._wire = Wire(bridge)
        self._number = 0

    async def passing(self, *frames: bytes) -> list[int]:
        """Which of the frames pass, by their place. A frame that does comes last and says when all were judged."""
        self._wire.frames()
        last = arp(sender_mac=self.mac, sender=OURS, target=f"10.127.3.{self._number % 250 + 1}")
        self._number += 1
        for frame in (*frames, last):
            os.write(self._end, VNET_HEADER + frame)
        seen: list[bytes] = []
        async with asyncio.timeout(5):
            while not any(_same(frame, last) for frame in seen):
                await asyncio.sleep(0.01)
                seen += self._wire.frames()
        return [at for at, frame in enumerate(frames) if any(_same(frame, one) for one in seen)]

    def close(self) -> None:
        os.close(self._end)
        self._wire.close()


def _same(sent: bytes, seen: bytes) -> bool:
    return seen[: len(sent)] == sent or (sent[12:14] in (b"\x81\x00", b"\x88\xa8") and sent[16:] in seen)


def tagged(frame: bytes, *tags: int) -> bytes:
    """The frame in one VLAN, or, with two tags, in one within another."""
    kinds = [0x88A8, 0x8100] if len(tags) == 2 else [0x8100]
    words = b"".join(struct.pack("!HH", kind, tag) for kind, tag in zip(kinds, tags, strict=True))
    return frame[:12] + words + frame[12:]


@in_a_namespace
async def test_a_guest_speaks_only_with_its_own_mac_and_ipv4_address(tmp_path: Path) -> None:
    """F3: in Ethernet, in ARP as asker and as answerer, and in IPv4."""
    network = a_network(tmp_path)
    end = Tap(await attached(network, "a", OURS))
    mac = end.mac
    try:
        assert await end.passing(
            ethernet(mac, EVERYBODY, 0x0800, udp4(OURS, GATEWAY)),
            arp(sender_mac=mac, sender=OURS, target=GATEWAY),
            arp(sender_mac=mac, sender="0.0.0.0", target=OURS),
        ) == [0, 1, 2]
        assert not await end.passing(
            ethernet(EVIL, EVERYBODY, 0x0800, udp4(OURS, GATEWAY)),
            ethernet(mac, EVERYBODY, 0x0800, udp4(ANOTHERS, GATEWAY)),
            ethernet(mac, EVERYBODY, 0x0800, udp4(GATEWAY, "10.127.0.7")),
            arp(sender_mac=mac, sender=ANOTHERS, target=GATEWAY),
            arp(sender_mac=mac, sender=GATEWAY, target=ANOTHERS, operation=2),
            arp(sender_mac=EVIL, sender=OURS, target=GATEWAY, source=mac),
            arp(sender_mac=mac, sender="0.0.0.0", target=ANOTHERS, operation=2),
        )
    finally:
        end.close()
        await network.close()


@in_a_namespace
async def test_a_guest_is_no_dhcp_server_in_no_vlan_and_speaks_nothing_but_ip(tmp_path: Path) -> None:
    """F3: one tag, two, the empty one; spanning tree and 802.1X are for the bridge itself and not let in either."""
    network = a_network(tmp_path)
    end = Tap(await attached(network, "a", OURS))
    mac = end.mac
    packet = ethernet(mac, EVERYBODY, 0x0800, udp4(OURS, GATEWAY, source_port=4002))
    spanning_tree = mac_bytes("01:80:c2:00:00:00") + mac_bytes(mac) + b"\x00\x26\x42\x42\x03" + bytes(35)
    port_access = ethernet(mac, "01:80:c2:00:00:03", 0x888E, b"\x02\x01" + bytes(44))
    try:
        assert not await end.passing(
            ethernet(mac, EVERYBODY, 0x0800, udp4(OURS, "255.255.255.255", source_port=67, target_port=68)),
            tagged(packet, 10),
            tagged(packet, 10, 20),
            tagged(packet, 0),
            ethernet(mac, EVERYBODY, 0x88B5, b"x" * 50),
            ethernet(mac, EVERYBODY, 0x8864, b"x" * 50),
            ethernet(mac, NODES_MAC, 0x86DD, icmp6("fe80::5", ALL_NODES, 134, bytes(12))),
            ethernet(mac, NODES_MAC, 0x86DD, icmp6("fe80::5", ALL_NODES, 128, bytes(4))),
            spanning_tree,
            port_access,
        )
        assert "counter packets 1 " in sh("nft list chain bridge volant input"), "802.1X is for the bridge's own ears"
    finally:
        end.close()
        await network.close()


@in_a_namespace
async def test_a_guest_with_ipv6_speaks_only_for_its_own_address(tmp_path: Path) -> None:
    """F3: neither a router's nor anybody's neighbour advertisement but its own passes."""
    network = a_network(tmp_path, pool6="fd00:77::/64")
    end = Tap(await attached(network, "a", OURS))

    def sent(sender: str, kind: int, body: bytes) -> bytes:
        return ethernet(end.mac, NODES_MAC, 0x86DD, icmp6(sender, ALL_NODES, kind, body))

    def advert(target: str) -> bytes:
        option = b"\x02\x01" + mac_bytes(end.mac)
        return struct.pack("!I", 0x20000000) + socket.inet_pton(socket.AF_INET6, target) + option

    solicit = bytes(4) + socket.inet_pton(socket.AF_INET6, "fd00:77::1")
    try:
        assert await end.passing(
            sent(OURS6, 136, advert(OURS6)),
            sent(OURS6, 128, bytes(4)),
            sent("fe80::5", 135, solicit),
            sent("fe80::5", 136, advert("fe80::5")),
            sent("::", 135, solicit),
        ) == [0, 1, 2, 3, 4]
        assert not await end.passing(
            sent(OURS6, 136, advert(ANOTHERS6)),
            sent("fe80::5", 136, advert(ANOTHERS6)),
            sent("fe80::5", 136, advert("fe80::1")),
            sent(ANOTHERS6, 128, bytes(4)),
            sent(OURS6, 134, bytes(12)),
            sent("fe80::5", 134, bytes(12)),
            sent(OURS6, 137, bytes(36)),
            sent("2600::1", 128, bytes(4)),
            ethernet(EVIL, NODES_MAC, 0x86DD, icmp6(OURS6, ALL_NODES, 128, bytes(4))),
        )
    finally:
        end.close()
        await network.close()


@in_a_namespace
async def test_a_tap_without_rules_of_a_vm_lets_nothing_pass(tmp_path: Path) -> None:
    """F3: the rules of a VM are taken away by hand: until they are back, the common ones close its tap."""
    network = a_network(tmp_path)
    one, other = await attached(network, "a", OURS), await attached(network, "b", ANOTHERS)
    end = Tap(one)
    hole = tap.open_tap(other.tap or "")
    wire = Wire(BRIDGE)
    try:
        sh(f"nft delete element bridge volant taps '{{ {other.tap} }}'")
        frame = arp(sender_mac=other.mac or "", sender=ANOTHERS, target=GATEWAY)
        os.write(hole, VNET_HEADER + frame)
        assert await end.passing() == []
        assert not any(_same(frame, seen) for seen in wire.frames())
    finally:
        os.close(hole)
        wire.close()
        end.close()
        await network.close()


@in_a_namespace
async def test_on_a_bridge_of_another_a_guest_keeps_its_mac_and_offers_nothing(tmp_path: Path) -> None:
    """F3: who hands out addresses there is not known, so only the MAC can be held to."""
    sh("ip link add br9 type bridge && ip link set br9 up")
    network = a_network(tmp_path, allow=("br9",))
    attachment = await attached(network, "a", None, mode="dhcp", bridge_name="br9")
    assert (attachment.address, attachment.bridge, attachment.egress) == (None, "br9", "all")
    end = Tap(attachment, "br9")
    mac = end.mac
    discover = udp4("0.0.0.0", "255.255.255.255", source_port=68, target_port=67)
    offer = udp4("192.168.9.1", "255.255.255.255", source_port=67, target_port=68)
    try:
        assert await end.passing(
            ethernet(mac, EVERYBODY, 0x0800, discover),
            arp(sender_mac=mac, sender="192.168.9.7", target="192.168.9.1"),
        ) == [0, 1]
        assert not await end.passing(
            ethernet(mac, EVERYBODY, 0x0800, offer),
            ethernet(EVIL, EVERYBODY, 0x0800, discover),
            arp(sender_mac=EVIL, sender="192.168.9.7", target="192.168.9.1", source=mac),
            ethernet(mac, NODES_MAC, 0x86DD, icmp6("fe80::5", ALL_NODES, 134, bytes(12))),
            tagged(ethernet(mac, EVERYBODY, 0x0800, discover), 3),
        )
    finally:
        end.close()
        await network.close()


@in_a_namespace
async def test_without_our_rules_each_of_them_would_pass(tmp_path: Path) -> None:
    """F3: the wire is watched rightly: what other tests do not see there is seen once nobody stops it."""
    network = a_network(tmp_path)
    end = Tap(await attached(network, "a", OURS))
    mac = end.mac
    packet = ethernet(mac, EVERYBODY, 0x0800, udp4(OURS, GATEWAY, source_port=4002))
    frames = (
        ethernet(EVIL, EVERYBODY, 0x0800, udp4(OURS, GATEWAY)),
        ethernet(mac, EVERYBODY, 0x0800, udp4(ANOTHERS, GATEWAY)),
        arp(sender_mac=mac, sender=ANOTHERS, target=GATEWAY),
        arp(sender_mac=EVIL, sender=OURS, target=GATEWAY, source=mac),
        ethernet(mac, EVERYBODY, 0x0800, udp4(OURS, "255.255.255.255", source_port=67, target_port=68)),
        tagged(packet, 10),
        tagged(packet, 10, 20),
        ethernet(mac, EVERYBODY, 0x88B5, b"x" * 50),
        ethernet(mac, NODES_MAC, 0x86DD, icmp6("fe80::5", ALL_NODES, 134, bytes(12))),
    )
    try:
        assert await end.passing(*frames) == []
        sh("nft delete table bridge volant")
        passed = await end.passing(*frames)
        assert passed == list(range(len(frames))), passed
    finally:
        end.close()
        await network.close()
