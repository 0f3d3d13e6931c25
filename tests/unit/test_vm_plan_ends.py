"""The VM plan after an end that nobody asked for."""

from __future__ import annotations

import pytest
from msgspec.structs import replace
from tests.builders.guests import (
    LATER,
    PID,
    PLUGIN,
    an_ended_instance,
    an_instance,
    crashed_status,
    ready_of,
    report_of,
    step_of,
)
from tests.builders.objects import NOW, a_vm, running_status

from volant.controllers.vm.restarts import CAP_S, delay_s
from volant.controllers.vm.steps import Forget, Launch, Wait
from volant.model.vm import (
    Exit,
    ExitReason,
    RestartPolicy,
    status_word,
)


def test_a_crash_is_reported_before_its_record_is_forgotten() -> None:
    """V13: no crash of the daemon can lose the reason."""
    seen = an_ended_instance("guest_panic", ran_s=5)
    vm, step = report_of(a_vm(status=running_status(pid=PID)), seen, now=NOW + 6)
    status = vm.status
    assert status.exit == Exit(reason="guest_panic", at=NOW + 5, of=NOW)
    assert (status.pid, status.failures, status.endpoints) == (None, 1, ())
    assert status.next_restart_at == NOW + 6 + delay_s(vm.meta.uid, 1)
    assert (step.happening.type, step.happening.reason) == ("vm.error", "Crashed")
    assert (ready_of(vm).status, ready_of(vm).reason, status_word(vm)) == ("false", "Crashed", "restarting")
    assert step_of(vm, seen, now=NOW + 6) == Forget()


def test_the_next_launch_waits_for_its_time() -> None:
    """P1."""
    vm = a_vm(status=crashed_status())
    at = vm.status.next_restart_at
    assert at is not None
    step = step_of(vm, None, now=at - 0.5)
    assert isinstance(step, Wait)
    assert step.seconds == pytest.approx(0.5)
    assert step_of(vm, None, now=at) == Launch(PLUGIN)


def test_delays_grow_with_every_end_in_a_row() -> None:
    """P1: the count is in the status, so a daemon that is restarted goes on counting (P2)."""
    vm = a_vm(status=crashed_status(failures=3))
    seen = an_ended_instance("guest_panic", started_at=LATER, ran_s=5)
    vm, _ = report_of(vm, seen, now=LATER + 5)
    assert vm.status.failures == 4
    assert vm.status.next_restart_at == LATER + 5 + delay_s(vm.meta.uid, 4)


def test_ten_good_minutes_start_a_new_count() -> None:
    """P1."""
    vm = a_vm(status=running_status(pid=PID, failures=5))
    short, _ = report_of(vm, an_ended_instance(ran_s=599), now=NOW + 600)
    long, _ = report_of(vm, an_ended_instance(ran_s=600), now=NOW + 600)
    assert (short.status.failures, long.status.failures) == (6, 1)


def test_a_clean_end_is_no_error() -> None:
    vm, step = report_of(a_vm(status=running_status(pid=PID)), an_ended_instance("guest_shutdown"))
    assert (step.happening.type, ready_of(vm).reason) == ("vm.stopped", "Restarting")
    assert vm.status.next_restart_at is not None
    assert status_word(vm) == "restarting"


def test_a_guest_that_ends_during_its_start_counts_as_well() -> None:
    vm, _ = report_of(a_vm(), an_ended_instance("launch_failed", ran_s=0))
    assert vm.status.failures == 1
    vm, _ = report_of(vm, an_ended_instance("launch_failed", ran_s=0, started_at=LATER))
    assert vm.status.failures == 2


def test_a_guest_without_a_trace_has_ended_for_an_unknown_reason() -> None:
    """P10: dead ones are reported as what they are."""
    vm, step = report_of(a_vm(status=running_status(pid=PID)), None)
    end = vm.status.exit
    assert end is not None
    assert (end.reason, end.of) == ("unknown", NOW)
    assert end.message == "cannot tell how the guest ended: its process and its record are gone"
    assert (step.happening.type, vm.status.failures) == ("vm.error", 1)
    assert isinstance(step_of(vm, None), Wait)


def test_an_exit_whose_reason_is_lost_is_reported_as_unknown() -> None:
    vm, _ = report_of(a_vm(status=running_status(pid=PID)), an_instance("exited"))
    assert vm.status.exit is not None
    assert (vm.status.exit.reason, vm.status.exit.of) == ("unknown", NOW)
    assert step_of(vm, an_instance("exited")) == Forget()


def test_an_end_whose_start_is_lost_is_reported_once() -> None:
    seen = an_instance("exited", started_at=None, exit=Exit(reason="killed", at=NOW + 9))
    vm, _ = report_of(a_vm(status=running_status(pid=PID)), seen)
    assert vm.status.failures == 1
    assert step_of(vm, seen) == Forget()


