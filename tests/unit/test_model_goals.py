"""A11: what is so, what may still come, and what cannot come any more."""

from __future__ import annotations

from itertools import product
from typing import Any, get_args

import pytest
from msgspec.structs import replace
from tests.builders.objects import NOW, a_deployment, a_plugin, a_vm, complete_status, running_status, stopped_status

from volant.clock import Uid
from volant.model import plugin as plugins
from volant.model import vm as vms
from volant.model.conditions import Condition, Tristate
from volant.model.deployment import AVAILABLE, PROGRESSING, Deployment, DeploymentStatus, template_of
from volant.model.goals import (
    NOT_YET,
    REACHED,
    NotYet,
    OutOfReach,
    Reached,
    Since,
    VMGoal,
    deployment_verdict,
    plugin_verdict,
    seconds,
    since,
    vm_verdict,
)
from volant.model.plugin import PluginStatus
from volant.model.rollout import Strategy, digest_of
from volant.model.vm import VM, Exit, VMStatus

GOALS = get_args(VMGoal)


def says(kind: str, status: Tristate, reason: str, message: str = "") -> Condition:
    return Condition(type=kind, status=status, reason=reason, message=message, last_update=NOW)


def failed(reason: str = "PluginFailed", message: str = "cannot start", generation: int = 1) -> VMStatus:
    ready = says(vms.READY, "false", reason, message)
    return VMStatus(observed_generation=generation, conditions=(ready,))


def code_of(verdict: Any) -> str:
    assert isinstance(verdict, OutOfReach)
    return verdict.code


@pytest.mark.parametrize(
    ("vm", "reached"),
    [
        (a_vm(status=running_status()), {"running", "ready", "exists"}),
        (a_vm(status=running_status(ready=False)), {"running", "exists"}),
        (a_vm(power="stopped", status=stopped_status()), {"stopped", "exists"}),
        (a_vm(), {"exists"}),
    ],
)
def test_what_a_vm_is_is_reached(vm: VM, reached: set[VMGoal]) -> None:
    assert {goal for goal in GOALS if vm_verdict(vm, since(vm), goal) == REACHED} == reached


def test_what_was_so_before_the_change_does_not_count() -> None:
    """A11: a wait issued after a change is for the state after it."""
    vm = a_vm(status=running_status(), meta={"generation": 2})
    assert vm_verdict(vm, since(vm), "running") == NOT_YET
    assert vm_verdict(vm, Since(uid=vm.meta.uid, generation=1), "running") == REACHED
    seen = replace(vm, status=replace(vm.status, observed_generation=2))
    assert vm_verdict(seen, since(seen), "running") == REACHED


def test_a_generation_that_is_still_to_come_is_waited_for() -> None:
    vm = a_vm(status=running_status())
    pin = Since(uid=vm.meta.uid, generation=2)
    assert {vm_verdict(vm, pin, goal) for goal in ("running", "ready", "stopped", "exists")} == {NOT_YET}


def test_an_error_is_out_of_reach_with_its_own_words() -> None:
    vm = a_vm(status=failed())
    for goal in ("running", "ready", "stopped"):
        said = vm_verdict(vm, since(vm), goal)
        assert said == OutOfReach(code="vm_failed", reason="PluginFailed", message="cannot start")


def test_an_error_of_an_earlier_generation_is_none() -> None:
    vm = a_vm(status=failed(), meta={"generation": 2})
    assert vm_verdict(vm, since(vm), "running") == NOT_YET


def test_a_crash_with_a_restart_to_come_is_waited_out() -> None:
    vm = a_vm(status=replace(failed("Crashed"), next_restart_at=NOW + 10))
    assert vm_verdict(vm, since(vm), "running") == NOT_YET


def test_a_guest_that_may_not_be_restarted_never_runs_again() -> None:
    status = replace(failed("Exited", ""), exit=Exit(reason="guest_shutdown", at=NOW))
    vm = a_vm(restart_policy="never", status=status)
    assert vm_verdict(vm, since(vm), "stopped") == REACHED
    assert code_of(vm_verdict(vm, since(vm), "running")) == "vm_failed"


