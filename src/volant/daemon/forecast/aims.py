"""Whether a forecast is over: everything of the set is as asked for, or is never going to be.

    key ──▶ None: as asked for | MOVING | Unsettled: why it never will be

Asked after each write, so what is most likely still moving is asked first, and the rest only once that is done.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

from volant.clock import Instant
from volant.model.conditions import condition
from volant.model.deployment import AVAILABLE, PROGRESSING, Deployment, rollout
from volant.model.meta import Key
from volant.model.objects import Object
from volant.model.plugin import READY as PLUGIN_READY
from volant.model.plugin import Plugin, is_complete
from volant.model.timeline import Unsettled
from volant.model.vm import ERROR_REASONS, READY, VM, is_ready, ready_since, status_word
from volant.store import Store

CRASHES: Final = 3
"""A VM whose guest has crashed so often in a row, and now again, is not going to run."""
STEADY_S: Final = 5.0
"""How long the guest of a VM has to be ready that has crashed lately: one that crashes may be ready for a moment."""
MOVING: Final = "moving"


class Aims:
    """What has to be so, of the objects of one set."""

    def __init__(self, store: Store, keys: Iterable[Key], now: Callable[[], Instant]) -> None:
        # Deployments first: theirs is the longest way.
        self._keys = sorted(keys, key=lambda key: (key.kind != "Deployment", key.kind, key.name))
        self._store = store
        self._now = now
        vms = (store.find(key) for key in self._keys if key.kind == "VM")
        self._failures = {vm.meta.uid: vm.status.failures for vm in vms if isinstance(vm, VM)}

    def hopeless(self) -> list[Unsettled] | None:
        """What never will be as asked for, when everything else is; None while anything is still moving."""
        found: list[Unsettled] = []
        for key in self._keys:
            said = self._standing(self._store.find(key))
            if said == MOVING:
                return None
            if isinstance(said, Unsettled):
                found.append(said)
        return found

    def unsettled(self) -> list[Unsettled]:
        """Everything that is not as asked for now, moving or not."""
        found: list[Unsettled] = []
        for key in self._keys:
            obj = self._store.find(key)
            said = self._standing(obj)
            if isinstance(said, Unsettled):
                found.append(said)
            elif said == MOVING and obj is not None:
                found.append(_unsettled(obj, "Moving", "it is still on its way"))
        return found

    def _standing(self, obj: Object | None) -> Unsettled | str | None:
        """How an object stands. None is what is as asked for, and what is gone."""
        if obj is None:
            return None
        if obj.meta.is_deleting:
            return MOVING
        if isinstance(obj, Plugin):
            return _of_plugin(obj)
        if isinstance(obj, VM):
            return self._of_vm(obj)
        return _of_deployment(self._store, obj) if isinstance(obj, Deployment) else None

    def _of_vm(self, vm: VM) -> Unsettled | str | None:
        word, ready = status_word(vm), condition(vm.status.conditions, READY)
        if vm.spec.power == "stopped":
            return None if word == "stopped" else MOVING
        failures = vm.status.failures
        if failures >= CRASHES and failures > self._failures.get(vm.meta.uid, 0):
            reason = "Crashed" if ready is None or is_ready(vm) else ready.reason
            return _unsettled(vm, reason, "its guest crashes again and again, and is taken to go on doing so")
        if word in ("error", "stopped") and ready is not None:
            return _unsettled(vm, ready.reason, ready.message)
        since = ready_since(vm)
        if since is None or vm.status.observed_generation < vm.meta.generation:
            return MOVING
        return None if not failures or self._now() - since >= STEADY_S else MOVING


def _of_plugin(plugin: Plugin) -> Unsettled | str | None:
    if is_complete(plugin):
        return None
    ready = condition(plugin.status.conditions, PLUGIN_READY)
    if ready is not None and ready.reason in ERROR_REASONS:
        return _unsettled(plugin, ready.reason, ready.message)
    return MOVING


def _of_deployment(store: Store, deployment: Deployment) -> Unsettled | str | None:
    if deployment.status.observed_generation < deployment.meta.generation:
        return MOVING
    word, tally = rollout(deployment), store.tally(deployment.meta.uid)
    available = condition(deployment.status.conditions, AVAILABLE)
    is_whole = tally.total == tally.ready == deployment.spec.replicas
    if word == "complete" and is_whole and available is not None and available.status == "true":
        return None
    progressing = condition(deployment.status.conditions, PROGRESSING)
    if word == "paused" and is_whole:
        return _unsettled(deployment, "Paused", "its rollout is paused, and goes on when it is resumed")
    if progressing is not None and progressing.status == "false" and not tally.deleting:
        if word == "stalled" and deployment.spec.strategy.auto_revert:
            return MOVING
        return _unsettled(deployment, progressing.reason, progressing.message)
    return MOVING


def _unsettled(obj: Object, reason: str, message: str) -> Unsettled:
    return Unsettled(kind=obj.meta.kind, name=obj.meta.name, reason=reason, message=message)
