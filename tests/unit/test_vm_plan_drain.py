"""The VM plan while a guest that is about to go serves on."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace
from tests.builders.guests import LATER, PID, an_ended_instance, an_instance, ready_of, report_of, step_of
from tests.builders.objects import a_vm, running_status

from volant.controllers.vm.steps import Finalize, Forget, RequestStop, Wait
from volant.drivers import Instance
from volant.model.vm import VM, Health

ALIVE = [an_instance(), an_instance("unknown")]


def leaving(drain_s: float = 5.0, **spec: Any) -> VM:
    """A running VM on its way out, whose guest is to serve on."""
    return a_vm(deleting=True, status=running_status(pid=PID), grace_s=10.0, drain_s=drain_s, **spec)


@pytest.mark.parametrize("seen", ALIVE)
def test_a_guest_serves_on_until_a_time_that_is_stored_and_is_then_asked_to_stop(seen: Instance) -> None:
    """U12, P7: the grace period begins after that."""
    vm, step = report_of(leaving(), seen)
    assert (vm.status.drain_deadline, vm.status.stop_deadline) == (LATER + 5.0, None)
    assert (ready_of(vm).status, ready_of(vm).reason, step.happening.type) == ("false", "Draining", "vm.updated")
    assert step_of(vm, seen) == Wait(5.0)
    assert step_of(vm, seen, now=LATER + 4) == Wait(1.0)
    vm, step = report_of(vm, seen, now=LATER + 5)
    assert (vm.status.stop_deadline, ready_of(vm).reason) == (LATER + 15.0, "Stopping")
    assert step_of(vm, seen, now=LATER + 5) == RequestStop(5.0)


def test_nobody_serves_on_who_is_to_stay_or_was_asked_to_stop_already() -> None:
    """U12: and a stop that has begun goes on."""
    for vm in (
        leaving(drain_s=0.0),
        leaving(force=True),
        leaving(power="stopped"),
        leaving(restart_nonce=1),
        a_vm(power="stopped", status=running_status(pid=PID), drain_s=5.0),
    ):
        found, _ = report_of(vm, an_instance())
        assert (found.status.drain_deadline, ready_of(found).reason) == (None, "Stopping")
    begun = replace(leaving(), status=running_status(pid=PID, stop_deadline=LATER + 3))
    assert isinstance(step_of(begun, an_instance()), RequestStop)


def test_a_guest_that_fails_its_probes_does_not_serve_on() -> None:
    """U12, P4."""
    vm, _ = report_of(leaving(), an_instance())
    sick = replace(vm, status=replace(vm.status, health=Health(status="unhealthy", failed="liveness")))
    found, _ = report_of(sick, an_instance())
    assert ready_of(found).reason == "Stopping"


def test_whoever_asks_for_its_end_now_ends_the_waiting() -> None:
    """U12: `DELETE /vms/NAME` takes the time out of the spec."""
    vm, _ = report_of(leaving(), an_instance())
    found, _ = report_of(replace(vm, spec=replace(vm.spec, drain_s=0.0)), an_instance())
    assert ready_of(found).reason == "Stopping"


def test_a_guest_that_ends_meanwhile_is_gone() -> None:
    """U12: nothing is waited for that cannot serve."""
    vm, _ = report_of(leaving(), an_instance())
    assert step_of(vm, an_ended_instance()) == Forget()
    assert isinstance(step_of(vm, None), Finalize)


def test_a_clock_that_was_put_back_does_not_lengthen_the_waiting() -> None:
    """U12."""
    vm, _ = report_of(leaving(), an_instance())
    assert step_of(vm, an_instance(), now=LATER - 0.5) == Wait(5.5)
    vm, _ = report_of(vm, an_instance(), now=LATER - 3600)
    assert vm.status.drain_deadline == LATER - 3595
