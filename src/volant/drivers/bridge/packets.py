"""Where packets of guests may go, and whose may come to them. Pure.

Policies judge what begins a connection: replies always pass.
"""

from __future__ import annotations

from volant.drivers import Attachment, Forward
from volant.drivers.bridge.site import ANY, EGRESS, EGRESS6, Site
from volant.drivers.bridge.table import Expr, Rule
from volant.drivers.bridge.words import (
    ACCEPT,
    DROP,
    asks_resolver,
    equal,
    meta,
    payload,
    prefix,
    state,
    to_networks,
    unequal,
    vmap,
)

NOT_PUBLIC = (
    *("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24"),
    *("192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24"),
    "224.0.0.0/3",
)
"""IPv4 networks that are no part of the internet. Of IPv6, everything outside 2000::/3 is not, and these within."""
NOT_PUBLIC6 = ("2001:db8::/32", "2002::/16", "3fff::/20")

_LINK_LOCAL = "169.254.0.0/16"
_MASQUERADE: Expr = {"masquerade": None}


def no_loopback(from_us: Expr) -> tuple[Rule, ...]:
    """Loopback is the host's own."""
    # Loopback is routed on the bridge, for the ports that are published there: nobody may send to it from outside.
    loopback = prefix("127.0.0.0/8")
    return (
        Rule("to the host's loopback", (from_us, equal(payload("ip", "daddr"), loopback), *DROP)),
        Rule("from the host's loopback", (from_us, equal(payload("ip", "saddr"), loopback), *DROP)),
    )


def from_guests(site: Site) -> tuple[Rule, ...]:
    """What guests begin and answer."""
    return (
        *_known(),
        Rule("to the VM's policy", (vmap(payload("ip", "saddr"), EGRESS),)),
        *([Rule("to the VM's policy", (vmap(payload("ip6", "saddr"), EGRESS6),))] if site.pool6 is not None else []),
        Rule("nobody's address", DROP),
    )


def to_guests() -> tuple[Rule, ...]:
    """What others than the host begin with guests."""
    is_published = {"match": {"op": "in", "left": {"ct": {"key": "status"}}, "right": "dnat"}}
    return (*_known(), Rule("published", (is_published, ACCEPT)), Rule("not published", DROP))


def to_host(site: Site) -> tuple[Rule, ...]:
    """What guests may have of the host: an echo."""
    to_gateway = equal(payload("ip", "daddr"), site.gateway)
    asks6 = {"set": ["echo-request", "nd-neighbor-solicit", "nd-neighbor-advert", "nd-router-solicit"]}
    echo6 = Rule("echo, neighbours", (equal(payload("icmpv6", "type"), asks6), ACCEPT))
    return (
        *_known(),
        Rule("echo", (to_gateway, equal(payload("icmp", "type"), "echo-request"), ACCEPT)),
        *([echo6] if site.pool6 is not None else []),
        Rule("a service of the host", DROP),
    )


def no_redirects(to_us: Expr) -> tuple[Rule, ...]:
    """Guests are not told of each other."""
    # The host routes between guests, and would tell them that they are neighbours, which isolated ports are not.
    return (
        Rule("guests are no neighbours", (to_us, equal(payload("icmp", "type"), "redirect"), *DROP)),
        Rule("guests are no neighbours", (to_us, equal(payload("icmpv6", "type"), "nd-redirect"), *DROP)),
    )


def _known() -> tuple[Rule, ...]:
    return (
        Rule("a reply", (state("established", "related"), ACCEPT)),
        Rule("no connection", (state("invalid"), *DROP)),
    )


def masquerade(site: Site) -> tuple[Rule, ...]:
    """Whose address others see."""
    inside = equal(meta("oifname"), site.bridge)
    outside = unequal(meta("oifname"), {"set": [site.bridge, "lo"]})  # the host talks to its own gateway over lo
    is_published = {"match": {"op": "in", "left": {"ct": {"key": "status"}}, "right": "dnat"}}
    from_pool = equal(payload("ip", "saddr"), prefix(site.pool))
    rules = [
        Rule("out of the host", (from_pool, outside, _MASQUERADE)),
        Rule("from the host's loopback", (equal(payload("ip", "saddr"), prefix("127.0.0.0/8")), inside, _MASQUERADE)),
        # Or the guest would answer its neighbour past the host, which alone knows whom the answer is to come from.
        Rule("published, from a guest", (from_pool, inside, is_published, _MASQUERADE)),
    ]
    if site.pool6 is not None:
        from_pool6 = equal(payload("ip6", "saddr"), prefix(site.pool6))
        rules.append(Rule("out of the host", (from_pool6, outside, _MASQUERADE)))
    return tuple(rules)


def egress_of(site: Site, attachment: Attachment) -> tuple[Rule, ...]:
    """Where the VM may begin connections to."""
    egress = attachment.egress
    if egress == "deny":
        return (Rule("egress deny", DROP),)
    if egress == "all":
        return (Rule("egress all", (ACCEPT,)),)
    resolvers = tuple(Rule("resolver", (*to_networks(address), asks_resolver(), ACCEPT)) for address in site.dns)
    if egress == "public":
        not6 = unequal(payload("ip6", "daddr"), prefix("2000::/3"))
        return (
            *resolvers,
            Rule("not public", (*to_networks(*NOT_PUBLIC, site.pool), *DROP)),
            Rule("not public", (not6, *DROP)),
            Rule("not public", (*to_networks(*NOT_PUBLIC6, *([site.pool6] if site.pool6 else [])), *DROP)),
            Rule("egress public", (ACCEPT,)),
        )
    allowed = tuple(Rule(f"egress {cidr}", (*to_networks(cidr), ACCEPT)) for cidr in egress)
    return (*resolvers, Rule("link-local", (*to_networks(_LINK_LOCAL), *DROP)), *allowed, Rule("egress denied", DROP))


def publish(forward: Forward, address: str) -> Rule:
    """One published port."""
    at = () if forward.host_address == ANY else (equal(payload("ip", "daddr"), forward.host_address),)
    port = equal(payload("tcp", "dport"), forward.host_port)
    dnat = {"dnat": {"family": "ip", "addr": address, "port": forward.guest_port}}
    return Rule("published", (*at, port, dnat))
