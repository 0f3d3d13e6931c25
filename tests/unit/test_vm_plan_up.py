"""The VM plan on the way up: nothing is there, or a guest is and may stay."""

from __future__ import annotations

import pytest
from msgspec.structs import replace
from tests.builders.guests import (
    HOST,
    LATER,
    PID,
    PLUGIN,
    an_instance,
    crashed_status,
    ready_of,
    report_of,
    step_of,
)
from tests.builders.objects import NOW, a_plugin, a_vm, running_status, stopped_status

from volant.controllers.vm.plan import next_step
from volant.controllers.vm.steps import Finalize, Launch, Wait
from volant.model.conditions import Condition
from volant.model.plugin import Plugin, PluginStatus
from volant.model.vm import (
    Booted,
    Endpoint,
    NetworkConfig,
    Resources,
    VMConfig,
    VMStatus,
    is_ready,
    status_word,
)


def test_a_vm_that_should_run_is_launched() -> None:
    assert step_of(a_vm()) == Launch(PLUGIN)


def test_a_disabled_plugin_does_not_keep_existing_vms_down() -> None:
    disabled = replace(PLUGIN, spec=replace(PLUGIN.spec, enabled=False))
    assert step_of(a_vm(), plugin=disabled) == Launch(disabled)


def test_a_vm_without_its_plugin_says_so() -> None:
    vm, step = report_of(a_vm(), plugin=None)
    assert (ready_of(vm).status, ready_of(vm).reason, step.happening.type) == ("false", "PluginMissing", "vm.error")
    assert status_word(vm) == "error"
    assert step_of(vm, plugin=None) is None


def test_a_vm_waits_for_the_artifacts_of_its_plugin() -> None:
    vm, step = report_of(a_vm(), plugin=a_plugin())
    assert (ready_of(vm).reason, step.happening.type) == ("PluginNotReady", "vm.updated")
    assert status_word(vm) == "starting"
    assert step_of(vm, plugin=a_plugin()) is None
    assert step_of(vm) == Launch(PLUGIN)


def test_a_vm_whose_plugin_has_failed_says_so() -> None:
    refused = Condition(type="ready", status="false", reason="ArtifactRefused")
    failed = a_plugin(status=PluginStatus(conditions=(refused,)))
    vm, step = report_of(a_vm(), plugin=failed)
    assert (ready_of(vm).reason, step.happening.type) == ("PluginFailed", "vm.error")
    assert status_word(vm) == "error"
    assert step_of(vm, plugin=failed) is None


def test_a_plugin_that_may_come_right_is_waited_for() -> None:
    unavailable = Condition(type="ready", status="false", reason="ArtifactUnavailable")
    vm, _ = report_of(a_vm(), plugin=a_plugin(status=PluginStatus(conditions=(unavailable,))))
    assert ready_of(vm).reason == "PluginNotReady"


def test_a_deleting_vm_with_nothing_left_is_finalized() -> None:
    """D2: the row goes last."""
    step = step_of(a_vm(deleting=True))
    assert isinstance(step, Finalize)
    assert step.happening.type == "vm.deleted"


@pytest.mark.parametrize("status", [VMStatus(), running_status(), crashed_status(), stopped_status()])
@pytest.mark.parametrize("plugin", [PLUGIN, None])
def test_a_deleting_vm_is_never_launched(status: VMStatus, plugin: Plugin | None) -> None:
    """D10."""
    vm = a_vm(deleting=True, status=status, restart_nonce=7)
    assert isinstance(step_of(vm, plugin=plugin), Finalize)


def test_a_stopped_vm_is_reported_and_then_left_alone() -> None:
    vm, step = report_of(a_vm(power="stopped"))
    assert (ready_of(vm).reason, step.happening.type, status_word(vm)) == ("Stopped", "vm.stopped", "stopped")
    assert step_of(vm) is None


