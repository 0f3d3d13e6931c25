"""Backoff: how long a failed key waits, alone and among others."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.builders.virtual_time import VirtualClock, virtual

from volant.reconcile import Backoff, RetryLimiter, delay


class Middle(random.Random):
    """Chance that always lands in the middle, so that jitter is none."""

    def random(self) -> float:
        return 0.5


def a_backoff(clock: VirtualClock, **knobs: float) -> Backoff[int]:
    unlimited = RetryLimiter(rate_per_s=1e9, burst=10**9)
    return Backoff(clock, random.Random(1), limiter=unlimited, **knobs)


def test_the_delay_doubles_up_to_its_cap() -> None:
    """Q5: min(base·2^failures, cap)."""
    delays = [delay(failures, 1.0, 60.0, 0.2, Middle()) for failures in range(9)]
    assert delays == [1, 2, 4, 8, 16, 32, 60, 60, 60]


@pytest.mark.parametrize("failures", [63, 64, 1023, 1024, 10**6, 10**30])
def test_the_delay_does_not_overflow(failures: int) -> None:
    """Q5: no overflow at large counts."""
    assert delay(failures, 0.005, 1000.0, 0.5, Middle()) == 1000


@given(
    st.integers(-1, 10**7),
    st.floats(0.001, 10),
    st.floats(10, 1000),
    st.floats(0, 0.5),
    st.integers(0, 2**32),
)
def test_the_delay_stays_within_its_jitter(failures: int, base: float, cap: float, jitter: float, seed: int) -> None:
    """Q5, Q7: within ± jitter of the plain delay, whatever the numbers."""
    plain = delay(failures, base, cap, 0.0, random.Random(seed))
    assert base <= plain <= cap
    jittered = delay(failures, base, cap, jitter, random.Random(seed))
    assert plain * (1 - jitter) * 0.999 <= jittered <= plain * (1 + jitter) * 1.001


@pytest.mark.parametrize("failures", [0, 3, 40])
def test_keys_that_failed_together_come_back_apart(failures: int) -> None:
    """Q7: 1,000 keys failing together spread over at least half the window, and evenly."""
    rng = random.Random(7)
    plain = delay(failures, 0.05, 60.0, 0.0, rng)
    delays = sorted(delay(failures, 0.05, 60.0, 0.5, rng) for _ in range(1000))
    assert delays[-1] - delays[0] >= plain / 2
    tenths = [sum(1 for d in delays if plain * (0.5 + n / 10) <= d < plain * (0.6 + n / 10)) for n in range(10)]
    assert max(tenths) < 200, "no tenth of the window gets a fifth of the keys"


@virtual
async def test_each_key_counts_its_own_failures(clock: VirtualClock) -> None:
    """Q5: per-key delays."""
    backoff = a_backoff(clock, base_s=1.0, cap_s=1000.0, jitter=0.0)
    assert [backoff.next_delay(1) for _ in range(4)] == [1, 2, 4, 8]
    assert backoff.next_delay(2) == 1
    assert (backoff.failures(1), backoff.failures(2), backoff.failures(3)) == (4, 1, 0)


@virtual
async def test_success_starts_the_count_again(clock: VirtualClock) -> None:
    """Q8: success forgets: the next failure starts again at base, and nothing is kept."""
    backoff = a_backoff(clock, base_s=1.0, jitter=0.0)
    for key in range(100):
        backoff.next_delay(key)
        backoff.next_delay(key)
        backoff.forget(key)
    assert backoff.next_delay(7) == 1
    assert len(backoff._failures) == 1


@virtual
async def test_retries_of_all_keys_together_are_paced(clock: VirtualClock) -> None:
    """Q6: at most burst + rate·t retries in any t seconds."""
    backoff: Backoff[int] = Backoff(clock, random.Random(3), base_s=0.001, limiter=RetryLimiter(10, 100))
    due = sorted(backoff.next_delay(key) for key in range(1000))
    for seconds in (0.5, 1, 10, 50, 89):
        assert sum(1 for d in due if d <= seconds) <= 100 + 10 * seconds + 1
    assert due[-1] == pytest.approx(90, abs=0.2)


@virtual
async def test_a_retry_waits_for_the_later_of_backoff_and_limiter(clock: VirtualClock) -> None:
    """Q5, Q6: max, not sum: a key whose own delay is the longer one is not held up by the limiter."""
    backoff: Backoff[int] = Backoff(clock, random.Random(1), base_s=3.0, jitter=0.0, limiter=RetryLimiter(1.0, 1))
    assert [backoff.next_delay(key) for key in range(6)] == [3, 3, 3, 3, 4, 5]


def test_the_bucket_fills_again_and_never_beyond_its_burst() -> None:
    """Q6: burst at once, then one every 1/rate seconds; a quiet time refills at most the burst."""
    limiter = RetryLimiter(rate_per_s=10, burst=5)
    assert [limiter.reserve(0.0) for _ in range(7)] == pytest.approx([0, 0, 0, 0, 0, 0.1, 0.2])
    assert [limiter.reserve(1000.0) for _ in range(6)] == pytest.approx([0, 0, 0, 0, 0, 0.1])


def test_debt_of_the_bucket_is_bounded() -> None:
    """Q6: keys that fail at every resync do not pile up hours of waiting for later failures."""
    limiter = RetryLimiter(rate_per_s=10, burst=1, horizon_s=30)
    waits = [limiter.reserve(0.0) for _ in range(10_000)]
    assert max(waits) <= 30
    assert limiter.reserve(31.0) == 0
