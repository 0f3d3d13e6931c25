"""What an apply leaves in the history of its set, so that the set can be taken back.

    before each object ──image──┐
    after each object  ──image──┴─▶ changes ──with those of an apply that never became healthy──▶ Undo
    the whole apply ──────────────▶ SetRevision, progressing: `controllers.sets` watches it

A set has a history from its first atomic apply on: what others of its applies do has to be known, or it could not be
taken back beside them. An apply that changes nothing, and says what was said before, leaves nothing.

Only an atomic apply promises to be taken back, so only its changes are kept for that. While it progresses, another
atomic one goes on with its promise, and so does an apply of a part, which says nothing of the rest: that goes on to be
watched, pruned and taken back as before. A plain apply of the whole ends it.
"""

from __future__ import annotations

import msgspec
from msgspec.structs import replace

from volant.api.apply.objects import Desk
from volant.clock import Uid
from volant.errors import Conflict
from volant.model.apply.sets import (
    Change,
    Image,
    Named,
    SetRevision,
    Undo,
    digest_of_set,
    image,
    named,
    refused,
    together,
)
from volant.model.apply.standing import verdict
from volant.model.deployment import Deployment
from volant.model.goals import Reached
from volant.model.meta import Key
from volant.model.objects import Object
from volant.store import standings


