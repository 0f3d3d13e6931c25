"""What all guests of a host stand on: the bridge with its addresses, the switches of the kernel, the common rules.

A bridge of that name without our mark is somebody else's, and is left alone: it could be the host's way to the world.
One that was made and not yet marked, because the daemon died in between, is known by its MAC.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable

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
        """Make what is missing; nothing, and DriverRefused, where others are in the way.

        They are: a bridge of another with our name, one of ours with another name, an interface whose network overlaps
        the pool; and VMs on the bridge, where its subnet would change.
        """
        if await self.is_laid():
            return
        await self._require_room()
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
        self._require_ours(found)
        if not self._marks.is_bridge(found.alias):
            # Before the switch is turned: a mark too many turns forwarding off later, one too few leaves it on.
            has_set = not host.is_set(host.FORWARD4, "1")
            await self._links.change(found, ifalias=self._marks.bridge(has_set_forwarding=has_set))
        return found

    async def _require_room(self) -> None:
        """Before anything is made: what would be refused later has changed nothing by then."""
        bridge = await self._links.find(self._site.bridge)
        wanted = _ipv4(self.addresses())  # because a bridge that is put down loses its others
        if bridge is not None:
            self._require_ours(bridge)
            have = _ipv4(await self._links.addresses(bridge))
            if wanted <= have:
                return  # because guests may run on it: whoever came later has to move
            if have:
                await self._require_empty(bridge, have)
        await self._require_alone()

    async def _require_alone(self) -> None:
        links = {link.index: link for link in await self._links.all() if link.name != self._site.bridge}
        for link in links.values():
            if link.kind == "bridge" and self._marks.is_bridge(link.alias):
                raise DriverRefused(
                    f"cannot make {self._site.bridge}: this data directory has the bridge {link.name}. Go back to "
                    f"--bridge-name {link.name}, or remove it with volant network down --bridge-name {link.name}"
                )
        for index, address in await self._links.every_address():
            if index in links and self._overlaps(address):
                raise DriverRefused(
                    f"cannot give {self._site.bridge} the pool {self._site.pool}: {links[index].name} has {address}, "
                    "which overlaps. Give another --bridge-pool (or --bridge-pool6)"
                )

    def _overlaps(self, address: str) -> bool:
        other = ipaddress.ip_interface(address).network
        pools = [ipaddress.ip_network(pool) for pool in (self._site.pool, self._site.pool6) if pool is not None]
        return any(pool.version == other.version and pool.overlaps(other) for pool in pools)

    def _require_ours(self, bridge: Link) -> None:
        if not self._is_ours(bridge):
            raise DriverRefused(
                f"cannot use {bridge.name}: there is an interface of that name that Volant has not made for this data "
                "directory. Give another --bridge-name"
            )

    def _is_ours(self, bridge: Link) -> bool:
        if bridge.kind != "bridge":
            return False
        is_newborn = bridge.alias is None and bridge.mac == self._marks.bridge_mac(self._site.bridge)
        return self._marks.is_bridge(bridge.alias) or is_newborn

    async def _give_addresses(self, bridge: Link) -> None:
        wanted, have = self.addresses(), set(await self._links.addresses(bridge))
        others = _ipv4(have - wanted)
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


def _ipv4(addresses: Iterable[str]) -> set[str]:
    return {address for address in addresses if ":" not in address}
