"""What may be spoiled for one actor of a crowd: what it does, what its controllers see, what they are told.

    effect n of an actor   ──▶ error | lost answer | twice | silence before | silence after
    look n at its row      ──▶ an older version of the row
    look n at its guest    ──▶ what was seen before
    notice n about it      ──▶ hidden | twice | only after another one

An actor is whoever a name begins with, up to the first dash: `a07` and its replicas `a07-1`, `a07-2`. Everything of
an actor is counted from where its story begins, so that a plan that says "the third" means the same in every crowd.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from volant.model.meta import Key

How = Literal["crash before", "crash after", "error", "lost answer", "twice", "silence before", "silence after"]
"""
crash before, crash after      the daemon ends with the effect not begun, or done and nobody told
error                          the port says no, and nothing was done
lost answer                    the port says no, and yet it was done
twice                          it is done twice in a row
silence before, silence after  the port never answers, with nothing done or everything
"""
HOWS: tuple[How, ...] = get_args(How)

Twist = Literal["hidden", "twice", "late"]


@dataclass(frozen=True)
class Spoil:
    """One plan. `effects` and `notices` by number; `row` and `guest` are (number of the look, how many versions back).

    A notice that is late comes after the notice whose number stands beside it.
    """

    effects: tuple[tuple[int, How], ...] = ()
    notices: tuple[tuple[int, Twist, int], ...] = ()
    row: tuple[int, int] | None = None
    guest: tuple[int, int] | None = None


NOTHING = Spoil()

OLDEST_S = 5.0
"""No view of a guest is older than this: what was so an hour ago is a lie, and those have plans of their own."""


@dataclass
class Counts:
    """What has happened to one actor since its story began."""

    effects: int = 0
    notices: int = 0
    row_looks: list[int] = field(default_factory=list)
    """For each look at its row how many older versions there were."""
    guest_looks: list[int] = field(default_factory=list)
    fired: int = 0


class Spoils:
    """The plans of a crowd, and what came of them."""

    def __init__(self) -> None:
        self.name_of: Callable[[object], str] = str
        self.clock: Callable[[], float] = lambda: 0.0
        self.plans: dict[str, Spoil] = {}
        self.counts: dict[str, Counts] = {}
        """By actor, from the beginning of its story on."""
        self._actors: dict[object, str] = {}
        self._versions: dict[object, list[Any]] = {}
        self._late: dict[tuple[str, int], list[Any]] = {}

    def begin(self, actor: str, plan: Spoil) -> None:
        """Its story begins."""
        self.plans[actor], self.counts[actor] = plan, Counts()

    def end(self) -> dict[str, Counts]:
        """All stories are told: nothing is counted or spoiled any more. What was counted, by actor."""
        counts, self.counts = self.counts, {}
        return counts

    def effect(self, target: object) -> How | None:
        """An effect is about to be done: how it is spoiled, if it is."""
        actor = self.actor(target)
        counts = self.counts.get(actor)
        if counts is None:
            return None
        at, counts.effects = counts.effects, counts.effects + 1
        how = dict(self.plans[actor].effects).get(at)
        counts.fired += how is not None
        return how

    def row(self, key: Key, truth: Any) -> Any:
        """What a look at a row shows."""
        actor = self.actor(key)
        counts = self.counts.get(actor)
        if counts is None:
            return self._seen(key, truth, Counts(), [], None, math.inf)
        return self._seen(key, truth, counts, counts.row_looks, self.plans[actor].row, math.inf)

    def guest(self, uid: str, truth: Any) -> Any:
        """What a look at a guest shows."""
        actor = self.actor(uid)
        counts = self.counts.get(actor)
        if counts is None:
            return self._seen(uid, truth, Counts(), [], None, OLDEST_S)
        return self._seen(uid, truth, counts, counts.guest_looks, self.plans[actor].guest, OLDEST_S)

    def notices(self, target: object, notice: Any) -> list[Any]:
        """What is heard at the moment of a notice about `target`: it, nothing, or more."""
        actor = self.actor(target)
        counts = self.counts.get(actor)
        if counts is None:
            return [notice]
        at, counts.notices = counts.notices, counts.notices + 1
        heard = [notice]
        for number, twist, other in self.plans[actor].notices:
            if number == at:
                counts.fired += 1
                heard = [notice, notice] if twist == "twice" else []
                if twist == "late":
                    self._late.setdefault((actor, other), []).append(notice)
        return heard + self._late.pop((actor, at), [])

    def actor(self, target: object) -> str:
        """Whose `target` is."""
        if not self.counts:
            return ""
        known = self._actors.get(target)
        if known is None:
            name = target.name if isinstance(target, Key) else self.name_of(target)
            known = name.partition("-")[0]
            if name is not target:  # A uid of which nobody has heard yet will have a name.
                self._actors[target] = known
        return known

    def _seen(
        self, what: object, truth: Any, counts: Counts, looks: list[int], plan: tuple[int, int] | None, oldest_s: float
    ) -> Any:
        versions = self._versions.setdefault(what, [])
        if not versions or versions[-1][1] != truth:
            versions.append((self.clock(), truth))
        # A version was true until the next one was seen.
        older, since = len(versions) - 1, self.clock() - oldest_s
        while older and versions[-older][0] < since:
            older -= 1
        looks.append(older)
        if plan is None or plan[0] != len(looks) - 1 or plan[1] > older:
            return truth
        counts.fired += 1
        return versions[-1 - plan[1]][1]
