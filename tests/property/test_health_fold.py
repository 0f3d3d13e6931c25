"""The fold of probe outcomes against the words of Kubernetes' own rules, and against a daemon that forgets."""

from __future__ import annotations

from itertools import groupby

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from volant.model.health import (
    KINDS,
    HealthCheck,
    Outcomes,
    Probe,
    ProbeKind,
    ProbeOutcome,
    active,
    failed_probe,
    health,
    observe,
    resume,
)
from volant.model.vm import Health

probes = st.builds(Probe, failure_threshold=st.integers(1, 4))
readiness = st.builds(Probe, failure_threshold=st.integers(1, 4), success_threshold=st.integers(1, 3))
checks = st.builds(
    HealthCheck, startup=st.none() | probes, readiness=st.none() | readiness, liveness=st.none() | probes
)
outcomes_of = st.sampled_from(["success", "failure", "unknown"])
scripts = st.lists(st.tuples(st.sampled_from(KINDS), outcomes_of), max_size=40)
Script = list[tuple[ProbeKind, ProbeOutcome]]


def run(check: HealthCheck, script: Script, start: Health | None = None) -> list[Outcomes]:
    """Every state on the way, the first included."""
    states = [resume(check, start)]
    for at, (kind, outcome) in enumerate(script):
        states.append(observe(check, states[-1], kind, outcome, float(at)))
    return states


def verdict(probe: Probe, row: list[ProbeOutcome]) -> bool | None:
    """What a probe says after a row of outcomes, by looking at all of it: the last run that was long enough."""
    heard = [outcome for outcome in row if outcome != "unknown"]
    said: bool | None = None
    for outcome, run_of in groupby(heard):
        threshold = probe.success_threshold if outcome == "success" else probe.failure_threshold
        if len(list(run_of)) >= threshold:
            said = outcome == "success"
    return said


@given(checks, scripts)
@settings(max_examples=500, deadline=None)
def test_every_verdict_is_that_of_the_last_row_that_was_long_enough(check: HealthCheck, script: Script) -> None:
    """P3, P4, P5: looked at as a whole, with what comes too early or too late left out."""
    rows: dict[ProbeKind, list[ProbeOutcome]] = {kind: [] for kind in KINDS}
    is_started, is_over = check.startup is None, False
    for kind, outcome in script:
        probe = check.probe(kind)
        if is_over or probe is None or (kind == "startup") == is_started:
            continue
        rows[kind].append(outcome)
        said = verdict(probe, rows[kind])
        is_started = is_started or (kind == "startup" and said is True)
        is_over = kind != "readiness" and said is False
    end = run(check, script)[-1]
    for kind in KINDS:
        probe = check.probe(kind)
        if probe is not None and not (kind == "startup" and is_over and end.startup.verdict is False):
            assert end.streak(kind).verdict == verdict(probe, rows[kind]), kind
    assert (failed_probe(end) is not None) == is_over


@given(checks, scripts, st.integers(0, 40))
@settings(max_examples=300, deadline=None)
def test_unknown_outcomes_make_no_difference(check: HealthCheck, script: Script, at: int) -> None:
    """P5."""
    noisy = [*script[:at], *((kind, "unknown") for kind in KINDS), *script[at:]]
    with_noise, without = run(check, noisy)[-1], run(check, [one for one in script if one[1] != "unknown"])[-1]
    assert replace(with_noise, last_check=None) == replace(without, last_check=None)


@given(checks, st.lists(st.tuples(st.just("readiness"), outcomes_of), max_size=40))
@settings(max_examples=200, deadline=None)
def test_readiness_never_wants_a_guest_ended(check: HealthCheck, script: Script) -> None:
    """P4."""
    assert all(failed_probe(state) is None for state in run(check, script))


@given(checks, scripts)
@settings(max_examples=300, deadline=None)
def test_nothing_is_heard_before_startup_nor_after_a_failure(check: HealthCheck, script: Script) -> None:
    """P4."""
    states = run(check, script)
    for before, after, (kind, _) in zip(states, states[1:], script, strict=False):
        if kind not in active(check, before):
            assert after == before
        if failed_probe(before) is not None:
            assert (after, active(check, before)) == (before, ())


@given(checks, scripts)
@settings(max_examples=400, deadline=None)
def test_what_is_stored_is_taken_up_again_as_it_was(check: HealthCheck, script: Script) -> None:
    """P10: a daemon that forgets the counts says the same of the guest, runs the same probes, and writes nothing."""
    for state in run(check, script):
        again = resume(check, health(check, state))
        assert health(check, again) == health(check, state)
        assert active(check, again) == active(check, state)
        assert failed_probe(again) == failed_probe(state)


@given(checks, scripts)
@settings(max_examples=200, deadline=None)
def test_the_state_does_not_grow(check: HealthCheck, script: Script) -> None:
    """A guest that is well for a year leaves as much behind as one that is well for a minute."""
    for state in run(check, script * 3):
        assert all(state.streak(kind).length <= 4 for kind in KINDS)
