"""The seam of effects, with a hand in it: each effect is written down, checked, and spoiled when a plan says so.

    controller ──act(op, target, fn)──▶ Harm ──┬─▶ checks, before and after
                                               └─▶ fn, or the daemon's end, an error, silence, fn twice

A plan is asked once an effect, by its position among all effects of the world. Faults are facts of the host or of the
daemon: what the controller is told is an error that the port may raise, or nothing at all.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

from tests.builders.life import Killed, Life
from tests.builders.spoils import How, Spoils

from volant.errors import ArtifactUnavailable, DriverUnavailable, Unavailable, VolantError
from volant.reconcile.effects import Effects, Moment

T = TypeVar("T")


class Effect(NamedTuple):
    """One effect: the operation, and the uid or key that it was done to."""

    op: str
    target: object


@dataclass(frozen=True, slots=True)
class Fault:
    """Spoil the effect at position `at`, the first one being 0; and whichever comes next by `then`."""

    at: int
    how: How
    then: How | None = None

    def __call__(self, at: int, effect: Effect) -> How | None:
        return self.how if at == self.at else self.then if at == self.at + 1 else None


Plan = Callable[[int, Effect], How | None]
Check = Callable[[Life, Moment, Effect], None]


class Record:
    """What was done in a world so far, by all its daemons, and what of it was spoiled."""

    def __init__(self) -> None:
        self.plan: Plan | None = None
        self.spoils = Spoils()
        self.effects: list[Effect] = []
        self.spoiled: list[tuple[int, Effect, How]] = []

    def begin(self, effect: Effect) -> How | None:
        """Write it down; how it is spoiled, if it is."""
        at = len(self.effects)
        self.effects.append(effect)
        how = self.plan(at, effect) if self.plan is not None else self.spoils.effect(effect.target)
        if how is not None:
            self.spoiled.append((at, effect, how))
        return how


class Harm(Effects):
    """The effects of one daemon."""

    def __init__(self, life: Life, record: Record, check: Check) -> None:
        super().__init__(self._look)
        self._life = life
        self._record = record
        self._check = check

    async def act(self, op: str, target: object, fn: Callable[[], Awaitable[T]]) -> T:
        """As the seam does, unless the plan wants it otherwise."""
        self._still_alive()
        effect = Effect(op, target)
        how = self._record.begin(effect)
        return await super().act(op, target, fn if how is None else lambda: self._spoil(how, effect, fn))

    async def _spoil(self, how: How, effect: Effect, fn: Callable[[], Awaitable[T]]) -> T:
        if how == "crash before":
            self._kill()
        if how == "error":
            raise refusal(effect)
        if how == "silence before":
            await asyncio.Event().wait()
        result = await fn()
        if how == "twice":
            return await fn()
        if how == "crash after":
            self._kill()
        if how == "silence after":
            await asyncio.Event().wait()
        if how == "lost answer":
            raise refusal(effect)
        return result

    def _look(self, moment: Moment, op: str, target: object) -> None:
        self._still_alive()
        self._check(self._life, moment, Effect(op, target))

    def _still_alive(self) -> None:
        if self._life.is_dead:
            raise Killed

    def _kill(self) -> None:
        self._life.kill()
        raise Killed


def refusal(effect: Effect) -> VolantError:
    """What the port of that effect says when it cannot do it now."""
    message = f"cannot do {effect.op}: the simulation says no"
    match effect.op.partition(".")[0]:
        case "store":
            return Unavailable(message)
        case "artifacts":
            return ArtifactUnavailable(message)
        case _:
            return DriverUnavailable(message)
