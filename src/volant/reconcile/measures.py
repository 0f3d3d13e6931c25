"""Figures about queues and controllers, as values for `/healthz` and metrics (Q13).

Durations are summed, counted and topped rather than put into buckets: a mean over any window and the worst case come
from two readings, and a reading costs nothing while nobody asks.
"""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from volant.reconcile.story import Turn

Place = Literal["idle", "delayed", "waiting", "working"]
"""Of a key: with nobody, to be added at a time, waiting for a worker, with a worker."""


class Spread(Struct):
    """How long something took, over all times it happened. Seconds."""

    count: int = 0
    sum_s: float = 0.0
    max_s: float = 0.0

    def add(self, seconds: float) -> None:
        """One more time."""
        self.count += 1
        self.sum_s += seconds
        self.max_s = max(self.max_s, seconds)

    def snapshot(self) -> Spread:
        """A copy that no longer changes."""
        return Spread(self.count, self.sum_s, self.max_s)


class ControllerStats(Struct, frozen=True, kw_only=True):
    """One controller at one moment. Counters are since the start of the process.

    depth              keys that wait for a worker now
    delayed            keys that will be added at a later time
    oldest_age_s       how long the key at the head of a line has waited; 0 when none waits
    in_flight          turns that run now
    longest_running_s  age of the oldest of them
    unfinished_s       sum of their ages
    reconciles         turns that ended
    failures           turns that raised; a forgiven Conflict is none
    retries            keys queued again because a turn raised, forgiven Conflicts included
    failing            keys whose last turn failed
    latency            from being due to being handed to a worker
    work               from being handed to a worker to the end of the turn
    """

    name: str
    depth: int
    delayed: int
    oldest_age_s: float
    in_flight: int
    longest_running_s: float
    unfinished_s: float
    reconciles: int
    failures: int
    retries: int
    failing: int
    latency: Spread
    work: Spread


class KeyStanding(Struct, frozen=True, kw_only=True):
    """One key of one controller at one moment, for whoever asks why nothing comes of it. Times are monotonic.

    since     since when it waits for a worker, or is with one; None otherwise
    next_at   when it comes round by itself at the latest: when it is due, else with the next resync; None when unknown
    failures  turns in a row that failed; 0 after one that did not
    reason    of the last of these, the class of the error; `message` is empty for a fault of the program
    turns     its story, oldest first
    """

    controller: str
    place: Place
    since: float | None = None
    next_at: float | None = None
    failures: int = 0
    reason: str | None = None
    message: str = ""
    turns: tuple[Turn, ...] = ()