def test_a_stop_ends_the_wait_of_a_crash_loop() -> None:
    vm, step = report_of(a_vm(power="stopped", status=crashed_status(failures=4)))
    status = vm.status
    assert (status.next_restart_at, status.failures, status.booted) == (None, 0, None)
    assert step.happening.type == "vm.stopped"
    assert status.exit is not None
    assert status.exit.reason == "guest_panic"


def test_a_spec_change_of_a_stopped_vm_is_observed_once() -> None:
    """V6."""
    vm = a_vm(power="stopped", status=stopped_status(), meta={"generation": 3})
    vm, step = report_of(vm)
    assert (vm.status.observed_generation, step.happening.type) == (3, "vm.updated")
    assert step_of(vm) is None


def test_a_guest_that_runs_is_reported() -> None:
    vm, step = report_of(a_vm(meta={"generation": 2}), an_instance())
    status = vm.status
    assert (status.pid, status.started_at, status.node) == (PID, NOW, "host-1")
    assert (status.accelerator, status.isolation) == ("simulated", "none")
    assert status.endpoints == (Endpoint(address="127.88.0.10", port=8080, guest_port=8080),)
    assert (status.observed_generation, status.restarts) == (2, 0)
    assert (step.happening.type, step.happening.actor) == ("vm.started", "vm")
    assert is_ready(vm)


def test_a_guest_that_runs_as_reported_needs_nothing() -> None:
    """L7."""
    vm, _ = report_of(a_vm(), an_instance())
    assert step_of(vm, an_instance()) is None
    assert step_of(vm, an_instance(), now=LATER + 1e6) is None


def test_an_adopted_guest_is_not_written_about() -> None:
    """P10: neither another node name, nor another accelerator, nor a lost plugin makes it another guest."""
    vm, _ = report_of(a_vm(), an_instance())
    other = replace(HOST, node="renamed", accelerator="kvm", endpoints=())
    assert next_step(vm, None, an_instance(), LATER, other) is None


def test_a_guest_whose_record_is_lost_is_left_running() -> None:
    """P10."""
    vm, _ = report_of(a_vm(restart_nonce=3), an_instance(restart_nonce=3))
    assert step_of(vm, an_instance(booted=None)) is None


def test_an_unreported_guest_without_a_record_counts_as_booted_as_asked() -> None:
    vm, _ = report_of(a_vm(restart_nonce=3), an_instance(booted=None))
    assert vm.status.booted == Booted(config=VMConfig(), restart_nonce=3)


def test_a_config_change_is_observed_and_leaves_the_guest_alone() -> None:
    vm, _ = report_of(a_vm(), an_instance())
    config = VMConfig(resources=Resources(vcpu=4), network=NetworkConfig())
    vm = replace(vm, spec=replace(vm.spec, config=config), meta=replace(vm.meta, generation=2))
    vm, step = report_of(vm, an_instance())
    assert (vm.status.observed_generation, step.happening.type) == (2, "vm.updated")
    assert vm.status.booted == Booted(config=VMConfig(), restart_nonce=0)
    assert step_of(vm, an_instance()) is None


def test_the_second_boot_counts_as_a_restart() -> None:
    vm = a_vm(status=crashed_status(failures=2))
    vm, step = report_of(vm, an_instance(pid=77, started_at=LATER))
    assert (vm.status.restarts, vm.status.failures, vm.status.next_restart_at) == (1, 2, None)
    assert step.happening.type == "vm.started"


def test_a_start_after_a_stop_is_no_restart() -> None:
    stopped, _ = report_of(a_vm(power="stopped", status=crashed_status()))
    vm = replace(stopped, spec=replace(stopped.spec, power="running"))
    vm, _ = report_of(vm, an_instance(pid=77, started_at=LATER))
    assert vm.status.restarts == 0


