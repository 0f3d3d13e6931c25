"""Which packets of guests go where: pure.

    guest ─tap─▶ bridge prerouting ── is it who it says? ──▶ the host's own address ─▶ input:   an echo, or nothing
                                                         └─▶ anywhere else ─────────▶ forward: its egress policy

Guests are isolated ports of the bridge: no frame goes from one to another. What they send each other is routed by the
host like everything else (it answers ARP for them), so one policy judges it all, and only what begins a connection:
replies always pass. From outside nothing reaches a guest but what the host itself sends, and published ports.

"""

from __future__ import annotations

from volant.clock import Uid
from volant.drivers import Attachment, Forward
from volant.drivers.bridge import frames, packets
from volant.drivers.bridge.site import ANY, EGRESS, EGRESS6, PUBLISHED, PUBLISHED_ANYWHERE, TAPS, Site
from volant.drivers.bridge.table import Chain, Expr, Hook, Key, Place, Rule, Wanted
from volant.drivers.bridge.words import equal, goto, host_of, is_local, meta, payload, prefix, unequal, vmap


def ground(site: Site) -> Wanted:
    """What is there as long as there is a bridge."""
    keys = [payload("ip", "daddr"), payload("tcp", "dport")]
    on_one: Expr = {"vmap": {"key": {"concat": keys}, "data": f"@{PUBLISHED.name}"}}
    on_all = vmap(keys[1], PUBLISHED_ANYWHERE)
    # What comes in over a wire for 127.0.0.0/8 would be rewritten before the kernel could see that it is no address
    # of a wire; and of that network only 127.0.0.1 is "all addresses": the rest belongs to VMs of the user network.
    outside = unequal(keys[0], prefix("127.0.0.0/8"))
    arriving = (
        Rule("published on one address", (outside, on_one)),
        Rule("published on all addresses", (outside, is_local(), on_all)),
    )
    leaving = (
        Rule("published on one address", (on_one,)),
        Rule("published on all addresses", (outside, is_local(), on_all)),
        Rule("published on all addresses", (equal(keys[0], "127.0.0.1"), on_all)),
    )
    from_us, to_us = equal(meta("iifname"), site.bridge), equal(meta("oifname"), site.bridge)
    chains = {
        Place("bridge", "prerouting"): Chain(frames.let_in(), Hook("filter", "prerouting", -300)),
        Place("bridge", "input"): Chain((frames.no_control(),), Hook("filter", "input", -300)),
        Place("inet", "raw"): Chain(packets.no_loopback(from_us), Hook("filter", "prerouting", -300)),
        Place("inet", "prerouting"): Chain(arriving, Hook("nat", "prerouting", -100)),
        Place("inet", "output"): Chain(leaving, Hook("nat", "output", -100)),
        Place("inet", "from_guests"): Chain(packets.from_guests(site)),
        Place("inet", "to_guests"): Chain(packets.to_guests()),
        Place("inet", "to_host"): Chain(packets.to_host(site)),
        Place("inet", "forward"): Chain(
            (
                Rule("from guests", (from_us, goto("from_guests"))),
                Rule("to guests", (to_us, goto("to_guests"))),
            ),
            Hook("filter", "forward", 0),
        ),
        Place("inet", "input"): Chain((Rule("to the host", (from_us, goto("to_host"))),), Hook("filter", "input", 0)),
        Place("inet", "postrouting"): Chain(packets.masquerade(site), Hook("nat", "postrouting", 100)),
        Place("inet", "redirects"): Chain(packets.no_redirects(to_us), Hook("filter", "output", 0)),
    }
    maps = {
        TAPS: ("ifname",),
        EGRESS: ("ipv4_addr",),
        EGRESS6: ("ipv6_addr",),
        PUBLISHED: ("ipv4_addr", "inet_service"),
        PUBLISHED_ANYWHERE: ("inet_service",),
    }
    return Wanted(maps=maps, chains=chains)


def of_vm(site: Site, uid: Uid, attachment: Attachment) -> Wanted:
    """What is there for one VM."""
    tap, address = attachment.tap or "", attachment.address
    chains = {Place("bridge", tap): Chain(frames.frames_of(attachment))}
    elements: dict[Place, dict[Key, str]] = {TAPS: {(tap,): tap}}
    if address is not None:
        chains[Place("inet", tap)] = Chain(packets.egress_of(site, attachment))
        elements[EGRESS] = {(address,): tap}
        if attachment.guest_address6 is not None:
            elements[EGRESS6] = {(host_of(attachment.guest_address6),): tap}
    published = tuple(forward for forward in attachment.forwards if forward.host_address != address)
    if published and address is not None:
        name = published_chain(tap)
        chains[Place("inet", name)] = Chain(tuple(packets.publish(forward, address) for forward in published))
        for forward in published:
            map_, key = where(forward)
            elements.setdefault(map_, {})[key] = name
    return Wanted(uid=uid, chains=chains, elements=elements)


def where(forward: Forward) -> tuple[Place, Key]:
    """The element that a published port is."""
    if forward.host_address == ANY:
        return PUBLISHED_ANYWHERE, (forward.host_port,)
    return PUBLISHED, (forward.host_address, forward.host_port)


def published_chain(tap: str) -> str:
    """The chain with the published ports of the VM that has that tap."""
    return f"{tap}p"
