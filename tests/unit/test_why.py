"""Why an object is not ready: every situation has a chain that begins with it, is current and never empty."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace
from tests.builders.objects import NOW, a_deployment, a_manifest, a_plugin, a_vm, running_status, stopped_status
from tests.builders.why_judge import is_ready, judged

from volant.model.conditions import Condition, Tristate
from volant.model.deployment import DeploymentStatus
from volant.model.objects import Object
from volant.model.plugin import Artifact, Plugin, PluginStatus
from volant.model.vm import VM, CloudInit, Exit, Health, VMConfig, VMStatus
from volant.model.why import Children, Facts, Standing, Transfer, Turn, Why, why

QUIET = Facts(now=NOW + 100)
SOON = NOW + 112
READY = a_plugin(ready=True)


def said(reason: str, message: str = "", **status: Any) -> VMStatus:
    """The status of a VM that is not ready for that reason."""
    conditions = (
        Condition(
            type="ready", status="false", reason=reason, message=message, observed_generation=1, last_update=NOW + 50
        ),
    )
    return VMStatus(**{"observed_generation": 1, "conditions": conditions, **status})


PANIC = Exit(reason="guest_panic", at=NOW + 50, code=1, message="Attempted to kill init")
CRASHED = a_vm(status=said("Crashed", failures=4, restarts=3, next_restart_at=SOON, exit=PANIC))
DOWNLOADING = a_plugin(
    status=PluginStatus(
        observed_generation=1,
        artifacts={"kernel": Artifact(state="ready", digest="a" * 64), "initramfs": Artifact(state="downloading")},
        conditions=(Condition(type="ready", status="false", reason="Downloading", last_update=NOW),),
    )
)
REFUSED = a_plugin(
    status=PluginStatus(
        observed_generation=1,
        artifacts={"initramfs": Artifact(state="error", reason="ArtifactRefused", message="its sha256 is wrong")},
        conditions=(Condition(type="ready", status="false", reason="ArtifactRefused", last_update=NOW),),
    )
)


def ask(obj: Object, plugin: Plugin | None = READY, children: Children | None = None, facts: Facts = QUIET) -> Why:
    """The answer, which its judge has nothing against but for conditions that builders leave at generation 0."""
    children = children or Children()
    answer = why(obj, plugin, children, facts)
    assert not judged(obj, children, answer, says_ready=is_ready(obj))
    return answer


def reasons(answer: Why) -> list[tuple[int, str]]:
    """The chain as levels and words."""
    return [(link.level, link.reason) for link in answer.chain]


SITUATIONS: list[tuple[str, VM, Plugin | None, list[tuple[int, str]], str, str]] = [
    ("ready", a_vm(status=running_status()), READY, [(0, "Running")], "ready", "VM web-1 is ready"),
    ("new", a_vm(), READY, [(0, "NotLookedAt")], "by_itself", "has not been looked at yet"),
    (
        "changed since",
        a_vm(status=running_status(), meta={"generation": 3}),
        READY,
        [(0, "NotLookedAt")],
        "by_itself",
        "not been looked at since generation 3",
    ),
    ("crash loop", CRASHED, READY, [(0, "Crashed")], "by_itself", "(guest_panic, exit code 1): Attempted to kill init"),
    (
        "held by its policy",
        a_vm(status=said("Exited", exit=PANIC, failures=1), restart_policy="never"),
        READY,
        [(0, "Exited")],
        "not_by_itself",
        "restart policy 'never'",
    ),
    ("stopped", a_vm(power="stopped", status=stopped_status()), READY, [(0, "Stopped")], "not_by_itself", "as asked"),
    (
        "stopping",
        a_vm(power="stopped", status=said("Stopping", pid=7, stop_deadline=SOON)),
        READY,
        [(0, "Stopping")],
        "not_by_itself",
        "killed when its grace period ends",
    ),
    (
        "booting",
        a_vm(status=said("Starting")),
        READY,
        [(0, "Starting")],
        "by_itself",
        "VM web-1 is starting: its guest is booting",
    ),
    (
        "sick",
        a_vm(status=running_status(ready=False, health=Health(status="unhealthy"))),
        READY,
        [(0, "Running")],
        "by_itself",
        "VM web-1 is running",
    ),
    (
        "a host that cannot",
        a_vm(status=said("DriverUnavailable", "cannot start: no memory left")),
        READY,
        [(0, "DriverUnavailable")],
        "by_itself",
        "no memory left",
    ),
    (
        "a host that will not",
        a_vm(status=said("DriverRefused", "cannot attach it")),
        READY,
        [(0, "DriverRefused")],
        "not_by_itself",
        "cannot attach it",
    ),
    (
        "no plugin",
        a_vm(status=said("PluginMissing", "cannot start: there is no plugin hello")),
        None,
        [(0, "PluginMissing"), (1, "PluginMissing")],
        "not_by_itself",
        "there is no plugin hello",
    ),
    (
        "a plugin that downloads",
        a_vm(status=said("PluginNotReady")),
        DOWNLOADING,
        [(0, "PluginNotReady"), (1, "Downloading"), (2, "Downloading")],
        "by_itself",
        "VM web-1 is starting",
    ),
    (
        "a plugin that was refused",
        a_vm(status=said("PluginFailed")),
        REFUSED,
        [(0, "PluginFailed"), (1, "ArtifactRefused"), (2, "Pending"), (2, "ArtifactRefused")],
        "not_by_itself",
        "VM web-1 is error",
    ),
    (
        "being deleted",
        a_vm(deleting=True, status=said("Stopping", pid=7, stop_deadline=SOON)),
        READY,
        [(0, "Deleting")],
        "not_by_itself",
        "asked to shut down",
    ),
    (
        "being drained",
        a_vm(deleting=True, drain_s=5.0, status=said("Draining", pid=7, drain_deadline=SOON)),
        READY,
        [(0, "Deleting")],
        "not_by_itself",
        "serves on for those who have not heard of it",
    ),
    (
        "a word of tomorrow",
        a_vm(status=said("Later", "it is later")),
        READY,
        [(0, "Later")],
        "by_itself",
        "it is later",
    ),
    ("nothing said", a_vm(status=VMStatus(observed_generation=1)), READY, [(0, "Unknown")], "by_itself", "is starting"),
]


@pytest.mark.parametrize(
    ("vm", "plugin", "chain", "outlook", "says"), [pytest.param(*s[1:], id=s[0]) for s in SITUATIONS]
)
def test_a_vm_says_why(vm: VM, plugin: Plugin | None, chain: list[tuple[int, str]], outlook: str, says: str) -> None:
    answer = why(vm, plugin, Children(), QUIET)
    assert reasons(answer) == chain
    assert answer.outlook == outlook
    assert says in answer.chain[0].says


def test_a_crash_loop_has_its_figures_and_its_next_try() -> None:
    """P1, P2"""
    (link,) = ask(CRASHED).chain
    assert link.says.endswith("4 times in a row")
    assert link.numbers == {"failures": 4, "restarts": 3, "exit_code": 1}
    assert (link.since, link.next_try_at, link.generation) == (NOW + 50, SOON, 1)


def test_a_next_try_is_never_in_the_past() -> None:
    own = Standing(controller="vm", next_at=NOW + 130)
    late = Facts(now=SOON + 1, standings={CRASHED.meta.key: (own,)})
    assert ask(CRASHED, facts=late).chain[0].next_try_at == NOW + 130


def test_a_download_says_how_far_it_has_come() -> None:
    transfers = {"initramfs": Transfer(received_bytes=120_000_000, total_bytes=700_000_000)}
    facts = Facts(now=NOW, transfers={DOWNLOADING.meta.key: transfers})
    _, link = ask(DOWNLOADING, facts=facts).chain
    assert link.says == "initramfs is being downloaded, 120.0 of 700.0 MB"
    assert link.numbers == {"received_bytes": 120_000_000, "total_bytes": 700_000_000}


def test_what_was_refused_is_asked_for_again_when_its_pause_is_over() -> None:
    own = Standing(controller="plugin", next_at=NOW + 20, failures=1, reason="ArtifactRefused", message="wrong")
    facts = Facts(now=NOW, standings={REFUSED.meta.key: (own,)}, refused_until={REFUSED.meta.key: NOW + 300})
    answer = ask(REFUSED, facts=facts)
    assert reasons(answer) == [(0, "ArtifactRefused"), (1, "Pending"), (1, "ArtifactRefused")]
    assert answer.chain[0].next_try_at == answer.chain[2].next_try_at == NOW + 300


def test_who_was_not_looked_at_says_when_and_what_is_in_the_way() -> None:
    """V6, V12: a reason of an older generation is never told as if it were of this one."""
    vm = a_vm(status=said("PluginMissing"), meta={"generation": 2})
    turn = Turn(at=NOW + 90, outcome="failed: Conflict: cannot go on", times=3)
    own = Standing(
        controller="vm", place="delayed", next_at=SOON, failures=6, reason="Conflict", message="no", turns=(turn,)
    )
    first, second = ask(vm, facts=Facts(now=NOW + 100, standings={vm.meta.key: (own,)})).chain
    assert first.reason == "NotLookedAt"
    assert "PluginMissing" not in first.says
    assert first.says.endswith("the controller last looked at it at 2023-11-14T22:14:50Z")
    assert (first.generation, first.next_try_at) == (1, SOON)
    assert (second.reason, second.numbers) == ("Conflict", {"failures": 6})
    assert "6 times in a row" in second.says


@pytest.mark.parametrize(
    ("facts", "reason"),
    [
        (Facts(now=NOW, has_looked=False, look_trouble="cannot list the taps"), "FirstLook"),
        (Facts(now=NOW, trouble="the disk is full", is_paused=True, next_try_at=NOW + 2), "Unavailable"),
        (Facts(now=NOW, is_paused=True, next_try_at=NOW + 0.5), "Paused"),
    ],
)
@pytest.mark.parametrize("obj", [a_vm(), CRASHED, a_vm(deleting=True), a_deployment(), a_plugin()])
def test_what_keeps_everybody_from_acting_is_told_once(obj: Object, facts: Facts, reason: str) -> None:
    """S4, L4"""
    found = [link for link in ask(obj, facts=facts).chain if link.kind in ("Host", "Store")]
    assert [link.reason for link in found] == [reason]
    assert found[0].next_try_at == facts.next_try_at


def test_a_turn_that_takes_long_is_told_and_a_short_one_is_not() -> None:
    def at(since: float, place: Any = "working") -> list[tuple[int, str]]:
        own = Standing(controller="vm", place=place, since=since)
        return reasons(ask(CRASHED, facts=Facts(now=NOW + 100, standings={CRASHED.meta.key: (own,)})))

    assert at(NOW + 99) == [(0, "Crashed")]
    assert at(NOW + 40) == [(0, "Crashed"), (1, "Working")]
    assert at(NOW + 40, "waiting") == [(0, "Crashed"), (1, "Queued")]


def reported(reason: str, progress: Tristate = "true", message: str = "", **status: Any) -> DeploymentStatus:
    """The status of a deployment that is not available."""
    available = Condition(
        type="available", status="false", reason="ReplicasNotReady", observed_generation=1, last_update=NOW
    )
    progressing = replace(available, type="progressing", status=progress, reason=reason, message=message)
    return DeploymentStatus(observed_generation=1, conditions=(available, progressing), **status)


def test_a_deployment_tells_of_its_first_replicas_and_of_a_common_plugin_once() -> None:
    deployment = a_deployment("api", replicas=9, status=reported("WaitingForReplicas"))
    held = [a_vm(f"api-{n}", status=said("PluginNotReady")) for n in (2, 3)]
    children = Children(total=9, running=1, ready=1, shown=(replace(CRASHED), *held))
    answer = ask(deployment, DOWNLOADING, children)
    assert reasons(answer) == [
        (0, "ReplicasNotReady"),
        (1, "Crashed"),
        (1, "PluginNotReady"),
        (2, "Downloading"),
        (3, "Downloading"),
        (1, "PluginNotReady"),
        (1, "MoreReplicas"),
    ]
    assert answer.chain[0].says == "Deployment api: 1 of 9 replicas are ready"
    assert answer.chain[0].numbers == {"replicas": 9, "ready": 1, "vms": 9}
    assert answer.chain[-1].numbers == {"vms": 5}
    assert answer.outlook == "by_itself"


def test_a_deployment_says_why_it_makes_no_replicas() -> None:
    status = reported("PluginMissing", "false", "cannot create replicas: plugin 'hello' is not installed")
    answer = ask(a_deployment(status=status), None)
    assert reasons(answer) == [(0, "ReplicasNotReady"), (1, "PluginMissing")]
    assert answer.outlook == "not_by_itself"


def test_a_deployment_with_a_replica_that_cannot_run_does_not_come_right_by_itself() -> None:
    stuck = a_vm("web-1", status=said("DriverRefused", "cannot attach it"))
    deployment = a_deployment(status=reported("WaitingForReplicas", replicas=1))
    assert ask(deployment, children=Children(total=1, shown=(stuck,))).outlook == "not_by_itself"


def test_a_deployment_is_as_ready_as_its_replicas_are_at_the_moment() -> None:
    """Its own status is of its last turn, and a replica may have crashed since."""
    condition = Condition(type="available", status="true", reason="ReplicasReady", observed_generation=1)
    status = DeploymentStatus(observed_generation=1, replicas=1, ready_replicas=1, conditions=(condition,))
    deployment = a_deployment(status=status)
    assert ask(deployment, children=Children(total=1, running=1, ready=1)).outlook == "ready"
    answer = ask(deployment, children=Children(total=1, shown=(CRASHED,)))
    assert reasons(answer) == [(0, "ReplicasNotReady"), (1, "Crashed")]


def test_a_deployment_that_goes_waits_for_its_vms() -> None:
    going = a_vm(deleting=True, status=said("Stopping", pid=7, stop_deadline=SOON))
    answer = ask(a_deployment(deleting=True), children=Children(total=3, deleting=3, shown=(going,)))
    assert reasons(answer) == [(0, "Deleting"), (1, "Deleting"), (1, "MoreReplicas")]
    assert answer.chain[0].says.endswith("3 VMs of it are left")


def test_no_secret_is_in_any_answer() -> None:
    """What a user wrote into cloud-init, a variable or an address stays there."""
    config = VMConfig(cloud_init=CloudInit(user_data="TOPSECRET"), env={"PASSWORD": "TOPSECRET"})
    manifest = a_manifest(env={"PASSWORD": "TOPSECRET"}, cloud_init="TOPSECRET", description="TOPSECRET")
    plugin = a_plugin(manifest=manifest, status=REFUSED.status)
    for _, vm, _, _, _, _ in SITUATIONS:
        secret = replace(vm, spec=replace(vm.spec, config=config))
        assert "TOPSECRET" not in str(why(secret, plugin, Children(), QUIET))
    deployment = a_deployment(config=config, status=reported("WaitingForReplicas"))
    assert "TOPSECRET" not in str(why(deployment, plugin, Children(total=1, shown=(CRASHED,)), QUIET))


def test_the_judge_finds_out_a_chain_that_is_empty_old_or_untrue() -> None:
    right = ask(CRASHED)
    old = replace(right.chain[0], generation=0)
    untrue = replace(right.chain[0], reason="Exited")
    assert judged(CRASHED, Children(), Why(outlook="by_itself", chain=()), says_ready=False)
    assert judged(CRASHED, Children(), replace(right, chain=(old,)), says_ready=False)
    assert judged(CRASHED, Children(), replace(right, outlook="ready"), says_ready=False)
    assert judged(
        a_vm(status=running_status(ready=False)), Children(), replace(right, chain=(untrue,)), says_ready=False
    )
    behind = a_vm(status=CRASHED.status, meta={"generation": 2})
    assert judged(behind, Children(), right, says_ready=False)


def test_a_deployment_that_rolls_is_not_ready_however_many_old_replicas_are() -> None:
    """U6: what it is to be is its template, and the chain tells of the new replica that does not come."""
    available = Condition(type="available", status="true", reason="ReplicasReady", observed_generation=1)
    rolling = Condition(type="progressing", status="true", reason="RollingOut", observed_generation=1)
    stalled = replace(rolling, status="false", reason="ProgressDeadlineExceeded", message="nothing comes of it")
    status = DeploymentStatus(
        observed_generation=1,
        replicas=4,
        ready_replicas=3,
        updated_replicas=1,
        template="b" * 16,
        completed="a" * 16,
        progress_at=NOW,
        conditions=(available, rolling),
    )
    children = Children(total=4, running=3, ready=3, shown=(CRASHED,))
    deployment = a_deployment("pl", replicas=3, status=status)
    answer = ask(deployment, children=children)
    assert reasons(answer) == [(0, "RollingOut"), (1, "Crashed")]
    assert answer.chain[0].says == "Deployment pl: 3 of 3 replicas are ready, 1 of 3 of the new template"
    assert answer.chain[0].numbers == {"replicas": 3, "ready": 3, "vms": 4, "updated": 1}
    assert answer.outlook == "by_itself"
    stuck = a_deployment("pl", replicas=3, status=replace(status, conditions=(available, stalled)))
    answer = ask(stuck, children=children)
    assert reasons(answer) == [(0, "RollingOut"), (1, "ProgressDeadlineExceeded"), (1, "Crashed")]
    assert answer.outlook == "not_by_itself"
