"""How a revision of a set ends: each in one transaction, which reads every row again before it decides (V12).

    settle     healthy: what the set no longer names is marked for deletion, and can be restored for a day
    take_back  reverted: changed objects are as they were, made ones go, and can be restored for a day as well; what
               others have said since is theirs

All of it is one step: ports of the host go back in whatever order they changed hands. An object that cannot be as it
was, because somebody else has what it had (a port) or because what it was made of is gone (a plugin), stays as it is,
and the revision says so. One that was deleted meanwhile stays away; one that is another set's by now is not touched.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

import msgspec
from msgspec.structs import replace

from volant.clock import Uid
from volant.controllers.sets.plan import TakeBack
from volant.errors import Conflict, RequestError
from volant.model.apply.exported import kept
from volant.model.apply.sets import ENDING, Image, SetRevision, Spec, Undo, image, undone
from volant.model.deployment import Deployment, DeploymentSpec
from volant.model.event import EventType, Happening
from volant.model.meta import Key, Kind
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
NAMES_SHOWN = 10
"""More of them are a number."""


def settle(tx: Transaction, revision: SetRevision) -> None:
    """The set is healthy, and has nothing any more that it does not name."""
    found = (tx.find_uid(uid) for uid in tx.set_undo(revision).doomed)
    doomed = [obj for obj in found if obj is not None and _is_of(tx, revision, obj)]
    leaving = frozenset(obj.meta.uid for obj in doomed)
    for obj in _in_order(doomed):
        if _is_free(tx, obj, leaving):
            _end(tx, revision, obj, PRUNED)
    tx.amend_set_revision(replace(revision, state="healthy", ended_at=tx.now))


def take_back(tx: Transaction, revision: SetRevision, why: TakeBack) -> None:
    """The set is as it was before the applies that did not become healthy."""
    said = f"set {revision.set} goes back from revision {revision.number}: {why.message}"
    undo, stay = tx.set_undo(revision), dict[Uid, str]()
    while True:
        refused: Mapping[Uid, Conflict] = {}
        try:
            with tx.at_once() as moves:
                words = _undone(tx, revision, undo, said, stay)
                for uid in (change.after.uid for change in undo.changes if _is_leaving(tx, change.after.uid)):
                    moves.leave(uid)
                refused = moves.settle()
        except Conflict:
            if not refused:
                raise
            # Without those who cannot have their ports: what they have instead may be what others wait for. Each time
            # round more of them stay, and who stays asks for nothing, so this ends.
            stay |= {uid: error.message for uid, error in refused.items()}
        else:
            break
    message = "; ".join([why.message, *words])
    tx.amend_set_revision(
        replace(revision, state="reverted", ended_at=tx.now, reason=why.reason, message=message),
    )


def _undone(tx: Transaction, revision: SetRevision, undo: Undo, said: str, stay: Mapping[Uid, str]) -> list[str]:
    """Everything as it was, but for those that are to stay; what is to be said of it."""
    left, made = _returned(tx, revision, undo, said, stay)
    leaving, gone = frozenset(obj.meta.uid for obj in made), list[str]()
    for obj in _in_order(made):
        if _is_free(tx, obj, leaving):
            _end(tx, revision, obj, REVERTED, said)
            gone.append(_named(obj))
        else:
            left.append(f"{_named(obj)} stays, because it is used by now")
    return [*left, f"what it made goes, and can be restored: {_listed(gone)}"] if gone else left


def _end(tx: Transaction, revision: SetRevision, obj: Object, reason: str, message: str | None = None) -> None:
    tx.keep_pruned(revision.set, obj.meta.key, msgspec.json.encode(kept(obj, tx.fields(obj.meta.uid))))
    tx.mark_deleting(obj, Happening(type=ENDING[obj.meta.kind], actor=ACTOR, reason=reason, message=message))


def _returned(
    tx: Transaction, revision: SetRevision, undo: Undo, said: str, stay: Mapping[Uid, str]
) -> tuple[list[str], list[Object]]:
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
            elif obj.meta.uid in stay:
                left.append(f"{_named(obj)} stays as it is: {stay[obj.meta.uid]}")
            elif wanted != now:
                happening = Happening(type=event, actor=ACTOR, reason=REVERTED, message=said)
                left += _return(tx, obj, wanted, happening)
    return left, made


def _return(tx: Transaction, obj: Object, wanted: Image, happening: Happening) -> list[str]:
    """The object as `wanted`; the words of what is in the way, which leaves it as it is."""
    uid = obj.meta.uid
    try:
        was = wanted.decoded()
        _check_plugin(tx, obj, was)
        tx.update_spec(
            obj,
            fitted(tx, obj, was),
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


def _check_plugin(tx: Transaction, obj: Object, was: Spec) -> None:
    if not isinstance(obj, Deployment) or not isinstance(was, DeploymentSpec) or was.plugin == obj.spec.plugin:
        return
    plugin = tx.find(Key("Plugin", was.plugin))
    if plugin is None or plugin.meta.is_deleting:
        raise Conflict(f"cannot be of plugin {was.plugin} again: it is not installed")


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


def _is_leaving(tx: Transaction, uid: Uid) -> bool:
    found = tx.find_uid(uid)
    return found is not None and found.meta.is_deleting


def _is_free(tx: Transaction, obj: Object, leaving: Collection[Uid]) -> bool:
    return not isinstance(obj, Plugin) or not any(users_staying(tx, obj.meta.name, leaving, is_rolled_away=True))


def _in_order(objects: Iterable[Object]) -> list[Object]:
    order = list(ENDING)
    return sorted(objects, key=lambda obj: order.index(obj.meta.kind))


def _listed(names: list[str]) -> str:
    more = len(names) - NAMES_SHOWN
    return ", ".join(names[:NAMES_SHOWN]) + (f" and {more} more" if more > 0 else "")


def _named(obj: Object) -> str:
    return f"{obj.meta.kind} {obj.meta.name}"
