"""One turn of a set that progresses: look at each object that its last apply named, and end the revision if it is time.

    revision ──▶ standings ──plan.next_step──▶ transaction: the same question of its own rows ──▶ settle | take_back
                                          └──▶ Again(the rest of its time)

The deadline is stored as an instant and a length. Within a life of the daemon it is counted by the monotonic clock from
the first look on, so that a wall clock that is put forward takes no set back; after a restart what is left is told by
the wall clock, and is never more than the whole of it.

A turn reads every object of the set, so looks are paced as those at deployments are: `gap_s` grows with what they take.
An apply that changes no object tells nobody, so its set is found by looking for sets that progress, every other second.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Literal, NamedTuple

from volant.clock import Clock
from volant.controllers.sets import ending, plan
from volant.controllers.sets.plan import Settle, Step, TakeBack
from volant.model.apply.sets import SetRevision
from volant.model.event import Committed
from volant.reconcile import DONE, Again, Outcome
from volant.reconcile.effects import Effects
from volant.store import Store, Transaction, standings

GAP_S = 0.05
LOOKS_PER_GAP = 20.0


class SetKey(NamedTuple):
    """Which set: what its queue carries."""

    kind: Literal["set"]
    name: str


class SetReconciler:
    """Brings each set that progresses to an end."""

    def __init__(self, *, store: Store, clock: Clock, effects: Effects | None = None) -> None:
        self._store = store
        self._clock = clock
        self._effects = effects or Effects()
        self._look_s = 0.0
        self._looked_at: dict[str, float] = {}
        self._due: dict[str, tuple[int, float]] = {}
        self._known: tuple[int, frozenset[str]] = (-1, frozenset())

    @property
    def gap_s(self) -> float:
        """How long an event may wait before the set is looked at, in seconds."""
        return max(GAP_S, self._look_s * LOOKS_PER_GAP)

    def concerns(self, event: Committed) -> Iterable[SetKey]:
        """The set of the object, while it progresses."""
        progressing = self._progressing()
        of_set = self._store.set_of(event.uid) if progressing else None
        if of_set is None and progressing and self._store.find_uid(event.uid) is None:
            return [SetKey("set", name) for name in progressing]  # because nobody knows any more whose it was
        return [SetKey("set", of_set)] if of_set in progressing and of_set is not None else ()

    def _progressing(self) -> frozenset[str]:
        # Asked for every event, hence once a commit only.
        if self._known[0] != self._store.revision:
            self._known = (self._store.revision, frozenset(self._store.sets_progressing()))
        return self._known[1]

    def resync_keys(self) -> Iterable[SetKey]:
        """Every set that progresses, but for those that were looked at just now."""
        since = self._clock.monotonic() - self.gap_s
        names = self._store.sets_progressing()
        return [SetKey("set", name) for name in names if self._looked_at.get(name, -math.inf) <= since]

    async def reconcile(self, key: SetKey) -> Outcome:
        """One turn."""
        revision = self._store.set_revision(key.name)
        if revision is None or revision.state != "progressing":
            self._forget(key.name)
            return DONE
        began = self._clock.monotonic()
        left_s = self._left_s(revision)
        step = plan.next_step(revision, standings(self._store, revision.named, self._clock.now()), left_s)
        self._looked_at[key.name] = ended = self._clock.monotonic()
        self._look_s = ended - began
        if step is not None:
            await self._end(key, revision, step, left_s)
            self._forget(key.name)
            return DONE
        return DONE if left_s is None else Again(max(GAP_S, left_s))

    def _forget(self, name: str) -> None:
        self._due.pop(name, None)
        self._looked_at.pop(name, None)

    def _left_s(self, revision: SetRevision) -> float | None:
        """Seconds until its deadline; None of a set that has none."""
        if revision.deadline_s is None:
            return None
        now, known = self._clock.monotonic(), self._due.get(revision.set)
        if known is None or known[0] != revision.number:
            left_s = revision.at + revision.deadline_s - self._clock.now()
            known = self._due[revision.set] = (revision.number, now + min(left_s, revision.deadline_s))
        return known[1] - now

    async def _end(self, key: SetKey, revision: SetRevision, step: Step, left_s: float | None) -> None:
        async def write() -> None:
            await self._store.write(lambda tx: _end_in(tx, revision, left_s))

        op = "store.settle_set" if isinstance(step, Settle) else "store.take_set_back"
        await self._effects.act(op, key, write)


def _end_in(tx: Transaction, seen: SetRevision, left_s: float | None) -> None:
    """End the revision as the rows of `tx` ask for, if it is still the set's."""
    revision = tx.set_revision(seen.set)
    if revision is None or revision.number != seen.number or revision.state != "progressing":
        return
    match plan.next_step(revision, standings(tx, revision.named, tx.now), left_s):
        case Settle():
            ending.settle(tx, revision)
        case TakeBack() as why:
            ending.take_back(tx, revision, why)
        case None:
            pass  # because the rows moved after the look