def test_a_guest_that_turns_out_to_run_after_all_was_not_restarted() -> None:
    vm, _ = report_of(a_vm(), an_instance())
    vm, _ = report_of(vm, None)
    assert vm.status.pid is None
    vm, _ = report_of(vm, an_instance())
    assert (vm.status.pid, vm.status.restarts) == (PID, 0)


def test_a_boot_that_was_asked_for_starts_a_new_count() -> None:
    vm = a_vm(status=crashed_status(failures=6), restart_nonce=1)
    vm, _ = report_of(vm, an_instance(pid=77, started_at=LATER, restart_nonce=1))
    assert (vm.status.restarts, vm.status.failures) == (1, 0)


def test_a_guest_on_its_way_up_is_reported_once_and_looked_at_again() -> None:
    """V9."""
    vm, step = report_of(a_vm(), an_instance("starting"))
    assert (ready_of(vm).reason, step.happening.type, status_word(vm)) == ("Starting", "vm.updated", "starting")
    assert step_of(vm, an_instance("starting")) == Wait(2.0)


def test_a_start_takes_back_what_kept_the_vm_down() -> None:
    vm, _ = report_of(a_vm(), plugin=None)
    assert status_word(vm) == "error"
    vm, _ = report_of(vm, an_instance("starting"))
    assert status_word(vm) == "starting"


def test_a_guest_that_does_not_answer_is_reported_as_unknown_once() -> None:
    """P12."""
    vm, _ = report_of(a_vm(), an_instance())
    vm, step = report_of(vm, an_instance("unknown"))
    assert (ready_of(vm).status, ready_of(vm).reason, vm.status.pid) == ("unknown", "NotAnswering", PID)
    assert step.happening.type == "vm.updated"
    assert step_of(vm, an_instance("unknown")) == Wait(2.0)
    assert step_of(vm, an_instance("unknown"), now=LATER + 1e6) == Wait(2.0)


def test_a_guest_that_answers_again_is_ready_again() -> None:
    """P12."""
    running, _ = report_of(a_vm(), an_instance())
    vm, _ = report_of(running, an_instance("unknown"))
    vm, step = report_of(vm, an_instance(), now=LATER + 1)
    assert ready_of(vm).status == "true"
    assert step.happening.type == "vm.updated"
    assert replace(vm.status, conditions=()) == replace(running.status, conditions=())


def test_a_guest_that_does_not_answer_yet_is_on_its_way_up_until_it_is_late() -> None:
    """V9, P12."""
    silent = an_instance("unknown")
    vm, step = report_of(a_vm(), silent, now=NOW + 2)
    assert (ready_of(vm).status, ready_of(vm).reason, step.happening.type) == ("false", "Starting", "vm.updated")
    assert (vm.status.pid, status_word(vm)) == (None, "starting")
    assert step_of(vm, silent, now=NOW + 4) == Wait(2.0)
    vm, _ = report_of(vm, silent, now=NOW + 6)
    assert (ready_of(vm).status, ready_of(vm).reason) == ("unknown", "NotAnswering")


def test_the_silence_of_a_second_guest_is_not_put_down_to_the_end_of_the_first() -> None:
    """V9."""
    vm = a_vm(status=crashed_status(failures=2))
    vm, _ = report_of(vm, an_instance("unknown", pid=77, started_at=LATER), now=LATER + 1)
    assert (ready_of(vm).reason, vm.status.next_restart_at, vm.status.failures) == ("Starting", None, 2)


@pytest.mark.parametrize("started_at", [NOW - 60, NOW + 3600, None])
def test_a_guest_that_was_never_seen_to_run_and_does_not_answer_is_reported_once(started_at: float | None) -> None:
    """P12: found after the death of its daemon, with its monitor gone: the VM says why it is not ready."""
    seen = an_instance("unknown", started_at=started_at)
    vm, _ = report_of(a_vm(), seen)
    assert (ready_of(vm).status, ready_of(vm).reason, vm.status.pid) == ("unknown", "NotAnswering", None)
    assert step_of(vm, seen) == Wait(2.0)
