"""The objects as the event log alone tells of them: what a client knows that has read every event.

    events, in order ──▶ Replay: who exists, who is on the way out, who holds which name and address
                            └──▶ complaints, when an event cannot follow those before it

It reads events only, so that comparing it with the tables proves that each committed write has exactly one event (E3).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import msgspec

from volant.clock import Uid
from volant.model.event import Committed, EventData
from volant.model.meta import Key, Owner
from volant.model.objects import Object
from volant.model.rollout import Bounds, Strategy, bounds_of
from volant.store import Store

CREATED = {"vm.created", "deployment.created", "plugin.installed"}
GONE = {"vm.deleted", "deployment.deleted", "plugin.removed"}
DELETING = {"vm.deleting", "deployment.deleting", "plugin.deleting"}

_DATA = msgspec.json.Decoder(EventData)


@dataclass(slots=True)
class Row:
    """One object, from its events."""

    key: Key
    uid: Uid
    owner: Owner | None
    address: str | None
    revision: int
    generation: int
    replicas: int | None
    is_deleting: bool = False
    is_ready: bool = False


class Replay:
    """Fed with every event once, in order."""

    def __init__(self) -> None:
        self.revision = 0
        self.rows: dict[Uid, Row] = {}
        self.names: dict[Uid, str] = {}
        self.events: list[Committed] = []
        self.strays: set[Uid] = set()
        """Owners that never were, of objects that a test has put there."""
        self.rolled: dict[str, set[Strategy]] = {}
        """The strategies by which somebody rolls a deployment: what any of them allows is allowed."""
        self._addresses: dict[str, Uid] = {}
        self._keys: dict[Key, Uid] = {}

    def feed(self, event: Committed) -> list[str]:
        """What is wrong with `event`, after all those before it."""
        wrong = [] if event.revision == self.revision + 1 else [f"revision {event.revision} follows {self.revision}"]
        self.revision = event.revision
        self.events.append(event)
        data = _DATA.decode(event.data)
        if event.type in CREATED:
            wrong += self._created(event, data)
        elif event.uid not in self.rows:
            wrong.append(f"{event.type} of {event.key}, which does not exist")
        elif event.type in GONE:
            wrong += self._gone(self.rows[event.uid])
        else:
            wrong += self._changed(self.rows[event.uid], event, data)
        return wrong

    def children(self, owner: Uid) -> list[Row]:
        """The VMs of an owner that are not on their way out."""
        return [r for r in self.rows.values() if r.owner is not None and r.owner.uid == owner and not r.is_deleting]

    def differences(self, store: Store) -> list[str]:
        """Where the tables say something else than the events."""
        objects: list[Object] = [*store.vms(), *store.deployments(), *store.plugins()]
        table = {obj.meta.uid: (obj.meta.revision, obj.meta.generation, obj.meta.is_deleting) for obj in objects}
        told = {uid: (row.revision, row.generation, row.is_deleting) for uid, row in self.rows.items()}
        wrong = [] if table == told else [f"the tables hold {table}, the events tell of {told}"]
        if store.revision != self.revision:
            wrong.append(f"the store is at revision {store.revision}, the events at {self.revision}")
        return wrong

    def _created(self, event: Committed, data: EventData) -> Iterable[str]:
        uid, key = event.uid, event.key
        if uid in self.names:
            yield f"{event.type} of {key}: uid {uid} was {self.names[uid]} before"
        if key in self._keys:
            yield f"{event.type} of {key}, which exists"
        if data.ip is not None and data.ip in self._addresses:
            yield f"{key} is given {data.ip}, which {self.names[self._addresses[data.ip]]} holds"
        self.names[uid], self._keys[key] = key.name, uid
        if data.ip is not None:
            self._addresses[data.ip] = uid
        row = self.rows[uid] = Row(key, uid, event.owner, data.ip, event.revision, data.generation or 0, data.replicas)
        if event.owner is not None and event.owner.uid not in self.strays:
            yield from self._born(row, event.owner)

    def _born(self, child: Row, owner: Owner) -> Iterable[str]:
        """R1, U1, D5, D10: an owner that is there and stays, and room for one more."""
        parent = self.rows.get(owner.uid)
        if parent is None or parent.is_deleting:
            yield f"{child.key} is created for {owner.name}, which is {'gone' if parent is None else 'deleting'}"
        elif len(self.children(owner.uid)) > self._bounds(parent).most:
            names = sorted(row.key.name for row in self.children(owner.uid))
            yield f"{child.key} is created though {owner.name} wants {parent.replicas}: {names}"

    def _replaced(self, child: Row) -> Iterable[str]:
        """U1: a rollout takes nobody who is ready while too few others are."""
        parent = self.rows.get(child.owner.uid) if child.owner is not None else None
        if parent is None:
            return
        ready = [r.key.name for r in self.children(parent.uid) if r.is_ready and r is not child]
        if len(ready) < self._bounds(parent).least:
            yield f"U1: {child.key} is replaced though of {parent.replicas} replicas only {sorted(ready)} are ready"

    def _bounds(self, parent: Row) -> Bounds:
        replicas = parent.replicas or 0
        allowed = [bounds_of(strategy, replicas) for strategy in self.rolled.get(parent.key.name, ())]
        return Bounds(
            max([replicas, *(bounds.most for bounds in allowed)]),
            min([replicas, *(bounds.least for bounds in allowed)]),
        )

    def _gone(self, row: Row) -> Iterable[str]:
        if not row.is_deleting:
            yield f"{row.key} is gone though nobody asked for it"
        if row.key.kind == "Deployment" and any(r.owner and r.owner.uid == row.uid for r in self.rows.values()):
            yield f"{row.key} is gone before its children"
        del self.rows[row.uid]
        del self._keys[row.key]
        if row.address is not None:
            del self._addresses[row.address]

    def _changed(self, row: Row, event: Committed, data: EventData) -> Iterable[str]:
        if (data.generation or 0) < row.generation:
            yield f"{row.key} goes back from generation {row.generation} to {data.generation}"
        row.revision, row.generation, row.replicas = event.revision, data.generation or 0, data.replicas
        if event.type == "vm.deleting" and data.reason == "Replaced" and row.is_ready:
            yield from self._replaced(row)
        if data.new is not None and data.new.ready is not msgspec.UNSET:
            row.is_ready = data.new.ready
        row.is_deleting = row.is_deleting or event.type in DELETING
