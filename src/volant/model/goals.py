"""Whether what somebody waits for is so, may still come, or cannot come any more. Pure and total.

    (object or None, since, goal) ──▶ Reached | OutOfReach(code, reason, message) | NotYet

A wait is for one object, that of `since.uid`: one of the same name that came after it is somebody else. And it is for
the state after a change: what was observed of an earlier generation than `since.generation` proves nothing (A11).

Out of reach is what nobody but the user can mend: the word `error`, an end that was asked for, an artifact that was
refused. What Volant tries again by itself (a crash with a restart to come, a download, a full address pool that other
VMs may leave) is not yet so, however long it takes. A rollout is the exception: one that is stuck for as long as its
strategy allows has failed for whoever waits for its end, although it goes on.
"""

from __future__ import annotations

import re
from typing import Literal

from msgspec import Struct

from volant.clock import Uid
from volant.model import plugin as plugins
from volant.model.conditions import condition, is_true
from volant.model.deployment import AVAILABLE, PROGRESSING, Deployment, rollout
from volant.model.objects import Object
from volant.model.plugin import Plugin
from volant.model.rollout import bounds_of
from volant.model.vm import ERROR_REASONS, READY, VM, Power, is_ready, status_word

VMGoal = Literal["exists", "running", "ready", "stopped", "deleted"]
DeploymentGoal = Literal["exists", "available", "complete", "deleted"]
PluginGoal = Literal["exists", "ready", "deleted"]
Goal = Literal["exists", "running", "ready", "stopped", "deleted", "available", "complete"]

DEFAULT_TIMEOUT_S = 60.0
LONGEST_TIMEOUT_S = 600.0

_UNITS_S = {"": 1.0, "s": 1.0, "ms": 0.001, "m": 60.0}
_DURATION = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,9})?)(ms|s|m)?", re.ASCII)

_STUCK = frozenset({"PluginMissing", "PluginDisabled"})
"""Reasons of `progressing=false` that stand until somebody acts. The others pass: `ReplicasNotReady` with the restart
of a VM, `Conflict` (a name or an address is taken) and `Unavailable` with the controller's next try."""

STALLED = "ProgressDeadlineExceeded"
"""The reason of `progressing` once a rollout has not come further for too long."""
ROLLED_BACK = "RolledBack"
TAKEN_BACK = frozenset({ROLLED_BACK, "SetReverted"})
"""The reasons of events that say so: of a deployment by itself or by somebody, and of the set that it is of."""
PAUSED = "RolloutPaused"
_PAUSED = "its rollout is paused, and some replicas are of another template: resume it, then wait for it"


class Since(Struct, frozen=True, kw_only=True):
    """What a wait is pinned to: the object as it was asked about.

    `uid` None: whichever object comes to have the name. `power`: what the VM's spec asked for then, None when nobody
    knows; a wait for that power ends when somebody asks for the other.
    """

    uid: Uid | None = None
    generation: int = 0
    power: Power | None = None


class Reached(Struct, frozen=True):
    """It is so."""


class NotYet(Struct, frozen=True):
    """It may still come."""


class OutOfReach(Struct, frozen=True, kw_only=True):
    """It cannot come any more. `code` is the API's error code, `reason` a CamelCase word, `message` for people."""

    code: str
    reason: str
    message: str = ""


Verdict = Reached | NotYet | OutOfReach

REACHED = Reached()
NOT_YET = NotYet()


def since(obj: Object) -> Since:
    """A wait for what this state of the object asks for."""
    meta = obj.meta
    return Since(uid=meta.uid, generation=meta.generation, power=obj.spec.power if isinstance(obj, VM) else None)


def seconds(text: str) -> float:
    """`30`, `30s`, `500ms`, `2m` in seconds. Raises ValueError with a sentence for people."""
    found = _DURATION.fullmatch(text)
    value = float(found[1]) * _UNITS_S[found[2] or ""] if found else LONGEST_TIMEOUT_S + 1
    if value > LONGEST_TIMEOUT_S:
        raise ValueError(f"expected a duration such as 30, 30s, 500ms or 2m, at most {LONGEST_TIMEOUT_S:g} seconds")
    return value


def vm_verdict(vm: VM | None, pin: Since, goal: VMGoal) -> Verdict:
    """Of a VM, or of its absence."""
    common = _common(vm, pin, goal, "VM")
    if common is not None or vm is None:
        return common or NOT_YET
    if _is_called_off(vm, pin, goal):
        return _called_off(vm)
    if vm.status.observed_generation < pin.generation:
        return NOT_YET
    word = status_word(vm)
    if word == goal or (goal == "ready" and is_ready(vm)):
        return REACHED
    # `stopped` with the power on is a guest that shut itself down and may not be restarted.
    if word == "error" or (word == "stopped" and vm.spec.power == "running"):
        return _failed_vm(vm)
    return NOT_YET


