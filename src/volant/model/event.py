"""Events: one for every committed write, in commit order, past tense.

An event is written in the transaction of the row that it describes, so there is exactly one for each committed change
and none for a rolled-back one (E3). `revision` orders them over the whole store and is the SSE id.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import msgspec
from msgspec import Struct

from volant.clock import Instant, Uid, rfc3339
from volant.model.deployment import Deployment
from volant.model.meta import Key, Kind, Owner, Time
from volant.model.objects import Object
from volant.model.plugin import Plugin
from volant.model.summary import Summary, changes
from volant.model.sync import COMMIT, Sync
from volant.model.vm import running_address

EventType = Literal[
    "vm.created",
    "vm.started",
    "vm.stopped",
    "vm.deleted",
    "vm.health_changed",
    "vm.error",
    "vm.updated",
    "vm.deleting",
    "deployment.created",
    "deployment.scaled",
    "deployment.available",
    "deployment.unavailable",
    "deployment.updated",
    "deployment.deleting",
    "deployment.deleted",
    "plugin.installed",
    "plugin.ready",
    "plugin.error",
    "plugin.enabled",
    "plugin.disabled",
    "plugin.updated",
    "plugin.deleting",
    "plugin.removed",
    "sync.created",
    "sync.applied",
    "sync.drift",
    "sync.synced",
    "sync.out_of_sync",
    "sync.failed",
    "sync.updated",
    "sync.deleting",
    "sync.deleted",
]

UPDATED: Mapping[Kind, EventType] = {
    "VM": "vm.updated",
    "Deployment": "deployment.updated",
    "Plugin": "plugin.updated",
    "Sync": "sync.updated",
}
"""A write that is told as no more than a change."""

GONE: Mapping[Kind, EventType] = {
    "VM": "vm.deleted",
    "Deployment": "deployment.deleted",
    "Plugin": "plugin.removed",
    "Sync": "sync.deleted",
}
"""The end of a row."""

REFERENCE_VM_EVENTS: frozenset[str] = frozenset(
    {"vm.created", "vm.started", "vm.stopped", "vm.deleted", "vm.health_changed", "vm.error"}
)
"""What `/events/vms` shows."""


class Happening(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a writer says of its write; the store adds revision, time and identity.

    `actor` is who asked: `api`, or the name of a controller. `reason` is a CamelCase word from a closed list, `message`
    a sentence for people. `commit` is what an apply says that its objects come from.
    """

    type: EventType
    actor: str = "api"
    reason: str | None = None
    message: str | None = None
    request_id: str | None = None
    commit: str | None = None


class EventData(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What an event says: the `data` of a stream.

    `previous` and `new` hold what the write changed; `new` is absent when the object is gone, `previous` when it was
    not there before. `commit` is that of the apply which made the write; of what a controller writes it
    is the one that the object is of.
    """

    name: str
    timestamp: Time
    plugin: str | None = None
    ip: str | None = None
    kind: Kind | None = None
    uid: str | None = None
    revision: int | None = None
    generation: int | None = None
    replicas: int | None = None
    ready_replicas: int | None = None
    owner: str | None = None
    labels: dict[str, str] = {}
    previous: Summary | None = None
    new: Summary | None = None
    actor: str | None = None
    reason: str | None = None
    message: str | None = None
    request_id: str | None = None
    commit: str | None = None


class PastEvent(EventData, frozen=True, kw_only=True, omit_defaults=True):
    """An event of the past, as lists show it: what a stream says in its frame stands beside the data."""

    id: int
    type: EventType


class Committed(Struct, frozen=True, kw_only=True, gc=False):
    """One event as the bus carries it. `data` is the encoded `EventData`, made once for every reader (W7).

    `actor` is who wrote: `api` or the name of a controller. `labels` are the object's; what the write changed of them
    is in `previous`, so that whoever follows some labels hears of an object that loses them. `preceding` is the
    revision of the object's event before this one; None for its first.
    """

    revision: int
    type: EventType
    key: Key
    uid: Uid
    owner: Owner | None
    plugin: str | None
    at: Instant
    data: bytes
    actor: str
    labels: Mapping[str, str] = {}
    previous: Summary | None = None
    preceding: int | None = None


_ENCODER = msgspec.json.Encoder()


def committed(
    obj: Object, happening: Happening, revision: int, at: Instant, *, old: Object | None = None, is_gone: bool = False
) -> Committed:
    """The event of one write. Pure; called by the writer inside the transaction.

    `old` is what stood there before (None: nothing); with `is_gone` nothing stands there any more, and `obj` is what
    did.
    """
    meta = obj.meta
    plugin, address, replicas, ready = None, None, None, None
    if isinstance(obj, Plugin | Sync):
        plugin = None
    elif isinstance(obj, Deployment):
        plugin, replicas, ready = obj.spec.plugin, obj.spec.replicas, obj.status.ready_replicas
    else:
        plugin, address = obj.spec.plugin, running_address(obj)
    previous, new = changes(obj, None) if is_gone else changes(old, obj)
    data = EventData(
        name=meta.name,
        timestamp=rfc3339(at),
        plugin=plugin,
        ip=address,
        kind=meta.kind,
        uid=meta.uid,
        revision=revision,
        generation=meta.generation,
        replicas=replicas,
        ready_replicas=ready,
        owner=meta.owner.name if meta.owner else None,
        labels=meta.labels,
        previous=previous,
        new=new,
        actor=happening.actor,
        reason=happening.reason,
        message=happening.message,
        request_id=happening.request_id,
        commit=happening.commit or (None if happening.actor == "api" else meta.annotations.get(COMMIT)),
    )
    return Committed(
        revision=revision,
        type=happening.type,
        key=meta.key,
        uid=meta.uid,
        owner=meta.owner,
        plugin=plugin,
        at=at,
        data=_ENCODER.encode(data),
        actor=happening.actor,
        labels=meta.labels,
        previous=previous,
        preceding=None if old is None else old.meta.revision,
    )


_PAST = msgspec.json.Decoder(PastEvent)


def past(event: Committed) -> PastEvent:
    """A committed event as lists show it. Data of any earlier version can be read."""
    return _PAST.decode(b'{"id":%d,"type":"%s",%b' % (event.revision, event.type.encode(), event.data[1:]))


class Said(Struct, frozen=True):
    """What a row of the log keeps in its data only."""

    actor: str = ""
    labels: dict[str, str] = {}
    previous: Summary | None = None


_SAID = msgspec.json.Decoder(Said)


def said(data: bytes) -> Said:
    """What an encoded `EventData` says of who wrote and of labels. Data of any earlier version can be read."""
    return _SAID.decode(data)
