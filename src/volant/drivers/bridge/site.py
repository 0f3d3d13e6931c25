"""What is the same for every guest of a bridge: pure."""

from __future__ import annotations

import ipaddress

from msgspec import Struct

from volant.drivers.bridge.table import Place

ANY = "0.0.0.0"  # noqa: S104 - the word for every address of the host, not a place to listen at
GATEWAY6 = "fe80::1"
"""The bridge's own address on every host: guests have one address each and no neighbours."""

TAPS = Place("bridge", "taps")
EGRESS = Place("inet", "egress")
EGRESS6 = Place("inet", "egress6")
PUBLISHED = Place("inet", "published")
PUBLISHED_ANYWHERE = Place("inet", "published_anywhere")


class Site(Struct, frozen=True, kw_only=True):
    """What is the same for every VM: the table, our bridge, the networks of its guests, the resolvers they may ask."""

    table: str
    bridge: str
    pool: str
    pool6: str | None = None
    dns: tuple[str, ...] = ()

    @property
    def gateway(self) -> str:
        """The bridge's address: the first of the pool."""
        return str(ipaddress.IPv4Network(self.pool)[1])
