"""What all guests of a host stand on: the bridge with its addresses, the switches of the kernel, the common rules.

A bridge of that name without our mark is somebody else's, and is left alone: it could be the host's way to the world.
One that was made and not yet marked, because the daemon died in between, is known by its MAC.
"""

from __future__ import annotations

import ipaddress

from volant.drivers.bridge import host, rules, table
from volant.drivers.bridge.links import Link, Links
from volant.drivers.bridge.names import Marks
from volant.drivers.bridge.nft import Rules
from volant.drivers.bridge.site import GATEWAY6, Site
from volant.errors import DriverRefused, DriverUnavailable


class Ground:
    """One bridge. Not for two callers at once."""

    def __init__(self, site: Site, marks: Marks, links: Links, rules_: Rules, *, mtu: int | None) -> None:
        self._site = site
        self._marks = marks
        self._links = links
        self._rules = rules_
        self._mtu = mtu
        self._switches = host.switches(site.bridge, has_v6=site.pool6 is not None)
        self._wanted = rules.ground(site)

    async def is_laid(self) -> bool:
        """Whether all of it is there."""
        bridge = await self._links.find(self._site.bridge)
        return (
            bridge is not None
            and self._is_ours(bridge)
            and self._marks.is_bridge(bridge.alias)
            and bridge.is_up
            and (self._mtu is None or bridge.mtu == self._mtu)
            and self.addresses() <= set(await self._links.addresses(bridge))
            and host.are_set(self._switches)
            and not table.repair(self._wanted, await self._rules.look(), self._site.table)
        )

    async def ensure(self) -> None:
        """Make what is missing. DriverRefused for a bridge of another, and for another subnet while VMs are on it."""
        if await self.is_laid():
            return
        # Rules first: guests that are still there are not to reach anything while the rest comes.
        await self._rules.commit(table.repair(self._wanted, await self._rules.look(), self._site.table))
        bridge = await self._bridge()
        for name, value in self._switches.items():
            host.turn(name, value)
        await self._give_addresses(bridge)
        if self._mtu is not None and bridge.mtu != self._mtu:
            await self._links.change(bridge, mtu=self._mtu)
        if not bridge.is_up:
            await self._links.change(bridge, state="up")

    def addresses(self) -> set[str]:
        """What the bridge has, with prefix lengths."""
        site = self._site
        wanted = {f"{site.gateway}/{ipaddress.IPv4Network(site.pool).prefixlen}"}
        if site.pool6 is not None:
            pool6 = ipaddress.IPv6Network(site.pool6)
            wanted |= {f"{pool6[1]}/{pool6.prefixlen}", f"{GATEWAY6}/64"}
        return wanted

    async def _bridge(self) -> Link:
        name = self._site.bridge
        found = await self._links.find(name)
        if found is None:
            await self._links.add_bridge(name, self._marks.bridge_mac(name))
            found = await self._links.find(name)
        if found is None:
            raise DriverUnavailable(f"cannot make the bridge {name}: somebody deletes it")
        if not self._is_ours(found):
            raise DriverRefused(
                f"cannot use {name}: there is an interface of that name that Volant has not made for this data "
                "directory. Give another --bridge-name"
            )
        if not self._marks.is_bridge(found.alias):
            # Before the switch is turned: a mark too many turns forwarding off later, one too few leaves it on.
            has_set = not host.is_set(host.FORWARD4, "1")
            await self._links.change(found, ifalias=self._marks.bridge(has_set_forwarding=has_set))
        return found

    def _is_ours(self, bridge: Link) -> bool:
        if bridge.kind != "bridge":
            return False
        is_newborn = bridge.alias is None and bridge.mac == self._marks.bridge_mac(self._site.bridge)
        return self._marks.is_bridge(bridge.alias) or is_newborn

    async def _give_addresses(self, bridge: Link) -> None:
        wanted, have = self.addresses(), set(await self._links.addresses(bridge))
        others = {address for address in have - wanted if ":" not in address}
        if others and not wanted <= have:
            await self._require_empty(bridge, others)
            for address in others:
                await self._links.remove_address(bridge, address)
        for address in sorted(wanted - have):
            await self._links.add_address(bridge, address)

    async def _require_empty(self, bridge: Link, others: set[str]) -> None:
        ports = [link.name for link in await self._links.all() if link.master == bridge.index]
        if ports:
            raise DriverRefused(
                f"cannot give {bridge.name} the pool {self._site.pool}: it has {', '.join(sorted(others))} and "
                f"{len(ports)} VMs on it. Delete them first, or go back to the pool that they were made with"
            )
