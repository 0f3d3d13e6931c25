"""What a set no longer names goes, if it is meant: by the stored inventory and its uids, never by names or labels (A6).

members of the set ── without those that were applied now ──▶ doomed ──guard──▶ marked for deletion, manifests kept
                                                                └──▶ a plugin whose last VMs are being replaced
                                                                     waits, and is one of the set until then
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

import msgspec
from msgspec import UNSET
from msgspec.structs import replace

from volant.api.apply.objects import Desk
from volant.api.apply.story import Story
from volant.clock import Uid
from volant.errors import Conflict, InUse
from volant.model.apply.exported import kept
from volant.model.apply.outcome import Planned, needs_confirmation
from volant.model.apply.sets import ENDING
from volant.model.meta import Key
from volant.model.objects import Object
from volant.model.plugin import Plugin
from volant.store import Member, users_staying


def prune(desk: Desk, members: Sequence[Member], applied: Collection[Uid], story: Story) -> list[Planned]:
    """Mark what the set no longer names. Raises Conflict `prune_unconfirmed`, InUse `plugin_in_use`.

    What waits is told, and nothing is written of it. `members` is the set as it was before anything was applied: what
    is made now is no part of what is kept. Of an atomic apply it goes once the set is healthy: the story keeps which,
    and what it knows already is no news.
    """
    there = [found for member in members if (found := _there(desk, member)) is not None]
    doomed = [found for found in there if found.meta.uid not in applied]
    fresh = [found for found in doomed if found.meta.uid not in story.known_doomed]
    leaving = frozenset(found.meta.uid for found in doomed)
    waiting = _waiting(desk, fresh, leaving)
    fresh = [found for found in fresh if found.meta.uid not in waiting]
    _check_meant(desk, len(fresh), len(there))
    ordered = [found for kind in ENDING for found in fresh if found.meta.kind == kind]
    for found in ordered:
        if isinstance(found, Plugin):
            _refuse_used(desk, found, leaving)
    if desk.asked.atomic:
        story.doomed = leaving
    else:
        for found in ordered:
            _mark(desk, found)
    return [*map(_planned, ordered), *waiting.values()]


def _waiting(desk: Desk, fresh: Sequence[Object], leaving: Collection[Uid]) -> dict[Uid, Planned]:
    """The plugins that nothing names any more, though VMs of them still run until their deployments replace them.

    Not refused, because they would be for ever: it is this apply that has them replaced. Not marked either, because
    until then a replica may have to be started again. An atomic apply prunes when they are gone as it is.
    """
    found: dict[Uid, Planned] = {}
    for plugin in fresh:
        if isinstance(plugin, Plugin) and not desk.asked.atomic:
            vms, _ = users_staying(desk.tx, plugin.meta.name, leaving)
            if vms and not any(users_staying(desk.tx, plugin.meta.name, leaving, is_rolled_away=True)):
                why = f"still used by {len(vms)} VM{' that is' if len(vms) == 1 else 's that are'} being replaced"
                found[plugin.meta.uid] = replace(_planned(plugin), action="unchanged", waits=why)
    return found


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


def _planned(found: Object) -> Planned:
    meta = found.meta
    return Planned(kind=meta.kind, name=meta.name, action="delete", uid=meta.uid, generation=meta.generation)


def _mark(desk: Desk, found: Object) -> None:
    tx, meta = desk.tx, found.meta
    tx.keep_pruned(desk.asked.set, meta.key, msgspec.json.encode(kept(found, tx.fields(meta.uid))))
    tx.mark_deleting(found, desk.happening(ENDING[meta.kind], reason="SetPruned"))


def _refuse_used(desk: Desk, plugin: Plugin, leaving: Collection[Uid]) -> None:
    """Whoever uses it has to be on its way out by then."""
    name = plugin.meta.name
    vms, deployments = users_staying(desk.tx, name, leaving, is_rolled_away=desk.asked.atomic)
    if vms or deployments:
        raise InUse(
            f"cannot prune Plugin {name}: {len(vms)} VMs and {len(deployments)} deployments use it",
            code="plugin_in_use",
            details={"name": name, "vms": vms[:10], "deployments": deployments[:10]},
        )
