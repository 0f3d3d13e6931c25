"""When a guest is probed, where, and what is written of it."""

from __future__ import annotations

from collections import Counter

import pytest
from msgspec.structs import replace
from tests.builders.objects import NOW, a_vm, running_status, uid_of

from volant.controllers.health import plan
from volant.controllers.health.plan import Probed, Watch
from volant.model.health import HealthCheck, Probe, ProbeKind, ProbeOutcome, Target, resume
from volant.model.vm import VM, Booted, Endpoint, Health, VMConfig, VMStatus

CHECK = HealthCheck(readiness=Probe(period_s=10.0), liveness=Probe(period_s=4.0))
HERE = Endpoint(address="127.88.0.10", port=8080, guest_port=80)


def a_guest(name: str = "web-1", **status: object) -> VM:
    """A VM whose guest runs."""
    said = {"health": Health(), "endpoints": (HERE,), **status}
    return a_vm(name, address="127.88.0.10", status=running_status(**said))  # type: ignore[arg-type]


def a_watch(check: HealthCheck = CHECK, *, name: str = "web-1", ran_s: float = 0.0, at: float = 0.0) -> Watch:
    """A watch on a guest that has run for so long."""
    return plan.begin(a_guest(name), check, NOW + ran_s, at)


def probe(
    watch: Watch,
    check: HealthCheck,
    kind: ProbeKind,
    at: float,
    *,
    outcome: ProbeOutcome = "success",
    took_s: float = 0.0,
) -> Watch:
    """The watch after a probe."""
    return plan.after(watch, check, Probed(kind, outcome, at, at + took_s), NOW + at + took_s)


def next_at(watch: Watch, check: HealthCheck, now: float) -> tuple[ProbeKind, float]:
    """Which probe is next, and when, for somebody who looks at `now`."""
    due = plan.next_probe(plan.caught_up(watch, check, now), check)
    assert due is not None
    return due.kind, due.at


def test_first_probes_are_spread_over_their_period() -> None:
    """P6."""
    firsts = [next_at(a_watch(HealthCheck(), name=f"web-{n}"), HealthCheck(), 0.0)[1] for n in range(1000)]
    assert min(firsts) >= 0.0
    assert max(firsts) < 10.0
    assert len(set(firsts)) == 1000
    assert all(60 <= count <= 140 for count in Counter(int(at) for at in firsts).values())


def test_the_place_of_a_guest_hangs_on_its_uid() -> None:
    """P6: the same after a restart of the daemon, and another for each probe."""
    assert plan.share(uid_of("web-1"), "readiness") == plan.share(uid_of("web-1"), "readiness")
    assert plan.share(uid_of("web-1"), "readiness") != plan.share(uid_of("web-1"), "liveness")


@pytest.mark.parametrize(("ran_s", "wait_s"), [(0.0, 30.0), (20.0, 10.0), (1e6, 0.0), (-1e6, 30.0)])
def test_the_initial_delay_counts_from_the_start_of_the_guest(ran_s: float, wait_s: float) -> None:
    """P3: a daemon that is restarted does not wait again; a clock that was put back makes nobody wait for hours."""
    check = HealthCheck(readiness=Probe(initial_delay_s=30.0))
    place_s = plan.share(uid_of("web-1"), "readiness") * 10.0
    watch = a_watch(check, ran_s=ran_s, at=100.0)
    assert next_at(watch, check, 100.0)[1] == pytest.approx(100.0 + wait_s + place_s)


def test_a_guest_whose_start_is_not_known_counts_as_started_now() -> None:
    check = HealthCheck(readiness=Probe(initial_delay_s=30.0))
    watch = plan.begin(a_guest(started_at=None), check, NOW, 0.0)
    assert 30.0 <= next_at(watch, check, 0.0)[1] < 40.0