def test_on_the_way_out_nothing_but_the_end_can_be_reached() -> None:
    vm = a_vm(deleting=True, status=running_status())
    assert [code_of(vm_verdict(vm, since(vm), goal)) for goal in ("running", "ready", "stopped")] == ["vm_deleting"] * 3
    assert vm_verdict(vm, since(vm), "deleted") == NOT_YET


def test_what_is_gone_is_gone() -> None:
    pin = since(a_vm())
    assert vm_verdict(None, pin, "deleted") == REACHED
    assert [code_of(vm_verdict(None, pin, goal)) for goal in GOALS if goal != "deleted"] == ["vm_deleted"] * 4


def test_another_of_the_same_name_is_somebody_else() -> None:
    """D5"""
    pin = since(a_vm(uid="a" * 32))
    newer = a_vm(uid="b" * 32, status=running_status())
    assert code_of(vm_verdict(newer, pin, "running")) == "vm_deleted"
    assert vm_verdict(newer, pin, "deleted") == REACHED


def test_a_name_without_an_object_is_waited_for() -> None:
    assert vm_verdict(None, Since(), "exists") == NOT_YET
    assert vm_verdict(a_vm(), Since(), "exists") == REACHED
    assert vm_verdict(a_vm(deleting=True), Since(), "exists") == NOT_YET


def test_a_wait_ends_when_the_opposite_is_asked_for() -> None:
    vm = a_vm(status=running_status())
    stopped = a_vm(power="stopped", status=running_status(), meta={"generation": 2})
    assert code_of(vm_verdict(stopped, since(vm), "ready")) == "vm_failed"
    again = replace(vm, meta=replace(vm.meta, generation=3))
    assert code_of(vm_verdict(again, since(stopped), "stopped")) == "vm_started_again"


def test_one_may_wait_for_what_nobody_has_asked_for_yet() -> None:
    vm = a_vm(power="stopped", status=stopped_status())
    assert vm_verdict(vm, since(vm), "running") == NOT_YET
    assert vm_verdict(a_vm(status=running_status()), since(a_vm()), "stopped") == NOT_YET


def test_every_pair_has_a_verdict() -> None:
    states = (VMStatus(), running_status(), stopped_status(), failed(), failed("Crashed"), failed("NoSuchReason"))
    powers: tuple[Any, ...] = ("running", "stopped")
    vm_s = [a_vm(power=p, deleting=d, status=s) for p, d, s in product(powers, (False, True), states)]
    pins = [Since(), Since(uid=Uid("x")), *map(since, vm_s), Since(uid=vm_s[0].meta.uid, generation=9)]
    for vm, pin, goal in product([None, *vm_s], pins, GOALS):
        assert isinstance(vm_verdict(vm, pin, goal), Reached | NotYet | OutOfReach)


def deployed(
    progressing: tuple[Tristate, str], *, available: Tristate = "false", replicas: int = 1, generation: int = 1
) -> Deployment:
    said = (says(AVAILABLE, available, "Said"), says(PROGRESSING, *progressing, "so it is"))
    status = DeploymentStatus(observed_generation=generation, replicas=replicas, conditions=said)
    return a_deployment(replicas=3, status=status)


def test_a_deployment_is_available_when_it_says_so_of_this_generation() -> None:
    deployment = deployed(("true", "Complete"), available="true", replicas=3)
    assert deployment_verdict(deployment, since(deployment), "available") == REACHED
    later = replace(deployment, meta=replace(deployment.meta, generation=2))
    assert deployment_verdict(later, since(later), "available") == NOT_YET


@pytest.mark.parametrize("reason", ["PluginMissing", "PluginDisabled"])
def test_a_deployment_that_lacks_replicas_and_a_plugin_fails(reason: str) -> None:
    deployment = deployed(("false", reason))
    said = deployment_verdict(deployment, since(deployment), "available")
    assert said == OutOfReach(code="deployment_failed", reason=reason, message="so it is")