def deployment_verdict(
    deployment: Deployment | None,
    pin: Since,
    goal: DeploymentGoal,
    *,
    plugin: Plugin | None = None,
    running: int = 0,
    available: int | None = None,
    rolled_back: str | None = None,
) -> Verdict:
    """Of a deployment, or of its absence. `plugin` is the one that it is made of, `running` how many VMs of it run.

    Of `complete` (U6) besides: `available` is how many VMs have been ready for long enough (None: those that are
    ready), `rolled_back` the words of whoever took its template back since the pin.
    """
    common = _common(deployment, pin, goal, "Deployment")
    if common is not None or deployment is None:
        return common or NOT_YET
    if goal == "complete" and rolled_back is not None:
        return _failed_deployment(ROLLED_BACK, rolled_back)
    if deployment.status.observed_generation < pin.generation:
        return NOT_YET
    if goal == "complete":
        return _complete(deployment, available) or _short_of(deployment, plugin, running) or NOT_YET
    if is_true(deployment.status.conditions, AVAILABLE):
        return REACHED
    return _short_of(deployment, plugin, running, counts_old=True) or NOT_YET


def _complete(deployment: Deployment, available: int | None) -> Verdict | None:
    """Whether its rollout is complete, or cannot be any more by what the rollout itself says."""
    spec, status, said = deployment.spec, deployment.status, condition(deployment.status.conditions, PROGRESSING)
    if status.observed_generation < deployment.meta.generation:
        return NOT_YET
    ready = status.ready_replicas if available is None else available
    is_there = status.updated_replicas == status.replicas == spec.replicas
    if rollout(deployment) == "complete" and is_there and ready >= bounds_of(spec.strategy, spec.replicas).least:
        return REACHED
    if spec.strategy.paused and status.updated_replicas < status.replicas:
        return _failed_deployment(PAUSED, _PAUSED)
    # One that is taken back for it ends with that: then it is known what it was taken back to.
    is_stalled = said is not None and said.reason == STALLED and status.reverted != status.template
    return _failed_deployment(STALLED, said.message) if is_stalled and said is not None else None


def _short_of(
    deployment: Deployment, plugin: Plugin | None, running: int, *, counts_old: bool = False
) -> OutOfReach | None:
    """What keeps it from making the replicas that it lacks, if only somebody can mend it.

    While all VMs are there, those that start need no plugin any more to become ready. `counts_old`: those of another
    template will do.
    """
    spec, status, said = deployment.spec, deployment.status, condition(deployment.status.conditions, PROGRESSING)
    old = 0 if counts_old else status.replicas - status.updated_replicas
    is_short = status.replicas - old < spec.replicas
    if is_short and said is not None and said.status == "false" and said.reason in _STUCK:
        return _failed_deployment(said.reason, said.message)
    refused = _refusal(plugin) if plugin is not None and running - old < spec.replicas else None
    return _failed_deployment(refused.reason, refused.message) if refused is not None else None


def _failed_deployment(reason: str, message: str) -> OutOfReach:
    return OutOfReach(code="deployment_failed", reason=reason, message=message)


def plugin_verdict(plugin: Plugin | None, pin: Since, goal: PluginGoal) -> Verdict:
    """Of a plugin, or of its absence. One that is disabled fetches its artifacts all the same."""
    common = _common(plugin, pin, goal, "Plugin")
    if common is not None or plugin is None:
        return common or NOT_YET
    if plugin.status.observed_generation < pin.generation:
        return NOT_YET
    if is_true(plugin.status.conditions, plugins.READY):
        return REACHED
    return _refusal(plugin) or NOT_YET


def _common(obj: Object | None, pin: Since, goal: Goal, kind: str) -> Verdict | None:
    """The verdict where it is the same for every kind: on being there, being on the way out, being gone."""
    is_there = obj is not None and pin.uid in (None, obj.meta.uid)
    if goal == "deleted":
        return NOT_YET if is_there else REACHED
    if obj is None or not is_there:
        return NOT_YET if pin.uid is None else _deleted(kind)
    if obj.meta.is_deleting:
        if pin.uid is None:
            return NOT_YET  # The name may be somebody else's soon.
        message = f"{kind} {obj.meta.name} is being deleted"
        return OutOfReach(code=f"{kind.lower()}_deleting", reason="Deleting", message=message)
    if obj.meta.generation < pin.generation:
        return NOT_YET
    return REACHED if goal == "exists" else None


def _deleted(kind: str) -> OutOfReach:
    return OutOfReach(code=f"{kind.lower()}_deleted", reason="Deleted", message=f"the {kind} was deleted")


def _is_called_off(vm: VM, pin: Since, goal: VMGoal) -> bool:
    wanted: Power = "stopped" if goal == "stopped" else "running"
    return pin.power == wanted != vm.spec.power


def _called_off(vm: VM) -> OutOfReach:
    if vm.spec.power == "running":
        return OutOfReach(code="vm_started_again", reason="StartRequested", message="it was started again meanwhile")
    return OutOfReach(code="vm_failed", reason="StopRequested", message="it was asked to stop meanwhile")


def _failed_vm(vm: VM) -> OutOfReach:
    ready = condition(vm.status.conditions, READY)
    reason, message = (ready.reason, ready.message) if ready is not None else ("Exited", "")
    return OutOfReach(code="vm_failed", reason=reason, message=message)


def _refusal(plugin: Plugin) -> OutOfReach | None:
    ready = condition(plugin.status.conditions, plugins.READY)
    is_refused = ready is not None and ready.status == "false" and ready.reason in ERROR_REASONS
    if ready is None or not is_refused:
        return None
    return OutOfReach(code="plugin_failed", reason=ready.reason, message=ready.message)
