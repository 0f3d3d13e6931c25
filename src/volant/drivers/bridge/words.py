"""Words of nft, in its JSON: each function is one expression. Pure.

What they mean is said in libnftables-json(5). Only those that our rules need are here.
"""

from __future__ import annotations

import ipaddress
from typing import Any

from volant.drivers.bridge.table import Expr, Place

ACCEPT: Expr = {"accept": None}
DROP: tuple[Expr, ...] = ({"counter": None}, {"drop": None})
"""Counted, so that `nft list ruleset` tells who tries what."""


def to_networks(*networks: str) -> tuple[Expr, ...]:
    """Whether the destination is in one of the networks, all of one family."""
    parsed = ipaddress.collapse_addresses([ipaddress.ip_network(network) for network in networks])  # type: ignore[type-var]
    prefixes = [prefix(str(network)) for network in parsed]
    protocol = "ip6" if ":" in networks[0] else "ip"
    return (equal(payload(protocol, "daddr"), prefixes[0] if len(prefixes) == 1 else {"set": prefixes}),)


def asks_resolver() -> Expr:
    """Whether it is for port 53, by UDP or TCP."""
    return equal({"payload": {"protocol": "th", "field": "dport"}}, 53)


def host_of(cidr: str) -> str:
    """The address in `address/length`."""
    return str(ipaddress.ip_interface(cidr).ip)


def prefix(network: str) -> Any:
    """A network as nft writes it."""
    parsed = ipaddress.ip_network(network)
    if parsed.prefixlen == parsed.max_prefixlen:
        return str(parsed.network_address)
    return {"prefix": {"addr": str(parsed.network_address), "len": parsed.prefixlen}}


def ether_type() -> Expr:
    """What a frame carries."""
    return payload("ether", "type")


def payload(protocol: str, name: str) -> Expr:
    """A field of a header."""
    return {"payload": {"protocol": protocol, "field": name}}


def meta(key: str) -> Expr:
    """What the kernel knows of a packet."""
    return {"meta": {"key": key}}


def equal(left: Expr, right: Any) -> Expr:
    """Whether it is so."""
    return {"match": {"op": "==", "left": left, "right": right}}


def unequal(left: Expr, right: Any) -> Expr:
    """Whether it is not."""
    return {"match": {"op": "!=", "left": left, "right": right}}


def negated(match: Expr) -> Expr:
    """The contrary of `equal`."""
    return {"match": match["match"] | {"op": "!="}}


def is_local() -> Expr:
    """Whether the destination is an address of the host."""
    return equal({"fib": {"result": "type", "flags": ["daddr"]}}, "local")


def state(*states: str) -> Expr:
    """Whether the connection is in one of the states."""
    return {
        "match": {"op": "in", "left": {"ct": {"key": "state"}}, "right": list(states) if len(states) > 1 else states[0]}
    }


def vmap(key: Expr, place: Place) -> Expr:
    """Go where the map says."""
    return {"vmap": {"key": key, "data": f"@{place.name}"}}


def goto(chain: str) -> Expr:
    """Go on in another chain and do not come back."""
    return {"goto": {"target": chain}}