def test_a_deployment_whose_replicas_all_start_needs_no_plugin() -> None:
    deployment = deployed(("false", "PluginDisabled"), replicas=3)
    assert deployment_verdict(deployment, since(deployment), "available") == NOT_YET


@pytest.mark.parametrize("reason", ["ReplicasNotReady", "Conflict", "Unavailable", "AlreadyExists"])
def test_what_the_controller_tries_again_is_waited_for(reason: str) -> None:
    deployment = deployed(("false", reason))
    assert deployment_verdict(deployment, since(deployment), "available") == NOT_YET


def test_a_deployment_of_a_refused_artifact_fails_unless_all_its_vms_run() -> None:
    deployment = deployed(("true", "WaitingForReplicas"), replicas=3)
    plugin = a_plugin(status=refused())
    said = deployment_verdict(deployment, since(deployment), "available", plugin=plugin, running=2)
    assert (code_of(said), said) == (
        "deployment_failed",
        OutOfReach(code="deployment_failed", reason="ArtifactRefused", message="wrong digest"),
    )
    assert deployment_verdict(deployment, since(deployment), "available", plugin=plugin, running=3) == NOT_YET


def test_a_deployment_goes_as_every_object_does() -> None:
    going = a_deployment(deleting=True)
    assert code_of(deployment_verdict(going, since(going), "available")) == "deployment_deleting"
    assert deployment_verdict(None, since(going), "deleted") == REACHED
    assert code_of(deployment_verdict(None, since(going), "available")) == "deployment_deleted"


def rolled(
    *,
    updated: int = 4,
    total: int = 4,
    ready: int = 4,
    progressing: tuple[Tristate, str] = ("true", "RollingOut"),
    is_done: bool = True,
    **more: Any,
) -> Deployment:
    """A deployment of four; `is_done`: the controller has said of its template that it was complete."""
    strategy, meta = more.pop("strategy", Strategy()), more.pop("meta", {})
    deployment = a_deployment(replicas=4, strategy=strategy, meta=meta)
    template = digest_of(template_of(deployment.spec))
    status = DeploymentStatus(
        observed_generation=1,
        replicas=total,
        updated_replicas=updated,
        ready_replicas=ready,
        template=template,
        completed=template if is_done else "b" * 16,
        progress_at=None if is_done else NOW,
        conditions=(says(AVAILABLE, "true", "ReplicasReady"), says(PROGRESSING, *progressing, "so it is")),
    )
    return replace(deployment, status=replace(status, **more))


def complete(deployment: Deployment, **facts: Any) -> Any:
    return deployment_verdict(deployment, since(deployment), "complete", **facts)


@pytest.mark.parametrize(
    ("deployment", "is_so"),
    [
        (rolled(), True),
        (rolled(ready=3), True),
        (rolled(ready=2), False),
        (rolled(total=5), False),
        (rolled(updated=3), False),
        (rolled(updated=3, total=3), False),
        (rolled(is_done=False), False),
        (rolled(template="c" * 16), False),
        (rolled(meta={"generation": 2}), False),
    ],
)
def test_a_rollout_is_complete_by_all_that_it_takes(deployment: Deployment, is_so: bool) -> None:
    """U6: all are there, of the template, and no more than a quarter is away, as of this generation."""
    assert complete(deployment) == (REACHED if is_so else NOT_YET)


def test_old_replicas_are_available_and_complete_nothing() -> None:
    deployment = rolled(updated=1, total=5, is_done=False)
    assert deployment_verdict(deployment, since(deployment), "available") == REACHED
    assert complete(deployment) == NOT_YET


def test_who_has_to_be_ready_for_a_while_is_counted_when_he_has_been() -> None:
    """U4"""
    assert [complete(rolled(), available=n) for n in (2, 3)] == [NOT_YET, REACHED]


