"""Which frames of a guest pass its tap: those that are what they say. Pure.

A frame that passes comes from the VM's MAC and addresses; it is IP or ARP, in no VLAN, no DHCP offer, no router
advertisement and no neighbour advertisement of another's address. A tap that no VM's chain is known for passes nothing.
"""

from __future__ import annotations

import ipaddress

from volant.drivers import Attachment
from volant.drivers.bridge.names import GROUP
from volant.drivers.bridge.site import ANY, GATEWAY6, TAPS
from volant.drivers.bridge.table import Rule
from volant.drivers.bridge.words import (
    ACCEPT,
    DROP,
    equal,
    ether_type,
    host_of,
    meta,
    negated,
    payload,
    prefix,
    unequal,
    vmap,
)

_FROM_SERVERS = 67, 547
"""UDP ports that DHCP servers answer from."""


def let_in() -> tuple[Rule, ...]:
    """Each frame of a guest to its VM's chain."""
    return (
        Rule("to the VM's chain", (vmap(meta("iifname"), TAPS),)),
        Rule("a tap without a VM", (equal(meta("iifgroup"), GROUP), *DROP)),
    )


def no_control() -> Rule:
    """Nothing for the bridge itself: 802.1X and the like. The kernel asks no rule about LLDP."""
    # Frames to these addresses are for the bridge itself and come by no prerouting.
    masked = {"&": [payload("ether", "daddr"), "ff:ff:ff:ff:ff:f0"]}
    return Rule("bridge control", (equal(masked, "01:80:c2:00:00:00"), equal(meta("iifgroup"), GROUP), *DROP))


def frames_of(attachment: Attachment) -> tuple[Rule, ...]:
    """What a VM's tap lets in: the chain of the VM."""
    mac = attachment.mac or ""
    return (*_any_guest(mac, attachment), *_who(mac, attachment))


def _any_guest(mac: str, attachment: Attachment) -> tuple[Rule, ...]:
    has_v6 = attachment.mode == "dhcp" or attachment.guest_address6 is not None
    kinds = {"set": ["ip", "arp", *(["ip6"] if has_v6 else [])]}
    advice = {"set": ["nd-router-advert", "nd-redirect"]}
    never6 = (
        Rule("router advertisement", (equal(payload("icmpv6", "type"), advice), *DROP)),
        Rule("DHCPv6 server", (equal(ether_type(), "ip6"), equal(payload("udp", "sport"), _FROM_SERVERS[1]), *DROP)),
    )
    return (
        Rule("another MAC", (unequal(payload("ether", "saddr"), mac), *DROP)),
        Rule("neither IP nor ARP", (unequal(ether_type(), kinds), *DROP)),
        Rule("DHCP server", (equal(ether_type(), "ip"), equal(payload("udp", "sport"), _FROM_SERVERS[0]), *DROP)),
        *(never6 if has_v6 else ()),
    )


def _who(mac: str, attachment: Attachment) -> tuple[Rule, ...]:
    """By its addresses; where the LAN hands them out nobody knows these, and the MAC has to do."""
    arp = (equal(ether_type(), "arp"), equal(payload("arp", "saddr ether"), mac))
    if attachment.address is None:
        return (
            Rule("ARP of its MAC", (*arp, ACCEPT)),
            Rule("ARP of another MAC", (equal(ether_type(), "arp"), *DROP)),
            Rule("IP", (ACCEPT,)),
        )
    probe = (equal(payload("arp", "operation"), "request"), equal(payload("arp", "saddr ip"), ANY))
    return (
        Rule("ARP", (*arp, equal(payload("arp", "saddr ip"), attachment.address), ACCEPT)),
        Rule("ARP probe", (*arp, *probe, ACCEPT)),
        Rule("IPv4", (equal(ether_type(), "ip"), equal(payload("ip", "saddr"), attachment.address), ACCEPT)),
        *(_who6(host_of(attachment.guest_address6)) if attachment.guest_address6 is not None else ()),
        Rule("another address", DROP),
    )


def _who6(address: str) -> tuple[Rule, ...]:
    is6 = equal(ether_type(), "ip6")
    is_advert = equal(payload("icmpv6", "type"), "nd-neighbor-advert")
    target = {"payload": {"base": "th", "offset": 64, "len": 128}}
    number = f"0x{int(ipaddress.IPv6Address(address)):032x}"
    local_target = equal({"&": [{"payload": {"base": "th", "offset": 64, "len": 16}}, 0xFFC0]}, 0xFE80)
    gateway = f"0x{int(ipaddress.IPv6Address(GATEWAY6)):032x}"
    talk = {"set": ["nd-router-solicit", "nd-neighbor-solicit", "nd-neighbor-advert", "echo-request", "echo-reply"]}
    listen = {"set": ["nd-neighbor-solicit", "mld2-listener-report"]}
    unspecified = equal(payload("ip6", "saddr"), "::")
    from_local = equal(payload("ip6", "saddr"), prefix("fe80::/10"))
    return (
        Rule("advert of the gateway", (is6, is_advert, equal(target, gateway), *DROP)),
        Rule("advert of another", (is6, is_advert, unequal(target, number), negated(local_target), *DROP)),
        Rule("IPv6", (is6, equal(payload("ip6", "saddr"), address), ACCEPT)),
        Rule("link-local IPv6", (is6, from_local, equal(payload("icmpv6", "type"), talk), ACCEPT)),
        Rule("link-local groups", (is6, from_local, equal(payload("icmpv6", "type"), listen), ACCEPT)),
        Rule("IPv6 probe", (is6, unspecified, equal(payload("icmpv6", "type"), listen), ACCEPT)),
    )
