"""The VM plan on the way down: a guest has to go, or has gone as asked."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace
from tests.builders.guests import (
    LATER,
    PID,
    an_ended_instance,
    an_instance,
    ready_of,
    report_of,
    step_of,
)
from tests.builders.objects import NOW, a_vm, running_status

from volant.controllers.vm.steps import Finalize, Forget, Kill, Launch, RequestStop
from volant.drivers import Instance
from volant.model.vm import (
    VM,
    Exit,
    RestartPolicy,
    status_word,
)

ALIVE = [an_instance(), an_instance("starting"), an_instance("unknown")]


def unwanted(why: str, **spec: Any) -> VM:
    """A running VM that has to go."""
    status = running_status(pid=PID)
    if why == "stopped":
        return a_vm(power="stopped", status=status, **spec)
    if why == "deleting":
        return a_vm(deleting=True, status=status, **spec)
    return a_vm(restart_nonce=1, status=status, **spec)


@pytest.mark.parametrize("seen", ALIVE)
@pytest.mark.parametrize("why", ["stopped", "deleting", "restart"])
def test_the_deadline_is_stored_before_the_guest_is_asked(why: str, seen: Instance) -> None:
    """P7."""
    vm, step = report_of(unwanted(why, grace_s=10.0), seen)
    assert vm.status.stop_deadline == LATER + 10.0
    assert (ready_of(vm).reason, step.happening.type) == ("Stopping", "vm.updated")
    assert step_of(vm, seen) == RequestStop(5.0)


def test_the_request_is_repeated_until_the_deadline() -> None:
    vm, _ = report_of(unwanted("stopped", grace_s=12.0), an_instance())
    assert step_of(vm, an_instance(), now=LATER + 5) == RequestStop(5.0)
    assert step_of(vm, an_instance(), now=LATER + 10) == RequestStop(2.0)
    assert step_of(vm, an_instance(), now=LATER + 12) == Kill("GraceExpired")


def test_a_deadline_does_not_begin_anew() -> None:
    """P7: whoever looks, and however often, finds the same deadline."""
    vm, _ = report_of(unwanted("deleting", grace_s=30.0), an_instance())
    for later in (0.0, 3.0, 29.0):
        assert isinstance(step_of(vm, an_instance(), now=LATER + later), RequestStop)
    assert step_of(vm, an_instance(), now=LATER + 30) == Kill("GraceExpired")


def test_a_clock_that_was_put_back_does_not_lengthen_the_grace() -> None:
    """P7."""
    vm, _ = report_of(unwanted("stopped", grace_s=10.0), an_instance())
    earlier = LATER - 3600
    vm, _ = report_of(vm, an_instance(), now=earlier)
    assert vm.status.stop_deadline == earlier + 10.0
    assert isinstance(step_of(vm, an_instance(), now=earlier), RequestStop)


def test_a_clock_that_is_corrected_a_little_writes_nothing() -> None:
    vm, _ = report_of(unwanted("stopped", grace_s=10.0), an_instance())
    assert step_of(vm, an_instance(), now=LATER - 0.5) == RequestStop(5.0)


@pytest.mark.parametrize("why", ["stopped", "deleting", "restart"])
def test_force_kills_without_asking(why: str) -> None:
    vm, _ = report_of(unwanted(why, force=True), an_instance())
    assert vm.status.stop_deadline == LATER
    assert step_of(vm, an_instance()) == Kill("Forced")


def test_force_cuts_a_stop_short_that_has_begun() -> None:
    vm, _ = report_of(unwanted("stopped"), an_instance())
    forced = replace(vm, spec=replace(vm.spec, force=True))
    assert step_of(forced, an_instance()) == Kill("Forced")


def test_without_grace_the_guest_is_killed_at_once() -> None:
    vm, _ = report_of(unwanted("stopped", grace_s=0.0), an_instance())
    assert step_of(vm, an_instance()) == Kill("GraceExpired")


def test_a_stop_that_has_begun_is_finished_although_the_vm_shall_run_again() -> None:
    vm, _ = report_of(unwanted("stopped"), an_instance())
    started = replace(vm, spec=replace(vm.spec, power="running", restart_nonce=1))
    assert step_of(started, an_instance()) == RequestStop(5.0)
    assert step_of(started, an_ended_instance("guest_shutdown")) == Forget()
    started, step = report_of(started, None)
    assert (started.status.failures, step.happening.type) == (0, "vm.stopped")
    assert isinstance(step_of(started, None), Launch)


def test_an_end_that_was_asked_for_is_cleared_away_and_then_reported() -> None:
    vm, _ = report_of(unwanted("stopped"), an_instance())
    assert step_of(vm, an_ended_instance("killed")) == Forget()
    vm, step = report_of(vm, None)
    status = vm.status
    assert (status.pid, status.booted, status.stop_deadline) == (None, None, None)
    assert status.exit == Exit(reason="asked", at=LATER, of=NOW)
    assert (status.endpoints, status.accelerator, status.started_at) == ((), None, None)
    assert (step.happening.type, status_word(vm)) == ("vm.stopped", "stopped")
    assert step_of(vm, None) is None


def test_a_guest_that_vanishes_while_it_stops_has_stopped() -> None:
    vm, _ = report_of(unwanted("stopped"), an_instance())
    vm, step = report_of(vm, None)
    assert vm.status.exit is not None
    assert (vm.status.exit.reason, step.happening.type) == ("asked", "vm.stopped")


def test_a_restart_goes_down_and_up_without_counting_a_crash() -> None:
    vm, _ = report_of(unwanted("restart"), an_instance())
    assert status_word(vm) == "restarting"
    vm, step = report_of(vm, None)
    assert (step.happening.type, ready_of(vm).reason, status_word(vm)) == ("vm.stopped", "Restarting", "restarting")
    assert isinstance(step_of(vm, None), Launch)
    vm, _ = report_of(vm, an_instance(pid=77, started_at=LATER, restart_nonce=1))
    assert (vm.status.restarts, vm.status.failures, status_word(vm)) == (1, 0, "running")


@pytest.mark.parametrize("policy", ["never", "on_failure", "always"])
def test_a_restart_that_was_asked_for_overrides_the_policy(policy: RestartPolicy) -> None:
    """P8."""
    vm, _ = report_of(unwanted("restart", restart_policy=policy), an_instance())
    vm, _ = report_of(vm, None)
    assert isinstance(step_of(vm, None), Launch)


def test_a_deleting_vm_is_cleared_away_without_a_report() -> None:
    vm, _ = report_of(unwanted("deleting"), an_instance())
    assert step_of(vm, an_ended_instance("killed")) == Forget()
    assert isinstance(step_of(vm, None), Finalize)


def test_a_guest_that_ended_by_itself_just_before_its_stop_keeps_its_reason() -> None:
    vm, step = report_of(a_vm(power="stopped", status=running_status(pid=PID)), an_ended_instance("guest_panic"))
    assert vm.status.exit is not None
    assert (vm.status.exit.reason, vm.status.failures, step.happening.type) == ("guest_panic", 0, "vm.stopped")
    assert step_of(vm, an_ended_instance("guest_panic")) == Forget()
    assert step_of(vm, None) is None


def test_a_guest_that_vanished_before_its_stop_has_stopped() -> None:
    vm, step = report_of(a_vm(power="stopped", status=running_status(pid=PID)), None)
    assert vm.status.exit is not None
    assert (vm.status.exit.reason, step.happening.type) == ("unknown", "vm.stopped")
    assert step_of(vm, None) is None