def test_a_rollout_that_is_stuck_has_failed_unless_it_is_taken_back() -> None:
    """U5, U10"""
    stuck = rolled(updated=1, is_done=False, progressing=("false", "ProgressDeadlineExceeded"))
    said = OutOfReach(code="deployment_failed", reason="ProgressDeadlineExceeded", message="so it is")
    assert complete(stuck) == said
    assert deployment_verdict(stuck, since(stuck), "available") == REACHED
    assert complete(replace(stuck, status=replace(stuck.status, reverted=stuck.status.template))) == NOT_YET


def test_a_rollout_that_was_taken_back_has_failed_however_well_the_old_one_does() -> None:
    """U10"""
    said = complete(rolled(), rolled_back="no progress: back to the template of revision 1")
    assert said == OutOfReach(
        code="deployment_failed", reason="RolledBack", message="no progress: back to the template of revision 1"
    )


def test_a_paused_rollout_is_not_waited_for() -> None:
    """U8: it goes on when somebody resumes it. One that is complete, or has nothing old, is not held up by that."""
    paused = Strategy(paused=True)
    assert complete(rolled(strategy=paused)) == REACHED
    assert code_of(complete(rolled(updated=1, is_done=False, strategy=paused))) == "deployment_failed"
    assert complete(rolled(updated=2, total=2, is_done=False, strategy=paused)) == NOT_YET


@pytest.mark.parametrize("reason", ["PluginMissing", "PluginDisabled"])
def test_a_rollout_that_lacks_a_plugin_fails_though_old_replicas_are_there(reason: str) -> None:
    assert complete(rolled(updated=1, is_done=False, progressing=("false", reason))).reason == reason
    assert complete(rolled(is_done=False, progressing=("false", reason))) == NOT_YET


def test_a_rollout_to_a_refused_artifact_fails_though_old_replicas_run() -> None:
    plugin = a_plugin(status=refused())
    deployment = rolled(updated=1, total=5, is_done=False)
    assert complete(deployment, plugin=plugin, running=4).reason == "ArtifactRefused"
    assert complete(rolled(is_done=False), plugin=plugin, running=4) == NOT_YET


def refused(reason: str = "ArtifactRefused") -> PluginStatus:
    return PluginStatus(observed_generation=1, conditions=(says(plugins.READY, "false", reason, "wrong digest"),))


def test_a_plugin_is_ready_failed_or_on_its_way() -> None:
    ready = a_plugin(ready=True)
    assert plugin_verdict(ready, since(ready), "ready") == REACHED
    bad = a_plugin(status=refused())
    assert plugin_verdict(bad, since(bad), "ready") == OutOfReach(
        code="plugin_failed", reason="ArtifactRefused", message="wrong digest"
    )
    for status in (PluginStatus(), refused("ArtifactUnavailable"), refused("Downloading")):
        assert plugin_verdict(a_plugin(status=status), since(bad), "ready") == NOT_YET


def test_a_plugin_that_was_ready_before_a_change_is_looked_at_again() -> None:
    plugin = a_plugin(status=complete_status(a_plugin().spec.manifest), meta={"generation": 2})
    assert plugin_verdict(plugin, since(plugin), "ready") == NOT_YET


@pytest.mark.parametrize(
    ("text", "value"), [("30", 30), ("30s", 30), ("500ms", 0.5), ("2m", 120), ("0", 0), ("1.5s", 1.5), ("600", 600)]
)
def test_a_duration_is_read(text: str, value: float) -> None:
    assert seconds(text) == value


@pytest.mark.parametrize(
    "text", ["", "s", "-1", "1h", "10m1s", "601", "11m", "1e3", "nan", "inf", " 5", "5 ", "٣", "5\n", "1_0", "9" * 15]
)
def test_what_is_no_duration_is_refused_in_a_sentence(text: str) -> None:
    with pytest.raises(ValueError, match="expected a duration such as"):
        seconds(text)
