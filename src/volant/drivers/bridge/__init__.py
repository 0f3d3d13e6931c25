"""The bridge network: guests with addresses of their own on a bridge of this host, routed, filtered, masqueraded.

    guest ── tap ──▶ volbr0 ──▶ who is it? ──▶ where may it go? ──▶ masqueraded ──▶ the world
                        ▲
    host, published ports

    driver      the port `Network`                       choice   what a VM may ask for, and gets (pure)
    ground      bridge, addresses, switches, rules       rules    which packets go where (pure), in words
    taps        one a VM                                 table    from what is there to what is wanted (pure)
    links       rtnetlink                                nft      transactions, and whether anything has changed
    bell        hears of changes                         ports, conntrack, host, names
    teardown    what `volant network` shows and removes

What is not marked as ours is never changed: a bridge, tap or table of another that has one of our names is refused.
Deliberately absent: a DHCP or DNS server. Guests are told their address; names they ask resolvers for that
their egress policy lets them reach.
"""

from __future__ import annotations

from pathlib import Path

from volant.clock import Clock
from volant.drivers.bridge.choice import Offer
from volant.drivers.bridge.driver import BridgeNetwork
from volant.drivers.bridge.host import require_host
from volant.drivers.bridge.names import owner_of, table_of
from volant.drivers.bridge.site import Site
from volant.drivers.user import first_unprivileged_port

__all__ = ["BridgeNetwork", "bridge_network", "owner_of", "require_host"]


def bridge_network(  # noqa: PLR0913 - the settings of a network
    *,
    bridge: str,
    pool: str,
    data_dir: Path,
    clock: Clock,
    pool6: str = "",
    allow: tuple[str, ...] = (),
    reserved: tuple[int, ...] = (),
    dns: tuple[str, ...] = (),
    mtu: int | None = None,
) -> BridgeNetwork:
    """The network of a daemon with that data directory. Raises StartupError where the host cannot have one.

    `pool` and `pool6` are CIDRs, `allow` bridges of others for the mode dhcp, `reserved` ports of the host that are
    never published (the API's), `dns` resolvers that guests are told of and may ask unless their egress is `deny`.
    """
    require_host()
    site = Site(table=table_of(bridge), bridge=bridge, pool=pool, pool6=pool6 or None, dns=dns)
    first = first_unprivileged_port()
    offer = Offer(site=site, foreign=allow, reserved=frozenset(reserved), first_port=first, mtu=mtu)
    return BridgeNetwork(offer, owner=owner_of(data_dir), clock=clock)