def test_probes_keep_their_grid() -> None:
    """P6: however late one is sent, or however long it takes."""
    watch, check = a_watch(HealthCheck()), HealthCheck()
    _, first = next_at(watch, check, 0.0)
    for nth, (late_s, took_s) in enumerate([(0.0, 0.0), (3.0, 0.0), (-0.0005, 0.5), (0.0, 9.0)], start=1):
        kind, at = next_at(watch, check, first)
        watch = probe(watch, check, kind, at + late_s, took_s=took_s)
        assert next_at(watch, check, at)[1] == pytest.approx(first + 10.0 * nth)


def test_what_a_pause_has_held_up_is_left_out() -> None:
    """P6."""
    watch, check = a_watch(HealthCheck()), HealthCheck()
    _, first = next_at(watch, check, 0.0)
    assert next_at(watch, check, first + 0.9)[1] == first
    assert next_at(watch, check, first + 1.1)[1] == pytest.approx(first + 10.0)
    assert next_at(watch, check, first + 10.1)[1] == pytest.approx(first + 20.0)
    assert next_at(watch, check, first + 999.0)[1] == pytest.approx(first + 1000.0)


def test_after_a_pause_probes_go_on() -> None:
    """P6: one that was left out is not left out again, even if it is late again."""
    watch, check = a_watch(HealthCheck()), HealthCheck()
    _, first = next_at(watch, check, 0.0)
    later = plan.caught_up(watch, check, first + 999.0)
    for late_s in (0.0, 5.0, 50.0):
        assert next_at(later, check, first + 1000.0 + late_s)[1] == pytest.approx(first + 1000.0)
    again = probe(later, check, "readiness", first + 1005.0)
    assert next_at(again, check, first + 1005.0)[1] == pytest.approx(first + 1010.0)


def test_what_startup_holds_back_is_not_moved() -> None:
    """P4: however long that takes, it is due at once afterwards."""
    check = HealthCheck(startup=Probe(), readiness=Probe())
    watch = a_watch(check)
    moved = plan.caught_up(watch, check, 999.0)
    assert (moved.due["readiness"], moved.due["startup"] > 999.0) == (watch.due["readiness"], True)


def test_a_slow_probe_does_not_starve_the_other() -> None:
    check = HealthCheck(readiness=Probe(period_s=1.0), liveness=Probe(period_s=1.0))
    watch, now = a_watch(check), 5.0
    watch = replace(watch, free_at=now)
    sent: Counter[ProbeKind] = Counter()
    for _ in range(40):
        kind, at = next_at(watch, check, now)
        now = max(now, at)
        sent[kind] += 1
        watch = probe(watch, check, kind, now, took_s=3.0)
        now += 3.0
    assert sent == {"readiness": 20, "liveness": 20}


def test_what_startup_held_back_is_due_when_it_succeeds() -> None:
    """P4."""
    check = HealthCheck(startup=Probe(period_s=1.0, failure_threshold=99), readiness=Probe())
    watch, now = a_watch(check), 0.0
    for _ in range(50):
        kind, now = next_at(watch, check, now)
        assert kind == "startup"
        watch = probe(watch, check, kind, now, outcome="failure")
    kind, now = next_at(watch, check, now)
    watch = probe(watch, check, kind, now)
    assert next_at(watch, check, now) == ("readiness", now)


def test_a_guest_that_has_to_go_is_not_probed() -> None:
    watch = a_watch()
    for at in (1.0, 5.0, 9.0):
        watch = probe(watch, CHECK, "liveness", at, outcome="failure")
    assert plan.next_probe(watch, CHECK) is None


def test_an_unknown_outcome_is_asked_again_at_the_next_turn() -> None:
    """P5."""
    watch = a_watch()
    kind, at = next_at(watch, CHECK, 0.0)
    after = probe(watch, CHECK, kind, at, outcome="unknown")
    assert after.outcomes == watch.outcomes
    assert after.due[kind] > at


