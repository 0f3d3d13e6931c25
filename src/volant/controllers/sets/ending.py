"""How a revision of a set ends: each in one transaction, which reads every row again before it decides (V12).

    settle     healthy: what the set no longer names is marked for deletion, and can be restored for a day
    take_back  reverted: changed objects are as they were, made ones go; what others have said since is theirs

An object that cannot be as it was, because somebody else has what it had (a port), stays as it is, and the revision
says so. One that was deleted meanwhile stays away, and one that is another set's by now is not touched.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

import msgspec
from msgspec.structs import replace

from volant.clock import Uid
from volant.controllers.sets.plan import TakeBack
from volant.errors import RequestError
from volant.model.apply.exported import kept
from volant.model.apply.sets import ENDING, Image, SetRevision, Spec, Undo, image, undone
from volant.model.deployment import Deployment, DeploymentSpec
from volant.model.event import EventType, Happening
from volant.model.meta import Kind
from volant.model.objects import Object
from volant.model.plugin import Plugin, PluginSpec
from volant.model.vm import VM, VMConfig, VMSpec
from volant.store import Transaction, users_staying

ACTOR = "set"
REVERTED = "SetReverted"
PRUNED = "SetPruned"
_UPDATED: dict[Kind, EventType] = {
    "Plugin": "plugin.updated",
    "VM": "vm.updated",
    "Deployment": "deployment.updated",
}
"""In the order in which they are taken back: what is used before who uses it."""


def settle(tx: Transaction, revision: SetRevision) -> None:
    """The set is healthy, and has nothing any more that it does not name."""
    found = (tx.find_uid(uid) for uid in tx.set_undo(revision).doomed)
    doomed = [obj for obj in found if obj is not None and _is_of(tx, revision, obj)]
    leaving = frozenset(obj.meta.uid for obj in doomed)
    for obj in _in_order(doomed):
        if _is_free(tx, obj, leaving):
            tx.keep_pruned(revision.set, obj.meta.key, msgspec.json.encode(kept(obj, tx.fields(obj.meta.uid))))
            tx.mark_deleting(obj, Happening(type=ENDING[obj.meta.kind], actor=ACTOR, reason=PRUNED))
    tx.amend_set_revision(replace(revision, state="healthy", ended_at=tx.now))


def take_back(tx: Transaction, revision: SetRevision, why: TakeBack) -> None:
    """The set is as it was before the applies that did not become healthy."""
    said = f"set {revision.set} goes back from revision {revision.number}: {why.message}"
    left, made = _returned(tx, revision, tx.set_undo(revision), said)
    leaving = frozenset(obj.meta.uid for obj in made)
    for obj in _in_order(made):
        if _is_free(tx, obj, leaving):
            tx.mark_deleting(obj, Happening(type=ENDING[obj.meta.kind], actor=ACTOR, reason=REVERTED, message=said))
        else:
            left.append(f"{_named(obj)} stays, because it is used by now")
    message = "; ".join([why.message, *left])
    tx.amend_set_revision(
        replace(revision, state="reverted", ended_at=tx.now, reason=why.reason, message=message),
    )


def _returned(tx: Transaction, revision: SetRevision, undo: Undo, said: str) -> tuple[list[str], list[Object]]:
    """Changed objects as they were; what could not be, and the objects that were made."""
    left: list[str] = []
    made: list[Object] = []
    for kind, event in _UPDATED.items():
        for change in undo.changes:
            obj = tx.find(change.after.key) if change.after.kind == kind else None
            if obj is None or obj.meta.uid != change.after.uid or not _is_of(tx, revision, obj):
                continue
            now = image(obj, tx.fields(obj.meta.uid), revision.set)
            wanted = undone(change, now)
            if wanted is None:
                made.append(obj)
            elif wanted != now:
                happening = Happening(type=event, actor=ACTOR, reason=REVERTED, message=said)
                left += _return(tx, obj, wanted, happening)
    return left, made


def _return(tx: Transaction, obj: Object, wanted: Image, happening: Happening) -> list[str]:
    """The object as `wanted`; the words of what is in the way, which leaves it as it is."""
    uid = obj.meta.uid
    try:
        tx.update_spec(
            obj,
            fitted(tx, obj, wanted.decoded()),
            happening,
            labels=wanted.labels,
            annotations=wanted.annotations,
            fields=wanted.fields,
        )
    except RequestError as error:
        return [f"{_named(obj)} stays as it is: {error.message}"]
    if wanted.of_set is None:
        tx.leave(uid)
    else:
        tx.join(wanted.of_set, uid)
    return []


def fitted(tx: Transaction, obj: Object, was: Spec) -> Spec:
    """What is asked of the object as before. Counters do not go back, a disk does not shrink, and a stop is a stop."""
    if isinstance(obj, VM) and isinstance(was, VMSpec):
        return _fitted_vm(tx, obj, was)
    if isinstance(obj, Deployment) and isinstance(was, DeploymentSpec):
        return replace(was, restart_nonce=obj.spec.restart_nonce)
    assert isinstance(obj, Plugin)  # noqa: S101 -- the same key is the same kind
    assert isinstance(was, PluginSpec)  # noqa: S101 -- the same key is the same kind
    return replace(obj.spec, enabled=was.enabled)


def _fitted_vm(tx: Transaction, vm: VM, was: VMSpec) -> VMSpec:
    now, config = vm.spec, _grown(vm.spec.config, was.config)
    is_elsewhere = config.network.mode != now.config.network.mode
    return replace(
        now,
        config=config,
        address=tx.allocate_address(vm.meta.uid, config.network.mode) if is_elsewhere else now.address,
        power=was.power,
        restart_nonce=now.restart_nonce + (was.power == "running" and now.power == "stopped"),
        force=now.force and was.power == "stopped",
        restart_policy=was.restart_policy,
        grace_s=was.grace_s,
    )


def _grown(now: VMConfig, was: VMConfig) -> VMConfig:
    disks = {
        name: now.disks[name] if name in now.disks and (disk.size_mb or 0) < (now.disks[name].size_mb or 0) else disk
        for name, disk in was.disks.items()
    }
    return replace(was, disks=disks)


def _is_of(tx: Transaction, revision: SetRevision, obj: Object) -> bool:
    return not obj.meta.is_deleting and tx.set_of(obj.meta.uid) == revision.set


def _is_free(tx: Transaction, obj: Object, leaving: Collection[Uid]) -> bool:
    return not isinstance(obj, Plugin) or not any(users_staying(tx, obj.meta.name, leaving, is_rolled_away=True))


def _in_order(objects: Iterable[Object]) -> list[Object]:
    order = list(ENDING)
    return sorted(objects, key=lambda obj: order.index(obj.meta.kind))


def _named(obj: Object) -> str:
    return f"{obj.meta.kind} {obj.meta.name}"
