"""What a manifest may say of health, and what rows of outcomes mean."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from tests.builders.objects import NOW, a_manifest

from volant.model.health import (
    HealthCheck,
    Outcomes,
    Probe,
    ProbeKind,
    ProbeOutcome,
    Target,
    active,
    failed_probe,
    health,
    observe,
    resume,
)
from volant.model.plugin import Manifest, Workload
from volant.model.vm import Health

ALL = HealthCheck(startup=Probe(), readiness=Probe(success_threshold=2), liveness=Probe(failure_threshold=2))


def said(**check: Any) -> HealthCheck:
    """A check as a user writes it."""
    return msgspec.json.decode(msgspec.json.encode(check), type=HealthCheck)


def play(check: HealthCheck, *script: tuple[ProbeKind, str], begin: Health | None = None) -> Outcomes:
    """The outcomes after a script of probes and words of +, - and ?."""
    words: dict[str, ProbeOutcome] = {"+": "success", "-": "failure", "?": "unknown"}
    outcomes = resume(check, begin)
    for kind, row in script:
        for word in row:
            outcomes = observe(check, outcomes, kind, words[word], NOW)
    return outcomes


def test_the_defaults_are_those_of_kubernetes() -> None:
    """P3."""
    probe = said(liveness={}).liveness
    assert probe == Probe()
    assert probe is not None
    assert (probe.initial_delay_s, probe.period_s, probe.timeout_s) == (0, 10, 1)
    assert (probe.success_threshold, probe.failure_threshold) == (1, 3)


@pytest.mark.parametrize("kind", ["startup", "liveness"])
def test_only_readiness_may_ask_for_more_than_one_success(kind: str) -> None:
    """P3."""
    with pytest.raises(msgspec.ValidationError, match=f"the success_threshold of a {kind} probe must be 1"):
        said(**{kind: {"success_threshold": 2}})
    assert said(readiness={"success_threshold": 2}).readiness == Probe(success_threshold=2)


@pytest.mark.parametrize(
    "check",
    [
        {"readiness": {"period": 1}},
        {"probe": {}},
        {"readiness": {"period_s": 0}},
        {"readiness": {"timeout_s": 61}},
        {"readiness": {"failure_threshold": 0}},
        {"readiness": {"initial_delay_s": -1}},
        {"port": 0},
        {"type": "grpc"},
        {"path": "healthz"},
        {"path": "/a b"},
        {"path": "/a\r\nHost: elsewhere"},
        {"path": "/a\n"},
        {"path": "/" + "a" * 2000},
    ],
)
def test_what_makes_no_sense_is_refused(check: dict[str, Any]) -> None:
    with pytest.raises(msgspec.ValidationError):
        said(**check)


def test_a_check_that_names_no_probe_is_a_readiness_probe() -> None:
    check = said(path="/healthz")
    assert (check.probe("startup"), check.probe("readiness"), check.probe("liveness")) == (None, Probe(), None)
    assert check.gates
    assert said(liveness={}).probe("readiness") is None
    assert not said(liveness={}).gates
    assert said(startup={}).gates


def test_type_and_port_are_those_of_the_workload_unless_given() -> None:
    assert a_manifest().probe_target() is None
    assert a_manifest(health_check=said(path="/ok")).probe_target() == Target(type="http", port=8080, path="/ok")
    manifest = a_manifest(health_check=said(type="tcp", port=9))
    assert manifest.probe_target() == Target(type="tcp", port=9)
    assert (manifest.ports(), a_manifest().ports()) == ((8080, 9), (8080,))
    alone = a_manifest(workload=Workload(), health_check=said(type="http", port=9))
    assert (alone.probe_target(), alone.ports()) == (Target(type="http", port=9), (9,))
    assert a_manifest(workload=Workload()).ports() == ()


@pytest.mark.parametrize(
    ("workload", "check", "why"),
    [
        (Workload(), {}, "needs a type and a port"),
        (Workload(), {"type": "http"}, "needs a type and a port"),
        (Workload(), {"port": 80}, "needs a type and a port"),
        (Workload(type="tcp", port=80), {"path": "/x"}, "has no path"),
    ],
)
def test_a_check_that_leads_nowhere_is_refused(workload: Workload, check: dict[str, Any], why: str) -> None:
    with pytest.raises(ValueError, match=why):
        a_manifest(workload=workload, health_check=said(**check))


def test_a_manifest_with_a_check_reads_back_as_it_was() -> None:
    manifest = a_manifest(health_check=said(path="/z", startup={"period_s": 1}, liveness={"failure_threshold": 5}))
    assert msgspec.json.decode(msgspec.json.encode(manifest), type=Manifest) == manifest


def test_the_startup_probe_gates_the_others() -> None:
    """P4."""
    fresh = resume(ALL, None)
    assert active(ALL, fresh) == ("startup",)
    assert play(ALL, ("readiness", "+++"), ("liveness", "---")) == fresh
    started = play(ALL, ("startup", "--+"))
    assert active(ALL, started) == ("readiness", "liveness")
    assert play(ALL, ("startup", "+---")) == play(ALL, ("startup", "+"))


def test_before_their_first_result_readiness_is_false_and_liveness_well() -> None:
    """P4."""
    assert health(ALL, resume(ALL, None)) == Health()
    started = health(ALL, play(ALL, ("startup", "+")))
    assert (started.status, started.has_started, started.failed) == ("unknown", True, None)


def test_a_failed_startup_wants_the_guest_ended() -> None:
    """P4."""
    outcomes = play(ALL, ("startup", "---"))
    assert (failed_probe(outcomes), active(ALL, outcomes)) == ("startup", ())
    assert health(ALL, outcomes).status == "unhealthy"
    assert observe(ALL, outcomes, "startup", "success", NOW) == outcomes


def test_a_failed_liveness_wants_the_guest_ended() -> None:
    """P4."""
    outcomes = play(ALL, ("startup", "+"), ("readiness", "++"), ("liveness", "--"))
    assert (failed_probe(outcomes), active(ALL, outcomes)) == ("liveness", ())
    assert health(ALL, outcomes).failed == "liveness"


def test_failed_readiness_wants_nothing() -> None:
    """P4."""
    outcomes = play(ALL, ("startup", "+"), ("readiness", "++" + "-" * 50))
    assert failed_probe(outcomes) is None
    assert active(ALL, outcomes) == ("readiness", "liveness")
    assert health(ALL, outcomes).status == "unhealthy"


@pytest.mark.parametrize(
    ("row", "word"),
    [
        ("", "unknown"),
        ("+", "unknown"),
        ("++", "healthy"),
        ("+-+", "unknown"),
        ("---", "unhealthy"),
        ("--+--", "unknown"),
        ("++--", "healthy"),
        ("++---", "unhealthy"),
        ("++---+", "unhealthy"),
        ("++---++", "healthy"),
        ("++--+--", "healthy"),
        ("+?+", "healthy"),
        ("++--?-", "unhealthy"),
        ("++" + "?" * 20, "healthy"),
        ("?" * 20, "unknown"),
    ],
)
def test_a_verdict_takes_as_many_in_a_row_as_its_threshold_says(row: str, word: str) -> None:
    """P3, P5: two successes, three failures; what is unknown neither counts nor breaks a row."""
    assert health(ALL, play(ALL, ("startup", "+"), ("readiness", row))).status == word


@pytest.mark.parametrize(
    ("check", "script", "word"),
    [
        (HealthCheck(liveness=Probe()), [("liveness", "")], "unknown"),
        (HealthCheck(liveness=Probe()), [("liveness", "+")], "healthy"),
        (HealthCheck(startup=Probe()), [("startup", "--")], "unknown"),
        (HealthCheck(startup=Probe()), [("startup", "--+")], "healthy"),
        (HealthCheck(startup=Probe(), liveness=Probe()), [("startup", "+"), ("liveness", "--")], "healthy"),
        (HealthCheck(readiness=Probe(), liveness=Probe()), [("liveness", "+")], "unknown"),
        (HealthCheck(readiness=Probe(), liveness=Probe()), [("readiness", "+"), ("liveness", "---")], "unhealthy"),
    ],
)
def test_the_word_is_that_of_the_probe_that_decides(
    check: HealthCheck, script: list[tuple[ProbeKind, str]], word: str
) -> None:
    assert health(check, play(check, *script)).status == word


def test_the_time_of_the_last_check_is_of_one_that_said_something() -> None:
    """P5."""
    outcomes = play(HealthCheck(), ("readiness", "+"))
    assert outcomes.last_check == NOW
    assert observe(HealthCheck(), outcomes, "readiness", "unknown", NOW + 5).last_check == NOW
    assert observe(HealthCheck(), outcomes, "readiness", "success", NOW + 5).last_check == NOW + 5
