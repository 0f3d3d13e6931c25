"""What is printed: one block a measurement, then every goal on one line each.

A goal is judged on the median of the rounds. "not met" is a statement, never a failure; what could not be measured is
listed apart, and that is what the exit status tells.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Literal

from bench.figures import Spread, number
from bench.host import Foreign


class NotMeasured(Exception):
    """A measurement could not be made. The sentence says what was in the way."""


@dataclass(frozen=True)
class Goal:
    """A figure beside its limit."""

    measurement: str
    what: str
    figure: Spread
    limit: float
    relation: Literal[">=", "<="]
    unit: str

    @property
    def is_met(self) -> bool:
        """Whether the median keeps the limit."""
        return self.figure.median >= self.limit if self.relation == ">=" else self.figure.median <= self.limit

    def text(self) -> str:
        """`0.42 [0.40-0.45] x   goal >= 0.40 x   met`."""
        verdict = "met" if self.is_met else "NOT MET"
        if self.figure.low < self.limit < self.figure.high:
            verdict += ", but not in every round" if self.is_met else ", but in some rounds"
        return f"{self.figure.text(self.unit)}   goal {self.relation} {number(self.limit)} {self.unit}   {verdict}"


@dataclass
class Report:
    """Prints as it goes and remembers the goals."""

    goals: list[Goal] = field(default_factory=list)
    missing: list[tuple[str, str]] = field(default_factory=list)
    current: str = ""
    foreign: dict[str, float] = field(default_factory=dict)
    _began: float = 0.0
    _others: Foreign = field(default_factory=Foreign)

    def open(self, name: str, title: str) -> None:
        """Start the block of one measurement."""
        self.current, self._began, self._others = name, time.monotonic(), Foreign()
        print(f"\n{name}: {title}", flush=True)

    def close(self) -> None:
        """End the block."""
        share = self.foreign[self.current] = self._others.share()
        print(f"  ({time.monotonic() - self._began:.0f} s, foreign load {share:.0%})", flush=True)

    def row(self, label: str, text: str) -> None:
        """One figure."""
        print(f"  {label:<44} {text}", flush=True)

    def note(self, text: str) -> None:
        """One sentence on how to read the figures."""
        print(f"  - {text}", flush=True)

    def goal(
        self,
        what: str,
        figure: Spread,
        limit: float,
        relation: Literal[">=", "<="],
        unit: str = "x",
    ) -> None:
        """One figure that has a limit."""
        goal = Goal(self.current, what, figure, limit, relation, unit)
        self.goals.append(goal)
        self.row(what, goal.text())

    def fail(self, why: str) -> None:
        """The measurement could not be made."""
        self.missing.append((self.current, why))
        print(f"  NOT MEASURED: {why}", flush=True)

    def summary(self) -> int:
        """Every goal once more; the exit status."""
        print("\nGoals (medians; a goal that is not met fails nothing)")
        for goal in self.goals:
            beside = f"foreign load {self.foreign[goal.measurement]:.0%}"
            print(f"  {goal.measurement:<9} {goal.what:<36} {goal.text()}   ({beside})")
        for name, why in self.missing:
            print(f"  {name:<9} NOT MEASURED: {why}")
        return 1 if self.missing else 0
