"""Encoded VMs, kept as long as they are true.

    GET /vms/{name} ──version──▶ (uid, revision) ──┐
    GET /vms ────────rows──────▶ revision, ... ────┴──▶ kept? ──yes──▶ the bytes
                                                          └──no──▶ read, encode, keep

Not a cache of objects: the row's revision is read from the store for every request, and every write of any object
takes a revision of its own. What is kept can therefore be unused, but never stale. The time of the last probe is the
one thing shown that is not in the row, so it is compared as well.
"""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from volant.api.deps import Deps
from volant.clock import Instant, Uid
from volant.errors import NotFound
from volant.model.meta import Key
from volant.model.vm import VM
from volant.model.wire import vm_view
from volant.store import Store

KEPT = 16_384
"""VMs at most, of a few kilobytes each."""

_ENCODER = msgspec.json.Encoder()


class Kept(NamedTuple):
    """A VM and its JSON. `last_check` is what the JSON says; only of a VM with health can it change by itself."""

    obj: VM
    body: bytes
    last_check: Instant | None
    has_health: bool


class Bodies:
    """The last encoding of each VM that was asked for, by name or in a list."""

    per_turn = 1024
    """How many bodies a list may take between two turns of the loop."""

    def __init__(self, deps: Deps, kept: int = KEPT) -> None:
        self._deps = deps
        self._most = kept
        self._bodies: dict[int, Kept] = {}
        self._last: dict[Uid, int] = {}

    def of(self, name: str) -> tuple[VM, bytes]:
        """The VM of that name and its JSON. Raises NotFound."""
        store: Store = self._deps.store
        version = store.version(Key("VM", name))
        if version is None:
            raise NotFound("VM", name)
        kept = self.at(version[1])
        if kept is None:
            kept = self.keep(store.vm(name))
        return kept.obj, kept.body

    def at(self, revision: int) -> Kept | None:
        """The VM that was written at that revision, if it is kept."""
        kept = self._bodies.get(revision)
        if kept is None or not kept.has_health:
            return kept
        return kept if kept.last_check == self._deps.last_check(kept.obj) else self.keep(kept.obj)

    def keep(self, vm: VM) -> Kept:
        """Encode a VM as it was read from the store, and keep it instead of what it was before."""
        last_check = self._deps.last_check(vm)
        kept = Kept(vm, _ENCODER.encode(vm_view(vm, last_check)), last_check, vm.status.health is not None)
        if len(self._bodies) >= self._most:
            # Because keeping count of who was asked for last would cost more than it saves.
            self._bodies.clear()
            self._last.clear()
        before = self._last.get(vm.meta.uid)
        if before is not None:
            self._bodies.pop(before, None)
        self._last[vm.meta.uid] = vm.meta.revision
        self._bodies[vm.meta.revision] = kept
        return kept
