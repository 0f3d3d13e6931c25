"""The steps of a timeline and the lowest availability, read off the events as any client could.

    Committed, in order ──▶ 0, 1 or 2 steps of an object of the set, or of a replica of its deployments

What is told of is what was asked about: the objects of the set and the replicas of its deployments. Everything else is
there, takes addresses and runs, and is not told of.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final

import msgspec
from msgspec import UNSET, Struct

from volant.clock import Instant, Uid
from volant.model.event import Committed, EventData
from volant.model.meta import Key
from volant.model.timeline import Lowest, Step, What
from volant.model.timings import seconds
from volant.model.vm import VM, is_ready

_DATA: Final = msgspec.json.Decoder(EventData)

_WORDS: Final[Mapping[str, What]] = {
    "vm.created": "created",
    "vm.started": "started",
    "vm.stopped": "stopped",
    "vm.error": "failed",
    "vm.deleted": "removed",
    "deployment.created": "created",
    "deployment.scaled": "scaled",
    "deployment.available": "available",
    "deployment.unavailable": "unavailable",
    "deployment.deleting": "deleting",
    "deployment.deleted": "removed",
    "plugin.installed": "created",
    "plugin.ready": "ready",
    "plugin.error": "failed",
    "plugin.deleting": "deleting",
    "plugin.removed": "removed",
}
_REASONS: Final[Mapping[str, What]] = {
    "RolloutComplete": "complete",
    "ProgressDeadlineExceeded": "stalled",
    "RolledBack": "reverted",
}


class _Count(Struct):
    """The ready replicas of one deployment."""

    before: int
    lowest: int
    lowest_at: float
    ready: set[Uid]


class Record:
    """Steps and counts. `since` is the wall time of the apply."""

    def __init__(self, since: Instant, *, ready: Iterable[VM] = ()) -> None:
        """`ready` are the replicas that are ready before it."""
        self.steps: list[Step] = []
        self.last_s = 0.0
        """When the last step was."""
        self.keys: set[Key] = set()
        """What is told of, and with each deployment its replicas."""
        self.plugins: set[str] = set()
        """Whose guests were told of."""
        self._since = since
        self._ready_before: dict[str, set[Uid]] = {}
        for vm in ready:
            if vm.meta.owner is not None and is_ready(vm):
                self._ready_before.setdefault(vm.meta.owner.name, set()).add(vm.meta.uid)
        self._counts: dict[str, _Count] = {}

    def about(self, keys: Iterable[Key]) -> None:
        """Tell of these. Before any event is heard."""
        self.keys |= set(keys)
        for key in self.keys:
            if key.kind == "Deployment":
                ready = self._ready_before.get(key.name, set())
                self._counts[key.name] = _Count(len(ready), len(ready), 0.0, set(ready))

    def hear(self, batch: Sequence[Committed]) -> None:
        """Events that were committed."""
        for event in batch:
            owner = event.owner.name if event.owner is not None and event.owner.kind == "Deployment" else None
            if event.key not in self.keys and owner not in self._counts:
                continue
            data = _DATA.decode(event.data)
            at_s = seconds(event.at - self._since)
            for what in _whats(event, data):
                self.steps.append(Step(at_s=at_s, kind=event.key.kind, name=event.key.name, what=what, of=owner))
                self.last_s = at_s
            if event.plugin is not None:
                self.plugins.add(event.plugin)
            if owner in self._counts:
                _count(self._counts[owner], event, data, at_s)

    def lowest(self) -> tuple[Lowest, ...]:
        """Of each deployment, by name."""
        return tuple(
            Lowest(deployment=name, ready=one.lowest, at_s=one.lowest_at, before=one.before, after=len(one.ready))
            for name, one in sorted(self._counts.items())
        )


def _whats(event: Committed, data: EventData) -> Iterator[What]:
    new = data.new
    if event.key.kind != "VM":
        word = _REASONS.get(data.reason or "") or _WORDS.get(event.type)
        if word is not None:
            yield word
        elif event.type in ("deployment.updated", "plugin.updated") and event.actor == "api":
            yield "changed"
        return
    # A stop has two moments: the VM is deleted or asked to stop, from which on it does not count; its guest is gone.
    if event.type in _WORDS:
        yield _WORDS[event.type]
    elif event.type == "vm.deleting" or (new is not None and new.status in ("stopping", "restarting")):
        yield "stopping"
    elif event.type == "vm.updated" and event.actor == "api":
        yield "changed"
    if new is not None and new.ready is not UNSET and event.type != "vm.created":
        if new.ready:
            yield "ready"
        elif event.type == "vm.health_changed" or data.reason in ("Unhealthy", "NotAnswering"):
            yield "unready"


def _count(count: _Count, event: Committed, data: EventData, at_s: float) -> None:
    if event.type in ("vm.deleting", "vm.deleted"):
        count.ready.discard(event.uid)
    elif data.new is not None and data.new.ready is not UNSET:
        (count.ready.add if data.new.ready else count.ready.discard)(event.uid)
    if len(count.ready) < count.lowest:
        count.lowest, count.lowest_at = len(count.ready), at_s
