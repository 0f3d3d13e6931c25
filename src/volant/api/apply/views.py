"""A set as clients see it."""

from __future__ import annotations

from volant.api.call import Call
from volant.clock import rfc3339
from volant.errors import NotFound
from volant.model.apply.outcome import MemberView, PrunedView, SetRevisionView, SetView
from volant.model.apply.sets import SetRevision
from volant.store import RESTORABLE_S


def known_set(call: Call, name: str) -> SetView:
    """The set of that name. Raises NotFound."""
    view = set_view(call, name)
    if not view.objects and not view.pruned and not view.revisions:
        raise NotFound("Set", name, code="set_not_found")
    return view


def set_view(call: Call, name: str) -> SetView:
    """The set of that name, empty when there is none."""
    store = call.store
    members = tuple(MemberView(kind=m.kind, name=m.name, uid=m.uid) for m in store.members(name))
    pruned = tuple(
        PrunedView(
            kind=one.kind,
            name=one.name,
            pruned_at=rfc3339(one.at),
            restorable_until=rfc3339(one.at + RESTORABLE_S),
        )
        for one in store.pruned(name, call.deps.clock.now())
    )
    revisions = tuple(map(_revision_view, store.set_revisions(name)))
    current = revisions[0] if revisions else None
    return SetView(
        name=name,
        objects=members,
        pruned=pruned,
        state=current.state if current is not None else None,
        revision=current.number if current is not None else None,
        deadline=current.deadline if current is not None and current.state == "progressing" else None,
        last_failure=next((one for one in revisions if one.state == "reverted"), None),
        revisions=revisions,
    )


def _revision_view(one: SetRevision) -> SetRevisionView:
    return SetRevisionView(
        number=one.number,
        state=one.state,
        manager=one.manager,
        applied_at=rfc3339(one.at),
        atomic=one.is_atomic,
        objects=len(one.named),
        deadline=rfc3339(one.at + one.deadline_s) if one.deadline_s is not None else None,
        ended_at=rfc3339(one.ended_at) if one.ended_at is not None else None,
        reason=one.reason,
        message=one.message,
    )