def test_the_remains_of_a_launch_that_never_came_to_be_are_cleared_away() -> None:
    remains = an_instance("exited", started_at=None, booted=None)
    assert step_of(a_vm(), remains) == Forget()


def test_the_end_of_a_guest_that_was_seen_after_an_earlier_end_is_reported() -> None:
    """An answer that was wrong once must not hide the true end later."""
    status = running_status(pid=PID, exit=Exit(reason="unknown", at=NOW + 1, of=NOW))
    vm, _ = report_of(a_vm(status=status), an_ended_instance("guest_panic"))
    assert vm.status.exit is not None
    assert vm.status.exit.reason == "guest_panic"


@pytest.mark.parametrize(
    ("policy", "reason", "runs_again"),
    [
        ("always", "guest_shutdown", True),
        ("always", "guest_panic", True),
        ("always", "unknown", True),
        ("on_failure", "guest_shutdown", False),
        ("on_failure", "guest_panic", True),
        ("on_failure", "guest_reset", True),
        ("on_failure", "killed", True),
        ("on_failure", "launch_failed", True),
        ("on_failure", "unknown", True),
        ("never", "guest_shutdown", False),
        ("never", "guest_panic", False),
        ("never", "unknown", False),
    ],
)
def test_the_policy_is_honoured_by_how_the_guest_ended(
    policy: RestartPolicy, reason: ExitReason, runs_again: bool
) -> None:
    """P8."""
    seen = an_ended_instance(reason)
    vm, _ = report_of(a_vm(status=running_status(pid=PID), restart_policy=policy), seen)
    assert (vm.status.next_restart_at is not None) == runs_again
    assert (ready_of(vm).reason == "Exited") != runs_again
    assert step_of(vm, seen) == Forget()
    assert isinstance(step_of(vm, None, now=LATER + 1e4), Launch) == runs_again


def test_a_vm_that_is_held_down_rests() -> None:
    """P8, L7."""
    vm = a_vm(restart_policy="never", status=running_status(pid=PID))
    vm, _ = report_of(vm, an_ended_instance())
    assert step_of(vm, None) is None
    assert status_word(vm) == "error"
    vm = replace(vm, spec=replace(vm.spec, restart_nonce=1))
    assert isinstance(step_of(vm, None), Launch)


def test_a_policy_that_changes_is_followed() -> None:
    """P8, level-triggered: neither a wait nor a hold outlives its policy."""
    waits = a_vm(status=crashed_status(), restart_policy="never")
    held, _ = report_of(waits, None)
    assert (held.status.next_restart_at, ready_of(held).reason) == (None, "Exited")
    assert isinstance(step_of(replace(held, spec=replace(held.spec, restart_policy="always"))), Launch)


def test_a_start_that_is_asked_for_does_not_wait() -> None:
    vm = a_vm(status=crashed_status(failures=7), restart_nonce=1)
    assert isinstance(step_of(vm, None, now=NOW + 5.1), Launch)


def test_a_clock_that_was_put_back_does_not_lengthen_the_wait() -> None:
    """P2."""
    vm = a_vm(status=crashed_status(failures=7))
    earlier = NOW - 86_400
    vm, _ = report_of(vm, None, now=earlier)
    at = vm.status.next_restart_at
    assert at is not None
    assert at <= earlier + CAP_S * 1.2
    assert isinstance(step_of(vm, None, now=earlier), Wait)


def test_a_spec_change_while_waiting_is_observed_and_the_wait_goes_on() -> None:
    vm = a_vm(status=crashed_status(), meta={"generation": 2})
    at = vm.status.next_restart_at
    vm, step = report_of(vm, None, now=NOW + 5.1)
    assert (vm.status.next_restart_at, vm.status.observed_generation) == (at, 2)
    assert step.happening.type == "vm.updated"
    assert isinstance(step_of(vm, None, now=NOW + 5.1), Wait)


def test_no_end_is_counted_twice_however_often_it_is_seen() -> None:
    seen = an_ended_instance()
    vm, _ = report_of(a_vm(status=running_status(pid=PID)), seen)
    assert [step_of(vm, seen, now=LATER + s) for s in (0, 1, 1e4)] == [Forget()] * 3


def test_messages_of_conditions_hold_nothing_volatile() -> None:
    """V10: two crashes of the same kind make the same condition."""
    first = crashed_status()
    seen = an_ended_instance(started_at=LATER)
    end = Exit(reason="guest_panic", at=LATER + 5, message="not syncing: stack is corrupted in 0xffff0123")
    vm, step = report_of(a_vm(status=first), replace(seen, exit=end), now=LATER + 5)
    assert step.happening.message == end.message
    assert ready_of(vm).message == "the guest's kernel panicked"
    assert vm.status.conditions == first.conditions
