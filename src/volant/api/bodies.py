"""Encoded VMs, kept as long as they are true.

    GET ──version (uid, revision)──▶ the same as kept? ──yes──▶ the bytes
                                                  └──no──▶ read, encode, keep

Not a cache of objects: the row's uid and revision are read from the store for every request, and every write changes
the revision. What is kept can therefore be unused, but never stale. The time of the last probe is the one thing shown
that is not in the row, so it is compared as well.
"""

from __future__ import annotations

import msgspec

from volant.api.deps import Deps
from volant.clock import Instant, Uid
from volant.errors import NotFound
from volant.model.meta import Key
from volant.model.vm import VM
from volant.model.wire import vm_view
from volant.store import Store

KEPT = 16_384
"""VMs at most, of under a kilobyte each."""

_ENCODER = msgspec.json.Encoder()


class Bodies:
    """The last encoding of each VM that was asked for by name."""

    def __init__(self, deps: Deps, kept: int = KEPT) -> None:
        self._deps = deps
        self._kept = kept
        self._bodies: dict[Uid, tuple[int, Instant | None, VM, bytes]] = {}

    def of(self, name: str) -> tuple[VM, bytes]:
        """The VM of that name and its JSON. Raises NotFound."""
        store: Store = self._deps.store
        version = store.version(Key("VM", name))
        if version is None:
            raise NotFound("VM", name)
        uid, revision = version
        kept = self._bodies.get(uid)
        if kept is not None and kept[0] == revision and kept[1] == self._deps.last_check(kept[2]):
            return kept[2], kept[3]
        return self._keep(store.vm(name))

    def _keep(self, vm: VM) -> tuple[VM, bytes]:
        last_check = self._deps.last_check(vm)
        body = _ENCODER.encode(vm_view(vm, last_check))
        if len(self._bodies) >= self._kept:
            self._bodies.clear()  # because keeping count of who was asked for last would cost more than it saves
        self._bodies[vm.meta.uid] = (vm.meta.revision, last_check, vm, body)
        return vm, body