class Story:
    """One apply, as its set remembers it. Raises Conflict `set_reverted` for what was taken back."""

    def __init__(self, desk: Desk) -> None:
        asked = desk.asked
        self._desk = desk
        self._last = desk.tx.set_revision(asked.set)
        self._is_kept = asked.atomic or self._last is not None
        self._digest = ""
        self._undo = Undo()
        self._before: dict[Key, Image | None] = {}
        self._changes: list[Change] = []
        self._named: list[Named] = []
        self._rolling: dict[Uid, Named] = {}
        self._promised: SetRevision | None = None
        """The last revision, if it may still be taken back and this apply goes on with that."""
        self.known_doomed: frozenset[Uid] = frozenset()
        """What goes anyway, as soon as the set is healthy."""
        self.doomed: frozenset[Uid] = frozenset()
        """What of the set goes as soon as it is healthy, by this apply."""
        if self._is_kept:
            self._open()

    def _open(self) -> None:
        asked, last = self._desk.asked, self._last
        self._digest = digest_of_set(asked.objects)
        if last is None:
            return
        if asked.atomic and not asked.retry:
            against = refused(self._desk.tx.set_revisions(asked.set), self._digest)
            if against is not None:
                raise _reverted(against)
        if last.state == "progressing":
            self._rolling = {one.uid: one for one in last.named}
            if last.is_atomic and (asked.atomic or asked.partial):
                self._goes_on(last)

    def _goes_on(self, last: SetRevision) -> None:
        self._promised, self._undo = last, self._desk.tx.set_undo(last)
        self.known_doomed = frozenset(uid for uid in self._undo.doomed if self._is_there(uid))
        if self._desk.asked.partial:
            self.doomed = self.known_doomed  # because a part says nothing of what goes

    def before(self, key: Key) -> None:
        """To be called before anything is done to an object."""
        if self._is_kept:
            found = self._desk.tx.find(key)
            self._before[key] = None if found is None else self._image(found)

    def after(self, obj: Object) -> None:
        """To be called when all of it is done."""
        if not self._is_kept:
            return
        old, new = self._before[obj.meta.key], self._image(obj)
        if old != new:
            self._changes.append(Change(before=old, after=new))
        self._named.append(named(obj, old, self._rolling.get(obj.meta.uid), self._templates(obj)))
        self.doomed -= {obj.meta.uid}

    def close(self, *, is_pruned: bool) -> int | None:
        """Write what came of it, if anything did; the number of the set's revision then, None of one without."""
        if not self._is_kept:
            return None
        last = self._last
        is_same = last is not None and last.digest == self._digest and last.state in {"healthy", "progressing"}
        is_said = is_same or (self._desk.asked.partial and not self._desk.asked.objects)
        is_pending = self.doomed == self.known_doomed
        if last is not None and is_said and is_pending and not self._changes and not is_pruned:
            return self._stays(last).number
        return self._begins().number

    def _stays(self, last: SetRevision) -> SetRevision:
        """Nothing was to do. What nobody has watched so far may be taken back from now on."""
        if last.state == "progressing" and not last.is_atomic and self._desk.asked.atomic:
            last = replace(last, at=self._desk.tx.now, deadline_s=self._desk.asked.deadline_s)
            self._desk.tx.amend_set_revision(last)
        return last

    def _begins(self) -> SetRevision:
        tx, asked, last = self._desk.tx, self._desk.asked, self._last
        revision = SetRevision(
            set=asked.set,
            number=last.number + 1 if last is not None else 1,
            state="progressing",
            digest=self._digest,
            manager=asked.manager,
            at=tx.now,
            is_partial=asked.partial,
            deadline_s=self._deadline_s(),
            named=(*self._carried(), *self._named),
        )
        if not tx.events and self._is_healthy(revision):
            # Nobody would be told, and there is nothing to wait for.
            revision = replace(revision, state="healthy", ended_at=tx.now)
        tx.begin_set_revision(revision, msgspec.json.encode(asked.objects), self._undo_now())
        return revision

    def _deadline_s(self) -> float | None:
        asked, last = self._desk.asked, self._promised
        if last is None or last.deadline_s is None or (asked.atomic and last.digest != self._digest):
            return asked.deadline_s
        # Who brings back over and over what somebody else takes away does not get more time by that.
        return min(max(last.at + last.deadline_s - self._desk.tx.now, 0.0), last.deadline_s)

    def _carried(self) -> tuple[Named, ...]:
        """What the last revision named, was not healthy with, and a part of the set says nothing of."""
        last = self._last
        if last is None or last.state != "progressing" or not self._desk.asked.partial:
            return ()
        said = {one.key for one in self._named}
        left = (one for one in last.named if one.key not in said)
        # What is gone ends a promise; where there is none, the set would wait for it for ever.
        return tuple(one for one in left if self._promised is not None or self._is_there(one.uid))

    def _undo_now(self) -> Undo:
        """One change at most for each object that the set has: of one that it has no more nothing can be undone."""
        changes = together(self._undo.changes, self._changes if self._desk.asked.atomic else ())
        kept = tuple(change for change in changes if self._is_there(change.after.uid))
        return Undo(changes=kept, doomed=tuple(sorted(self.doomed)))

    def _is_there(self, uid: Uid) -> bool:
        tx = self._desk.tx
        found = tx.find_uid(uid)
        return found is not None and not found.meta.is_deleting and tx.set_of(uid) == self._desk.asked.set

    def _templates(self, obj: Object) -> set[str]:
        """The digests of those that it is known to have had: `auto_revert`, or somebody, may go back to any."""
        if not isinstance(obj, Deployment):
            return set()
        kept, completed = self._desk.tx.templates(obj), obj.status.completed
        return {one.digest for one in kept} | ({completed} if completed is not None else set())

    def _is_healthy(self, revision: SetRevision) -> bool:
        found = standings(self._desk.tx, revision.named, self._desk.tx.now)
        return not self.doomed and all(isinstance(verdict(one), Reached) for one in found)

    def _image(self, obj: Object) -> Image:
        tx, uid = self._desk.tx, obj.meta.uid
        return image(obj, tx.fields(uid), tx.set_of(uid))


def _reverted(last: SetRevision) -> Conflict:
    return Conflict(
        f"cannot apply the same to the set {last.set} again: its revision {last.number} was taken back, because "
        f"{last.message}. Change the manifests, or say retry to try the same once more",
        code="set_reverted",
        details={"set": last.set, "revision": last.number, "reason": last.reason, "message": last.message},
    )
