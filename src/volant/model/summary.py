"""What an event says of its object: a few words a kind, before and after.

    old, new ──changes──▶ previous, new     only what differs; the whole of it for a creation and for an end

Small on purpose, because it is made for every write, inside the transaction. The object itself is a GET away, and its
`revision` says whether it has moved on. Pure; no text that a user wrote but labels, so no secret can get in here.
"""

from __future__ import annotations

from typing import Any

from msgspec import UNSET, Struct, UnsetType

from volant.model.conditions import is_true
from volant.model.deployment import AVAILABLE, Deployment, Phase, phase
from volant.model.objects import Object
from volant.model.plugin import READY
from volant.model.sync import Sync, SyncState
from volant.model.vm import VM, HealthWord, Power, Resources, StatusWord, is_ready, restart_required, status_word


class Summary(Struct, frozen=True, kw_only=True, gc=False):
    """Words of one object; those that have nothing to say are UNSET and are not written down.

    VM: `status`, `power`, `ready`, `health` (null: not probed), `restarts`, `restart_required`, `resources`.
    Deployment: `phase`, `replicas`, `ready_replicas`, `available`. Plugin: `enabled`, `ready`, `version`. Sync:
    `state`, and `commit`, the last that was applied (null: none).
    `plugin` and `labels` stand here only when they changed.
    """

    status: StatusWord | UnsetType = UNSET
    power: Power | UnsetType = UNSET
    phase: Phase | UnsetType = UNSET
    replicas: int | UnsetType = UNSET
    ready_replicas: int | UnsetType = UNSET
    available: bool | UnsetType = UNSET
    enabled: bool | UnsetType = UNSET
    ready: bool | UnsetType = UNSET
    health: HealthWord | UnsetType | None = UNSET
    restarts: int | UnsetType = UNSET
    restart_required: bool | UnsetType = UNSET
    resources: Resources | UnsetType = UNSET
    version: str | UnsetType = UNSET
    state: SyncState | UnsetType = UNSET
    commit: str | UnsetType | None = UNSET
    plugin: str | UnsetType = UNSET
    labels: dict[str, str] | UnsetType = UNSET


_VM = ("status", "power", "ready", "health", "restarts", "restart_required", "resources")
_DEPLOYMENT = ("phase", "replicas", "ready_replicas", "available")
_PLUGIN = ("enabled", "ready", "version")
_SYNC = ("state", "commit")


def changes(old: Object | None, new: Object | None) -> tuple[Summary | None, Summary | None]:
    """What `old` said and `new` says where they differ; None when there is nothing to say on that side.

    Without `old` (a creation) or `new` (an end), the other one whole. Both are of one kind.
    """
    if old is None or new is None:
        return None if old is None else summary(old), None if new is None else summary(new)
    names, before = _words(old)
    after = _words(new)[1]
    was: dict[str, Any] = {}
    now: dict[str, Any] = {}
    if before != after:
        for name, a, b in zip(names, before, after, strict=True):
            if a != b:
                was[name], now[name] = a, b
    if old.meta.labels != new.meta.labels:
        was["labels"], now["labels"] = old.meta.labels, new.meta.labels
    if plugin_of(old) != plugin_of(new):
        was["plugin"], now["plugin"] = plugin_of(old), plugin_of(new)
    return (Summary(**was), Summary(**now)) if was else (None, None)


def summary(obj: Object) -> Summary:
    """All words of an object, but for its plugin and labels, which stand beside it."""
    said: dict[str, Any] = dict(zip(*_words(obj), strict=True))
    return Summary(**said)


def plugin_of(obj: Object) -> str | None:
    """The plugin that the object is made from; None for a plugin, and for a sync."""
    return obj.spec.plugin if isinstance(obj, VM | Deployment) else None


def _words(obj: Object) -> tuple[tuple[str, ...], tuple[object, ...]]:
    """Names and values."""
    if isinstance(obj, VM):
        return _VM, _words_of_vm(obj)
    if isinstance(obj, Deployment):
        is_available = is_true(obj.status.conditions, AVAILABLE)
        return _DEPLOYMENT, (phase(obj), obj.spec.replicas, obj.status.ready_replicas, is_available)
    if isinstance(obj, Sync):
        return _SYNC, (obj.status.state, obj.status.commit)
    return _PLUGIN, (obj.spec.enabled, is_true(obj.status.conditions, READY), obj.spec.manifest.version)


def _words_of_vm(vm: VM) -> tuple[object, ...]:
    spec, status, word = vm.spec, vm.status, status_word(vm)
    return (
        word,
        spec.power,
        word == "running" and is_ready(vm),
        None if status.health is None else status.health.status,
        status.restarts,
        restart_required(vm),
        spec.config.resources,
    )
