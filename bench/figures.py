"""Statistics: medians with their range, and percentiles. Nothing is averaged, because one hiccup would own the mean."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple


class Spread(NamedTuple):
    """The median of some rounds, and the rounds furthest from it."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Iterable[float]) -> Spread:
        """The spread of at least one value."""
        ordered = sorted(values)
        if not ordered:
            raise ValueError("cannot summarise no rounds at all")
        middle = len(ordered) // 2
        median = ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2
        return cls(median, ordered[0], ordered[-1])

    def text(self, unit: str = "") -> str:
        """`4,030 [3,600-5,500] req/s`."""
        body = f"{number(self.median)} [{number(self.low)}-{number(self.high)}]"
        return f"{body} {unit}" if unit else body


def ratios(ours: Sequence[float], theirs: Sequence[float]) -> Spread:
    """Ours over theirs, round by round: neighbours in time share their noise, so the pairs vary less than the sides."""
    return Spread.of(a / b for a, b in zip(ours, theirs, strict=True) if b)


def differences(ours: Sequence[float], theirs: Sequence[float]) -> Spread:
    """Ours minus theirs, round by round."""
    return Spread.of(a - b for a, b in zip(ours, theirs, strict=True))


def percentile(values: Iterable[float], share: float) -> float:
    """The nearest-rank percentile; `share` 0.99 is p99. NaN for no values."""
    ordered = sorted(values)
    if not ordered:
        return math.nan
    return ordered[min(len(ordered) - 1, max(0, math.ceil(share * len(ordered)) - 1))]


def number(value: float) -> str:
    """Three digits that matter: 0.42, 12.5, 4,030."""
    size = abs(value)
    if math.isnan(value):
        return "-"
    if size >= 1000:
        return f"{value:,.0f}"
    if size >= 100:
        return f"{value:.0f}"
    if size >= 10:
        return f"{value:.1f}"
    return f"{value:.2f}" if size >= 0.1 or not size else f"{value:.3f}"
