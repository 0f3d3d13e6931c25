"""What there is of a bridge network, and how all of it goes: for `volant network`, when no daemon runs.

    taps ▸ rules ▸ bridge ▸ IP forwarding, if it was us who turned it on

In that order: a guest that still runs loses its way out before it loses the rules that kept it in. Only what carries
the owner's mark is touched; where the bridge is somebody else's, so are the rules.
"""

from __future__ import annotations

from msgspec import Struct

from volant.clock import Uid
from volant.drivers.bridge import host, table
from volant.drivers.bridge.links import Link, Links
from volant.drivers.bridge.names import Marks, table_of
from volant.drivers.bridge.nft import Rules


class FoundTap(Struct, frozen=True):
    """A tap of ours. `is_used`: a VMM holds it."""

    name: str
    uid: Uid
    is_used: bool


class Found(Struct, frozen=True, kw_only=True):
    """What there is of one owner. `bridge` None: none of ours. `families`: of our tables."""

    bridge: str | None
    addresses: tuple[str, ...]
    has_set_forwarding: bool
    taps: tuple[FoundTap, ...]
    families: tuple[str, ...]

    @property
    def is_nothing(self) -> bool:
        """Whether nothing is left."""
        return self.bridge is None and not self.taps and not self.families


async def look(bridge: str, owner: str) -> Found:
    """What there is. Changes nothing. DriverUnavailable without the right to ask."""
    links = Links()
    try:
        return await _look(links, Rules(table_of(bridge)), bridge, Marks(owner))
    finally:
        await links.close()


async def take_down(bridge: str, owner: str) -> Found:
    """Remove all of it; what there was."""
    links, rules, marks = Links(), Rules(table_of(bridge)), Marks(owner)
    try:
        found = await _look(links, rules, bridge, marks)
        for tap in found.taps:
            await _remove(links, tap.name)
        if found.families:
            await rules.commit(table.destruction(await rules.look(), rules.name))
        if found.bridge is not None:
            await _remove(links, found.bridge)
        if found.has_set_forwarding:
            host.turn(host.FORWARD4, "0")
        return found
    finally:
        await links.close()


async def _look(links: Links, rules: Rules, name: str, marks: Marks) -> Found:
    every = await links.all()
    named = next((link for link in every if link.name == name), None)
    bridge = named if named is not None and marks.is_bridge(named.alias) else None
    is_anothers = named is not None and bridge is None
    families = set() if is_anothers else (await rules.look()).families
    return Found(
        bridge=bridge.name if bridge is not None else None,
        addresses=tuple(await links.addresses(bridge)) if bridge is not None else (),
        has_set_forwarding=bridge is not None and marks.has_set_forwarding(bridge.alias),
        taps=tuple(tap for link in every if (tap := _tap(link, marks)) is not None),
        families=tuple(sorted(families)),
    )


def _tap(link: Link, marks: Marks) -> FoundTap | None:
    uid = marks.uid(link.alias)
    return FoundTap(link.name, uid, link.has_carrier) if uid is not None and link.kind == "tun" else None


async def _remove(links: Links, name: str) -> None:
    found = await links.find(name)
    if found is not None:
        await links.remove(found)
