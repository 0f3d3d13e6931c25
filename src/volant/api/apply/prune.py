"""What a set no longer names goes, if it is meant: by the stored inventory and its uids, never by names or labels (A6).

members of the set ── without those that were applied now ──▶ doomed ──guard──▶ marked for deletion, manifests kept
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

import msgspec
from msgspec import UNSET

from volant.api.apply.objects import Desk
from volant.clock import Uid
from volant.errors import Conflict, InUse
from volant.model.apply.exported import kept
from volant.model.apply.outcome import Planned, needs_confirmation
from volant.model.event import EventType
from volant.model.meta import Key, Kind
from volant.model.objects import Object
from volant.model.plugin import Plugin
from volant.store import Member

DELETING: dict[Kind, EventType] = {
    "VM": "vm.deleting",
    "Deployment": "deployment.deleting",
    "Plugin": "plugin.deleting",
}
ORDER: tuple[Kind, ...] = ("Deployment", "VM", "Plugin")
"""Who uses goes before what is used."""


def prune(desk: Desk, members: Sequence[Member], applied: Collection[Uid]) -> list[Planned]:
    """Mark what the set no longer names. Raises Conflict `prune_unconfirmed`, InUse `plugin_in_use`.

    `members` is the set as it was before anything was applied: what is made now is no part of what is kept.
    """
    there = [found for member in members if (found := _there(desk, member)) is not None]
    doomed = [found for found in there if found.meta.uid not in applied]
    _check_meant(desk, len(doomed), len(there))
    return [_marked(desk, found) for kind in ORDER for found in doomed if found.meta.kind == kind]


def _there(desk: Desk, member: Member) -> Object | None:
    found = desk.tx.find(Key(member.kind, member.name))
    return None if found is None or found.meta.uid != member.uid or found.meta.is_deleting else found


def _check_meant(desk: Desk, deletes: int, members: int) -> None:
    asked = desk.asked
    if asked.confirm_delete is not UNSET:
        is_meant = asked.confirm_delete == deletes
    else:
        is_meant = not needs_confirmation(deletes=deletes, members=members, objects=len(asked.objects))
    # A dry run is how the number is found out.
    if not is_meant and not desk.is_trial:
        raise Conflict(
            f"cannot prune the set {asked.set}: {deletes} of its {members} objects would be deleted. "
            f"If that is meant, say confirm_delete={deletes}",
            code="prune_unconfirmed",
            details={"set": asked.set, "deletes": deletes, "members": members},
        )


def _marked(desk: Desk, found: Object) -> Planned:
    tx, meta = desk.tx, found.meta
    if isinstance(found, Plugin):
        _refuse_used(desk, found)
    tx.keep_pruned(desk.asked.set, meta.key, msgspec.json.encode(kept(found, tx.fields(meta.uid))))
    tx.mark_deleting(found, desk.call.happening(DELETING[meta.kind], reason="SetPruned"))
    return Planned(kind=meta.kind, name=meta.name, action="delete", uid=meta.uid, generation=meta.generation)


def _refuse_used(desk: Desk, plugin: Plugin) -> None:
    """Whoever uses it has to be on its way out by now."""
    tx, name = desk.tx, plugin.meta.name
    vms = [vm for vm in tx.vms_using(name) if _stays(tx.find(Key("VM", vm)))]
    deployments = [one for one in tx.deployments_using(name) if _stays(tx.find(Key("Deployment", one)))]
    # The VMs of a deployment that goes follow it.
    vms = [vm for vm in vms if not _goes_with_its_owner(desk, vm)]
    if vms or deployments:
        raise InUse(
            f"cannot prune Plugin {name}: {len(vms)} VMs and {len(deployments)} deployments use it",
            code="plugin_in_use",
            details={"name": name, "vms": vms[:10], "deployments": deployments[:10]},
        )


def _stays(found: Object | None) -> bool:
    return found is not None and not found.meta.is_deleting


def _goes_with_its_owner(desk: Desk, name: str) -> bool:
    vm = desk.tx.find(Key("VM", name))
    owner = vm.meta.owner if vm is not None else None
    return owner is not None and not _stays(desk.tx.find(Key(owner.kind, owner.name)))