@pytest.mark.parametrize(
    ("why", "is_probed"),
    [
        ("running", True),
        ("no guest", False),
        ("deleting", False),
        ("power off", False),
        ("stopping", False),
        ("restart asked", False),
        ("failed", False),
        ("unhealthy", True),
    ],
)
def test_only_a_guest_that_is_to_stay_is_probed(why: str, is_probed: bool) -> None:
    vms = {
        "running": a_guest(),
        "no guest": a_vm(status=VMStatus()),
        "deleting": a_vm(deleting=True, status=running_status()),
        "power off": a_vm(power="stopped", status=running_status()),
        "stopping": a_guest(stop_deadline=NOW + 5),
        "restart asked": a_vm(status=running_status(), restart_nonce=1),
        "failed": a_guest(health=Health(status="unhealthy", failed="liveness")),
        "unhealthy": a_guest(health=Health(status="unhealthy")),
    }
    assert plan.is_probed(vms[why]) == is_probed


def test_another_pid_or_start_is_another_guest() -> None:
    """P4."""
    vm = a_guest()
    watch = plan.begin(vm, CHECK, NOW, 0.0)
    assert plan.is_of(watch, vm)
    for change in ({"pid": 7}, {"started_at": NOW + 1}):
        assert not plan.is_of(watch, replace(vm, status=replace(vm.status, **change)))
    assert not plan.is_of(watch, replace(vm, meta=replace(vm.meta, uid=uid_of("another"))))


def test_only_the_vm_s_own_address_is_probed() -> None:
    """D9: also if the status should name another."""
    target = Target(type="http", port=80)
    assert plan.where(a_guest(), target) == HERE
    assert plan.where(a_guest(endpoints=(replace(HERE, address="127.0.0.1"),)), target) is None
    assert plan.where(a_guest(), replace(target, port=81)) is None
    assert plan.where(a_guest(endpoints=()), target) is None


def test_a_guest_is_probed_where_it_is_though_the_next_one_will_be_elsewhere() -> None:
    """A change of the network mode hands out another address, which waits for the restart."""
    target = Target(type="http", port=80, path="/")
    vm = a_guest()
    booted = Booted(config=VMConfig(), restart_nonce=0, address=HERE.address)
    moved = replace(vm, spec=replace(vm.spec, address="10.127.0.10"), status=replace(vm.status, booted=booted))
    assert plan.where(moved, target) == HERE


def test_nothing_is_written_while_nothing_changes() -> None:
    """L7: the time of a check alone is no news."""
    stored = Health(status="healthy", last_check=NOW)
    vm = a_guest(health=stored)
    assert plan.report(vm, CHECK, resume(CHECK, stored)) is None
    assert plan.report(vm, CHECK, replace(resume(CHECK, stored), last_check=NOW + 99)) is None
    assert plan.report(a_guest(health=None), CHECK, resume(CHECK, None)) is None


def test_a_flip_is_told() -> None:
    watch = a_watch(HealthCheck())
    up = plan.report(a_guest(), HealthCheck(), probe(watch, HealthCheck(), "readiness", 3.0).outcomes)
    assert up is not None
    assert up.status.health == Health(status="healthy", last_check=NOW + 3)
    assert replace(up.status, health=Health()) == a_guest().status
    said = up.happening
    assert (said.type, said.actor, said.reason) == ("vm.health_changed", "health", "Healthy")


def test_what_changes_without_a_flip_is_told_as_an_update() -> None:
    check = HealthCheck(startup=Probe(), readiness=Probe(), liveness=Probe(failure_threshold=1))
    started = probe(a_watch(check), check, "startup", 1.0)
    report = plan.report(a_guest(), check, started.outcomes)
    assert report is not None
    assert (report.happening.type, report.happening.message) == ("vm.updated", "its startup probe succeeded")
    was = Health(status="unhealthy", has_started=True)
    failed = probe(replace(started, outcomes=resume(check, was)), check, "liveness", 2.0, outcome="failure")
    report = plan.report(a_guest(health=was), check, failed.outcomes)
    assert report is not None
    assert report.status.health == Health(status="unhealthy", has_started=True, failed="liveness", last_check=NOW + 2)
    assert (report.happening.type, report.happening.message) == ("vm.updated", "its liveness probe failed")
