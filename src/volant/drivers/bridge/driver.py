"""The port `Network`, by a bridge of ours: modes bridge and dhcp.

    ensure ──▶ ground: bridge, address, switches, rules ──▶ the VM's rules ──▶ its tap, which then is let in
    watch  ◀── Bell ◀── netlink: links, addresses, rules of anybody

Nothing is remembered that could be wrong. What is compared with what is wanted is what the kernel says; the wanted of
the VMs that somebody asked for is kept, only to say whose attachment to look at when something has changed.

Rules come before the tap and go after it: a tap that has none lets nothing pass.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping

from msgspec.structs import replace

from volant.clock import Clock, Uid
from volant.drivers import AS_IT_IS, BEAT_S, Attachment
from volant.drivers.bridge import rules, table
from volant.drivers.bridge.bell import EVERYTHING, RULES, Bell
from volant.drivers.bridge.choice import Offer
from volant.drivers.bridge.conntrack import forget_connections
from volant.drivers.bridge.ground import Ground
from volant.drivers.bridge.links import Links
from volant.drivers.bridge.names import Marks, tap_name
from volant.drivers.bridge.nft import Rules
from volant.drivers.bridge.ports import taken
from volant.drivers.bridge.site import EGRESS
from volant.drivers.bridge.table import Seen
from volant.drivers.bridge.taps import Taps
from volant.model.vm import NetworkConfig, NetworkMode

SETTLE_S = 0.02
"""How long changes are gathered before they are looked at: one by hand is often several."""


class BridgeNetwork:
    """Guests on the bridge of `offer.site`, and on bridges of others.

    `owner` (`owner_of`) is in the mark of all that is made. Call `require_host` first, once.
    """

    def __init__(self, offer: Offer, *, owner: str, clock: Clock) -> None:
        self._offer = offer
        self._clock = clock
        self._site = offer.site
        self._marks = Marks(owner)
        self._links = Links()
        self._rules = Rules(offer.site.table)
        self._ground = Ground(self._site, self._marks, self._links, self._rules, mtu=offer.mtu)
        self._taps = Taps(self._marks, self._links)
        self._lock = asyncio.Lock()
        self._wanted: dict[Uid, Attachment] = {}

    @property
    def mode(self) -> NetworkMode:
        """`bridge`."""
        return "bridge"

    @property
    def pools(self) -> Mapping[NetworkMode, str]:
        """The pool of our bridge; nothing of ours where a LAN gives addresses out."""
        return {"bridge": self._site.pool, **({"dhcp": ""} if self._offer.foreign else {})}

    @property
    def is_watched(self) -> bool:
        """Yes."""
        return True

    def check(self, asked: NetworkConfig) -> None:
        """Raise Misfit for what no VM can be given here."""
        self._offer.check(asked)

    def attachment(
        self, uid: Uid, address: str | None, ports: tuple[int, ...], asked: NetworkConfig = AS_IT_IS
    ) -> Attachment:
        """How that VM is attached. Pure."""
        return self._offer.attachment(uid, address, ports, asked)

    async def ensure(self, uid: Uid, attachment: Attachment) -> None:
        """Make what is missing. DriverRefused where something of another is in the way, or the subnet would change.

        DriverUnavailable names a published port that is taken. A VM that has something here already gets all the rest
        first: its guest may run, and one port is no reason to leave it without a network.
        """
        async with self._lock:
            await self._ground.ensure()
            seen = await self._rules.look()
            troubles = await taken(uid, attachment, seen)
            if troubles and not await self._has_something(uid, seen):
                raise next(iter(troubles.values()))
            self._wanted[uid] = attachment
            free = tuple(forward for forward in attachment.forwards if forward not in troubles)
            wanted = rules.of_vm(self._site, uid, replace(attachment, forwards=free))
            await self._rules.commit(table.repair(wanted, seen, self._site.table))
            await self._taps.ensure(uid, attachment)
            for trouble in troubles.values():
                raise trouble

    async def is_attached(self, uid: Uid, attachment: Attachment) -> bool:
        """One look: two links, the switches, and the rules if they were changed since the last look."""
        async with self._lock:
            stands = await self._is_attached(uid, attachment)
            if stands:  # who asks late, of one that is gone by now, is no reason to look at it for ever
                self._wanted[uid] = attachment
            return stands

    async def ensure_absent(self, uid: Uid) -> None:
        """Remove tap, rules and connections of `uid`."""
        async with self._lock:
            self._wanted.pop(uid, None)
            await self._taps.ensure_absent(uid)
            seen = await self._rules.look()
            addresses = [str(key[0]) for key, to in seen.maps.get(EGRESS, {}).items() if to == tap_name(uid)]
            names = (tap_name(uid), rules.published_chain(tap_name(uid)))
            await self._rules.commit(table.removal(uid, names, seen, self._site.table))
            for address in addresses:
                await asyncio.to_thread(forget_connections, address)

    async def observe(self) -> list[Uid]:
        """Whoever has a tap or rules of ours."""
        async with self._lock:
            seen = (await self._rules.look()).uids()
            links = await self._links.all()
            return sorted(seen | {uid for link in links if (uid := self._marks.uid(link.alias)) is not None})

    async def watch(self) -> AsyncGenerator[Uid | None, None]:
        """VMs whose attachment is not as it was asked for, some milliseconds after it was changed."""
        rang: dict[str, None] = {}
        ringing = asyncio.Event()

        def note(where: str) -> None:
            rang[where] = None
            ringing.set()

        bell = Bell(note)
        try:
            while True:
                try:
                    async with asyncio.timeout(BEAT_S):
                        await ringing.wait()
                except TimeoutError:
                    yield None
                    continue
                await self._clock.sleep(SETTLE_S)
                where = set(rang)
                rang.clear()
                ringing.clear()
                for uid in await self._changed(where):
                    yield uid
        finally:
            bell.close()

    async def close(self) -> None:
        """Close the sockets."""
        await self._links.close()

    async def _changed(self, where: set[str]) -> list[Uid]:
        """Those of the VMs that somebody asked for whose attachment may be meant and does not stand."""
        async with self._lock:
            is_all = bool(where & {EVERYTHING, self._site.bridge, *self._offer.foreign})
            is_all = (RULES in where and await self._rules.news()) or is_all
            suspects = [(uid, a) for uid, a in self._wanted.items() if is_all or a.tap in where]
            if not suspects:
                return []
            if not await self._ground.is_laid():
                return [uid for uid, _ in suspects]
            return [uid for uid, attachment in suspects if not await self._stands(uid, attachment)]

    async def _has_something(self, uid: Uid, seen: Seen) -> bool:
        """Whether the VM was attached before: what is left of it says so, or it was seen to be."""
        tap = await self._links.find(tap_name(uid))
        is_ours = tap is not None and self._marks.uid(tap.alias) == uid
        return is_ours or uid in self._wanted or uid in seen.uids()

    async def _is_attached(self, uid: Uid, attachment: Attachment) -> bool:
        return await self._ground.is_laid() and await self._stands(uid, attachment)

    async def _stands(self, uid: Uid, attachment: Attachment) -> bool:
        """Whether what is the VM's own is there."""
        wanted = rules.of_vm(self._site, uid, attachment)
        if table.repair(wanted, await self._rules.look(), self._site.table):
            return False
        return await self._taps.is_there(uid, attachment)
