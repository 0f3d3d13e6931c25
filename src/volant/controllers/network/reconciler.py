"""Looks at one VM's attachment, and repairs it.

    find ──▶ a running guest? ──▶ is_attached ──yes──▶ DONE
                                      │ no
                                      ▼
                                   inspect ──▶ does it still run? ──no──▶ DONE
                                                  │ yes
                                                  ▼
                                               ensure ──▶ reattach ──▶ DONE

The store says late that a guest has ended, and its tap goes before its row does: nothing is made again for a VM whose
guest the host does not show. What `ensure` could make before it failed (a port is taken) the guest is put on as well.

A guest is reattached once also when all seems right, the first time it is seen: a daemon that died between the two
left a new tap without its guest. Drivers make that a look and nothing more where it is not so.
"""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable, Iterable

from msgspec.structs import replace

from volant.clock import Clock
from volant.controllers.network import plan
from volant.controllers.network.plan import Guest
from volant.drivers import Attachment, Hypervisor, Network
from volant.errors import DriverError, DriverRefused, DriverUnavailable
from volant.model.event import Committed
from volant.model.meta import Key
from volant.model.plugin import Plugin
from volant.model.vm import VM
from volant.reconcile import DONE, Outcome
from volant.reconcile.effects import Effects
from volant.store import Store
from volant.telemetry import logger

log = logger("volant.controllers.network")


class NetworkReconciler:
    """One turn of one VM at a time. Between turns it keeps which guests were seen attached, and nothing else."""

    gap_s = 0.0
    """There is no news of other kinds to wait for."""

    def __init__(
        self,
        *,
        store: Store,
        network: Network,
        hypervisor: Hypervisor,
        clock: Clock,
        effects: Effects | None = None,
    ) -> None:
        self._store = store
        self._network = network
        self._hypervisor = hypervisor
        self._clock = clock
        self._effects = effects or Effects()
        self._seen: dict[Key, Guest] = {}

    def concerns(self, event: Committed) -> Iterable[Key]:
        """The VM, after a change to it, where attachments can be taken away at all."""
        return (event.key,) if event.key.kind == "VM" and self._network.is_watched else ()

    def resync_keys(self) -> Iterable[Key]:
        """Every VM there is, where attachments can be taken away. What is kept of others is forgotten."""
        keys = self._store.keys("VM") if self._network.is_watched else []
        known = set(keys)
        self._seen = {key: guest for key, guest in self._seen.items() if key in known}
        return keys

    async def reconcile(self, key: Key) -> Outcome:
        """One turn. Raises DriverError when the host says no."""
        vm = self._store.find(key)
        guest = plan.guest(vm) if isinstance(vm, VM) else None
        attachment = self._attachment(vm) if isinstance(vm, VM) and guest is not None else None
        if not isinstance(vm, VM) or guest is None or attachment is None:
            self._seen.pop(key, None)
            return DONE
        uid, network = vm.meta.uid, self._network
        stands = await network.is_attached(uid, attachment)
        if not stands and not await self._runs(guest):
            return DONE
        try:
            if not stands:
                log.warning("network.repair", vm=key.name, uid=uid)
                await self._touch(vm, "network.ensure", lambda: network.ensure(uid, attachment))
        except DriverUnavailable:
            with contextlib.suppress(DriverError):
                await self._reattach(vm, guest, attachment)
            raise
        if not stands or self._seen.get(key) != guest:
            await self._reattach(vm, guest, attachment)
        return DONE

    async def _runs(self, guest: Guest) -> bool:
        """Whether the host shows that guest, now. It costs a question to its VMM."""
        found = await self._hypervisor.inspect(guest.uid)
        return found is not None and found.state != "exited" and found.pid in (None, guest.pid)

    async def _reattach(self, vm: VM, guest: Guest, attachment: Attachment) -> None:
        hypervisor = self._hypervisor
        await self._touch(vm, "hypervisor.reattach", lambda: hypervisor.reattach(guest.uid, attachment))
        self._seen[vm.meta.key] = guest

    async def _touch(self, vm: VM, op: str, fn: Callable[[], Awaitable[None]]) -> None:
        """An effect on the host, if the store still says what it was decided on and is ours (V12, S3)."""
        self._store.confirm(vm)
        await self._effects.act(op, vm.meta.uid, fn)

    def _attachment(self, vm: VM) -> Attachment | None:
        """What the guest was attached by; None for one that is on no network, or on one that this daemon has not."""
        wish = plan.wish(vm)
        mode = wish.asked.mode or self._network.mode
        plugin = self._store.find(Key("Plugin", vm.spec.plugin))
        if mode not in self._network.pools or not isinstance(plugin, Plugin):
            return None
        try:
            ports = plugin.spec.manifest.ports()
            return self._network.attachment(vm.meta.uid, wish.address, ports, replace(wish.asked, mode=mode))
        except DriverRefused:
            return None  # because a guest from the days of another pool runs on, and nobody can say how
