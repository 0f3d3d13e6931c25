"""When to try again what has failed.

    delay = min(base · 2^failures, cap), ± jitter          each key for itself
    wait  = max(delay, the limiter's next free slot)       all retries together

Jitter spreads keys that failed together, so that a host which recovers is not knocked over again. The limiter paces
retries only: what is looked at for the first time, or because it changed, never waits here.

Failures are counted, never remembered: `forget` on success, and nothing is stored.
"""

from __future__ import annotations

import random
from collections.abc import Hashable
from typing import Generic, TypeVar

from volant.clock import Clock

K = TypeVar("K", bound=Hashable)

BASE_S = 0.05
CAP_S = 60.0
JITTER = 0.5
RATE_PER_S = 10.0
BURST = 100
HORIZON_S = 300.0

_DOUBLINGS = 64
"""More doublings than lie between any base and any cap; 2.0**failures itself overflows beyond 1,023."""


def delay(failures: int, base_s: float, cap_s: float, jitter_fraction: float, rng: random.Random) -> float:
    """Seconds to wait after `failures` earlier failures (0: this was the first): min(base·2^failures, cap) ± jitter.

    The result is spread evenly over [1 - jitter_fraction, 1 + jitter_fraction] of that, so it may exceed `cap_s`:
    keys that have all reached the cap must not come back together either.
    """
    plain = min(base_s * 2.0 ** min(max(failures, 0), _DOUBLINGS), cap_s)
    return plain * (1.0 + jitter_fraction * (2.0 * rng.random() - 1.0))


class RetryLimiter:
    """A token bucket that hands out slots in time: `burst` at once, then `rate_per_s` a second.

    Slots reach at most `horizon_s` ahead. Debt without bound would outlive the trouble that made it: a key that fails
    at every resync takes a slot each time, and hours of slots would still stand when the host is well again.
    """

    def __init__(self, rate_per_s: float = RATE_PER_S, burst: int = BURST, horizon_s: float = HORIZON_S) -> None:
        self._gap_s = 1.0 / rate_per_s
        self._slack_s = burst * self._gap_s
        self._horizon_s = horizon_s
        self._paid_until = float("-inf")

    def reserve(self, now: float) -> float:
        """Take the next slot; seconds from `now` until it comes, 0 while the bucket has tokens."""
        paid_until = max(self._paid_until, now - self._slack_s) + self._gap_s
        if paid_until - now > self._horizon_s:
            return self._horizon_s
        self._paid_until = paid_until
        return max(0.0, paid_until - now)


class Backoff(Generic[K]):
    """Counts the failures of each key and says how long it waits."""

    def __init__(
        self,
        clock: Clock,
        rng: random.Random,
        *,
        base_s: float = BASE_S,
        cap_s: float = CAP_S,
        jitter: float = JITTER,
        limiter: RetryLimiter | None = None,
    ) -> None:
        self._clock = clock
        self._rng = rng
        self._base_s = base_s
        self._cap_s = cap_s
        self._jitter = jitter
        self._limiter = limiter or RetryLimiter()
        self._failures: dict[K, int] = {}

    def failures(self, key: K) -> int:
        """How often `key` has failed since it last succeeded."""
        return self._failures.get(key, 0)

    def next_delay(self, key: K) -> float:
        """Count one more failure of `key`; seconds until it may be tried again."""
        failures = self.failures(key)
        self._failures[key] = failures + 1
        own = delay(failures, self._base_s, self._cap_s, self._jitter, self._rng)
        return max(own, self._limiter.reserve(self._clock.monotonic()))

    def forget(self, key: K) -> None:
        """`key` succeeded, or nobody will retry it: its next failure is its first."""
        self._failures.pop(key, None)
