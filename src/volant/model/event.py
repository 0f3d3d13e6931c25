"""Events: one for every committed write, in commit order, past tense.

An event is written in the transaction of the row that it describes, so there is exactly one for each committed change
and none for a rolled-back one (E3). `revision` orders them over the whole store and is the SSE id.
"""

from __future__ import annotations

from typing import Literal

import msgspec
from msgspec import Struct

from volant.clock import Instant, Uid, rfc3339
from volant.model.deployment import Deployment
from volant.model.meta import Key, Kind, Owner
from volant.model.objects import Object
from volant.model.plugin import Plugin

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
]

REFERENCE_VM_EVENTS: frozenset[str] = frozenset(
    {"vm.created", "vm.started", "vm.stopped", "vm.deleted", "vm.health_changed", "vm.error"}
)
"""What `/events/vms` shows."""


class Happening(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a writer says of its write; the store adds revision, time and identity.

    `actor` is who asked: `api`, or the name of a controller. `reason` is a CamelCase word from a closed list, `message`
    a sentence for people.
    """

    type: EventType
    actor: str = "api"
    reason: str | None = None
    message: str | None = None
    request_id: str | None = None


class EventData(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The `data:` line of the stream: the reference's fields first, then ours."""

    name: str
    timestamp: str
    plugin: str | None = None
    ip: str | None = None
    kind: Kind | None = None
    uid: str | None = None
    revision: int | None = None
    generation: int | None = None
    replicas: int | None = None
    ready_replicas: int | None = None
    owner: str | None = None
    actor: str | None = None
    reason: str | None = None
    message: str | None = None
    request_id: str | None = None


class Committed(Struct, frozen=True, kw_only=True, gc=False):
    """One event as the bus carries it. `data` is the encoded `EventData`, made once for every reader (W7).

    `actor` is who wrote: `api` or the name of a controller.
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


_ENCODER = msgspec.json.Encoder()


def committed(obj: Object, happening: Happening, revision: int, at: Instant) -> Committed:
    """The event of one write. Pure; called by the writer inside the transaction."""
    meta = obj.meta
    plugin, address, replicas, ready = None, None, None, None
    if isinstance(obj, Plugin):
        plugin = None
    elif isinstance(obj, Deployment):
        plugin, replicas, ready = obj.spec.plugin, obj.spec.replicas, obj.status.ready_replicas
    else:
        plugin, address = obj.spec.plugin, obj.spec.address
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
        actor=happening.actor,
        reason=happening.reason,
        message=happening.message,
        request_id=happening.request_id,
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
    )


class _Said(Struct):
    actor: str = ""


_SAID = msgspec.json.Decoder(_Said)


def actor_of(data: bytes) -> str:
    """Who wrote, from the encoded `EventData`."""
    return _SAID.decode(data).actor
