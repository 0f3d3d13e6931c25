"""The templates of a deployment: one row for each that it has had, written in the transaction of the change itself.

    Transaction.insert ──begun──┐
    Transaction._rewrite ──────changed──▶ revisions ──entry──▶ Rows.revisions
    Transaction._remove ──────forgotten─┘

The last row is the template that the deployment has. Before it stay as many as its strategy says, and whichever was the
last one that was complete, because a rollout may have to go back to it. Everything goes with the deployment.
"""

from __future__ import annotations

import msgspec

from volant.clock import Instant, Uid
from volant.model.deployment import Deployment, template_of
from volant.model.event import Happening
from volant.model.objects import Object
from volant.model.rollout import Revision, Template, digest_of
from volant.store.database import Execute, Row

SELECT = "SELECT number, template, digest, at, cause FROM revisions WHERE uid = ? ORDER BY number DESC"
LAST = "SELECT ifnull(max(number), 1) FROM revisions WHERE uid = ?"
_INSERT = "INSERT INTO revisions (uid, number, template, digest, at, cause) VALUES (?, ?, ?, ?, ?, ?)"
_TRIM = (
    "DELETE FROM revisions WHERE uid = ?1 AND digest IS NOT ?3 "
    "AND number <= (SELECT number FROM revisions WHERE uid = ?1 ORDER BY number DESC LIMIT 1 OFFSET ?2)"
)
_DELETE = "DELETE FROM revisions WHERE uid = ?"
_ADOPT = "UPDATE objects SET template = ? WHERE owner_uid = ? AND template IS NULL"

_ENCODER = msgspec.json.Encoder()
_DECODER = msgspec.json.Decoder(Template)


def first(deployment: Deployment) -> Revision:
    """The revision that a deployment has whose template was never changed."""
    template = template_of(deployment.spec)
    return Revision(
        number=1, template=template, digest=digest_of(template), at=deployment.meta.created_at, cause="created"
    )


def begun(execute: Execute, new: Object) -> None:
    """An object was created."""
    if isinstance(new, Deployment):
        execute(_INSERT, _row(new.meta.uid, first(new)))


def changed(execute: Execute, old: Object, new: Object, happening: Happening, now: Instant) -> None:
    """An object was rewritten: keep the template of a deployment, if it is another one now."""
    if not isinstance(old, Deployment) or not isinstance(new, Deployment) or old.spec is new.spec:
        return
    was, template = template_of(old.spec), template_of(new.spec)
    if digest_of(was) == digest_of(template):
        return
    uid = new.meta.uid
    # VMs from before there were templates are made of the one that is changed now.
    execute(_ADOPT, (digest_of(was), uid))
    if not execute(SELECT, (uid,)).fetchone():
        execute(_INSERT, _row(uid, first(old)))
    ((number,),) = execute(LAST, (uid,)).fetchall()
    cause = happening.message or happening.reason or happening.type
    revision = Revision(number=number + 1, template=template, digest=digest_of(template), at=now, cause=cause)
    execute(_INSERT, _row(uid, revision))
    execute(_TRIM, (uid, new.spec.strategy.revisions_kept + 1, new.status.completed))


def forgotten(execute: Execute, gone: Object) -> None:
    """An object's row has gone."""
    if isinstance(gone, Deployment):
        execute(_DELETE, (gone.meta.uid,))


def entry(row: Row) -> Revision:
    """One row of SELECT."""
    number, template, digest, at, cause = row
    return Revision(number=number, template=_DECODER.decode(template), digest=digest, at=at, cause=cause)


def _row(uid: Uid, revision: Revision) -> tuple[Uid, int, bytes, str, Instant, str]:
    return (uid, revision.number, _ENCODER.encode(revision.template), revision.digest, revision.at, revision.cause)
