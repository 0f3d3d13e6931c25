"""The VM plan where the plugin has a health check: readiness follows the verdict, and a failed probe ends the guest."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace
from tests.builders.guests import (
    HOST,
    LATER,
    an_ended_instance,
    an_instance,
    ready_of,
    report_of,
    step_of,
)
from tests.builders.objects import NOW, a_manifest, a_plugin, a_vm

from volant.controllers.vm.plan import next_step
from volant.controllers.vm.steps import Finalize, Forget, Kill, Launch, RequestStop
from volant.model.health import HealthCheck, Probe
from volant.model.plugin import Plugin
from volant.model.vm import VM, Exit, FailedProbe, Health, HealthWord, is_ready, status_word


def checked(**check: Any) -> Plugin:
    """A plugin with such a health check, its artifacts in the cache."""
    return a_plugin(manifest=a_manifest(health_check=HealthCheck(**check)), ready=True)


PLUGIN = checked()


def a_running_vm(health: Health | None, *, plugin: Plugin = PLUGIN, **spec: Any) -> VM:
    """A VM whose guest was reported, with `health` written since and followed."""
    vm, _ = report_of(a_vm(**spec), an_instance(), plugin=plugin)
    vm = replace(vm, status=replace(vm.status, health=health))
    step = step_of(vm, an_instance(), plugin=plugin)
    return vm if step is None else report_of(vm, an_instance(), plugin=plugin)[0]


def a_failing_vm(failed: FailedProbe = "liveness", **spec: Any) -> VM:
    """A VM whose guest has failed a probe."""
    vm = a_running_vm(Health(status="healthy"), **spec)
    return replace(vm, status=replace(vm.status, health=Health(status="unhealthy", failed=failed)))


def test_a_guest_that_runs_is_not_ready_until_it_is_healthy() -> None:
    """P4."""
    vm, step = report_of(a_vm(), an_instance(), plugin=PLUGIN)
    assert (vm.status.health, step.happening.type) == (Health(), "vm.started")
    assert (ready_of(vm).status, ready_of(vm).reason, status_word(vm)) == ("false", "Starting", "running")
    assert not is_ready(vm)
    assert step_of(vm, an_instance(), plugin=PLUGIN) is None


@pytest.mark.parametrize(
    ("word", "status", "reason"),
    [("healthy", "true", "Running"), ("unhealthy", "false", "Unhealthy"), ("unknown", "false", "Starting")],
)
def test_readiness_follows_the_verdict(word: HealthWord, status: str, reason: str) -> None:
    """P4, L7."""
    vm = a_running_vm(Health(status=word))
    assert (ready_of(vm).status, ready_of(vm).reason) == (status, reason)
    assert step_of(vm, an_instance(), plugin=PLUGIN, now=LATER + 1e6) is None
    assert is_ready(vm) == (word == "healthy")


def test_liveness_alone_holds_nothing_back() -> None:
    """P4."""
    plugin = checked(liveness=Probe())
    for health in (None, Health(), Health(status="healthy")):
        assert is_ready(a_running_vm(health, plugin=plugin))


def test_without_a_health_check_nothing_is_said_of_health() -> None:
    vm, _ = report_of(a_vm(), an_instance())
    assert (vm.status.health, is_ready(vm)) == (None, True)


def test_a_guest_that_cannot_be_probed_says_why() -> None:
    nowhere = replace(HOST, endpoints=())
    step = next_step(a_vm(), PLUGIN, an_instance(), LATER, nowhere)
    assert step is not None
    vm = replace(a_vm(), status=step.status)  # type: ignore[union-attr]
    assert ready_of(vm).message == "cannot probe the guest: its port 8080 is not published"


def test_the_verdict_of_one_guest_is_not_that_of_the_next() -> None:
    """P4."""
    vm = a_running_vm(Health(status="healthy", has_started=True))
    vm, _ = report_of(vm, an_instance(pid=77, started_at=LATER), plugin=PLUGIN)
    assert (vm.status.health, is_ready(vm)) == (Health(), False)
    failed, _ = report_of(a_failing_vm(), an_instance(pid=77, started_at=LATER), plugin=PLUGIN)
    assert failed.status.health == Health()


def test_a_guest_that_ends_by_itself_takes_its_health_along() -> None:
    vm, _ = report_of(a_running_vm(Health(status="healthy")), an_ended_instance(), plugin=PLUGIN)
    assert vm.status.health is None


def test_an_unhealthy_guest_that_has_not_failed_is_left_running() -> None:
    """P4."""
    vm = a_running_vm(Health(status="unhealthy"))
    assert step_of(vm, an_instance(), plugin=PLUGIN) is None


def test_a_failed_guest_is_brought_down_as_any_other() -> None:
    """P4, P7."""
    vm, step = report_of(a_failing_vm(grace_s=10.0), an_instance(), plugin=PLUGIN)
    assert (vm.status.stop_deadline, step.happening.type) == (LATER + 10.0, "vm.updated")
    assert (ready_of(vm).reason, ready_of(vm).message) == ("Stopping", "the guest failed its health check")
    assert status_word(vm) == "restarting"
    assert step_of(vm, an_instance(), plugin=PLUGIN) == RequestStop(5.0)
    assert step_of(vm, an_instance(), plugin=PLUGIN, now=LATER + 10.0) == Kill("GraceExpired")
    assert step_of(vm, an_ended_instance("guest_shutdown"), plugin=PLUGIN) == Forget()


@pytest.mark.parametrize("failed", ["startup", "liveness"])
def test_its_end_is_a_failure_like_any_other(failed: FailedProbe) -> None:
    """P1, P2, P4."""
    vm, _ = report_of(a_failing_vm(failed), an_instance(), plugin=PLUGIN)
    vm, step = report_of(vm, None, plugin=PLUGIN, now=LATER + 3)
    status = vm.status
    assert status.exit == Exit(reason="unhealthy", at=LATER + 3, of=NOW, message=f"its {failed} probe failed")
    assert (status.failures, status.health, status.stop_deadline, status.pid) == (1, None, None, None)
    assert status.next_restart_at is not None
    assert (step.happening.type, step.happening.reason) == ("vm.error", "Unhealthy")
    assert (ready_of(vm).reason, status_word(vm)) == ("Unhealthy", "restarting")
    assert step_of(vm, None, plugin=PLUGIN, now=status.next_restart_at) == Launch(PLUGIN)


def test_its_failure_counts_once_however_often_it_is_looked_at() -> None:
    """P10: the report of the end takes the failure out again."""
    vm, _ = report_of(a_failing_vm(), an_instance(), plugin=PLUGIN)
    vm, _ = report_of(vm, None, plugin=PLUGIN)
    late = an_ended_instance("guest_shutdown")
    assert step_of(vm, late, plugin=PLUGIN) == Forget()
    again, _ = report_of(vm, an_instance(pid=77, started_at=LATER), plugin=PLUGIN)
    assert (again.status.failures, again.status.restarts) == (1, 1)
    assert step_of(again, an_instance(pid=77, started_at=LATER), plugin=PLUGIN) is None


def test_a_failed_guest_that_ends_before_it_is_asked_keeps_its_own_reason() -> None:
    vm, _ = report_of(a_failing_vm(), an_ended_instance("guest_panic"), plugin=PLUGIN)
    assert vm.status.exit is not None
    assert (vm.status.exit.reason, vm.status.failures, vm.status.health) == ("guest_panic", 1, None)


@pytest.mark.parametrize("change", [{"power": "stopped"}, {"restart_nonce": 1}])
def test_what_users_ask_for_meanwhile_makes_it_no_failure(change: dict[str, Any]) -> None:
    vm, _ = report_of(a_failing_vm(), an_instance(), plugin=PLUGIN)
    vm = replace(vm, spec=replace(vm.spec, **change))
    vm, step = report_of(vm, None, plugin=PLUGIN)
    assert (vm.status.failures, vm.status.health, step.happening.type) == (0, None, "vm.stopped")


def test_a_failed_guest_of_a_deleted_vm_is_just_gone() -> None:
    vm, _ = report_of(a_failing_vm(), an_instance(), plugin=PLUGIN)
    vm = replace(vm, meta=replace(vm.meta, deleting_since=NOW))
    assert isinstance(step_of(vm, None, plugin=PLUGIN), Finalize)


def test_a_guest_that_does_not_answer_keeps_its_verdict() -> None:
    """P12."""
    vm = a_running_vm(Health(status="healthy"))
    vm, _ = report_of(vm, an_instance("unknown"), plugin=PLUGIN)
    assert (ready_of(vm).reason, vm.status.health) == ("NotAnswering", Health(status="healthy"))
    vm, _ = report_of(vm, an_instance(), plugin=PLUGIN)
    assert is_ready(vm)


def test_an_adopted_guest_keeps_its_verdict() -> None:
    """P10."""
    vm = a_running_vm(Health(status="unhealthy"))
    other = replace(HOST, node="renamed", endpoints=())
    assert next_step(vm, PLUGIN, an_instance(), LATER, other) is None
