"""What becomes of a set that progresses: pure and total.

    each object that was named ──verdict──▶ reached | not yet | out of reach ──next_step──▶ Settle | TakeBack | None

What each of them is judged by stands in `model.apply.standing`.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from volant.model.apply.sets import LATE, Named, SetRevision
from volant.model.apply.standing import Standing, verdict
from volant.model.conditions import condition
from volant.model.deployment import PROGRESSING, Deployment
from volant.model.goals import NotYet, OutOfReach, Reached
from volant.model.objects import Object
from volant.model.plugin import READY, Plugin
from volant.model.vm import READY as VM_READY
from volant.model.vm import VM


class Settle(Struct, frozen=True):
    """The set is healthy."""


class TakeBack(Struct, frozen=True):
    """The set is to be as it was: `reason` is a CamelCase word, `message` names the object and says why."""

    reason: str
    message: str


Step = Settle | TakeBack


def next_step(revision: SetRevision, standings: Sequence[Standing], left_s: float | None) -> Step | None:
    """What is to be done now; None: wait. `left_s` is the rest of its time in seconds, None for a set without end."""
    found = [(one.named, verdict(one)) for one in standings]
    if all(isinstance(said, Reached) for _, said in found):
        return Settle()
    if left_s is None or not revision.is_atomic:
        return None
    for named, said in found:
        if isinstance(said, OutOfReach):
            return TakeBack(said.reason, _of(named, said.message or said.reason))
    if left_s > 0:
        return None
    late = next(one for one, (_, said) in zip(standings, found, strict=True) if isinstance(said, NotYet))
    return TakeBack(LATE, f"{_of(late.named, _not_yet(late.obj))} when the time was over")


def _not_yet(obj: Object | None) -> str:
    kinds = {"VM": VM_READY, "Plugin": READY, "Deployment": PROGRESSING}
    said = None
    if isinstance(obj, VM | Deployment | Plugin):
        said = condition(obj.status.conditions, kinds[obj.meta.kind])
    words = (said.message or said.reason) if said is not None else ""
    return f"not healthy ({words})" if words else "not healthy"


def _of(named: Named, words: str) -> str:
    return f"{named.kind} {named.name}: {words}"
