"""What a deployment says of itself: pure and total.

    (deployment, plugin's use, tally, trouble) ──▶ status + happening, or None when that is what it says already (L7)

Two conditions, both from the first visit on (V9). `available`: all replicas are ready. `progressing`: the controller
can move the deployment towards its spec, and does. A deployment that was complete and has lost a ready replica, while
there is nothing left to create, is not progressing: its VMs are up to themselves. Messages carry no figures (V10); the
figures are fields of the status.
"""

from __future__ import annotations

from msgspec import Struct

from volant.clock import Instant
from volant.controllers.deployment.plan import PluginUse, Tally
from volant.errors import VolantError
from volant.model.conditions import Condition, Tristate, condition, merge_condition
from volant.model.deployment import AVAILABLE, PROGRESSING, Deployment, DeploymentStatus
from volant.model.event import EventType, Happening

ACTOR = "deployment"

_NOT_READY = "ReplicasNotReady"
_COMPLETE = "Complete"


class Report(Struct, frozen=True):
    """A status to be written, and the event that says so."""

    status: DeploymentStatus
    happening: Happening


def report(
    deployment: Deployment, use: PluginUse, tally: Tally, trouble: VolantError | None, now: Instant
) -> Report | None:
    """The report that is due, or None when nothing differs from the last one.

    `trouble` is what stopped this turn's creates. The status is computed from `deployment`'s own generation (V6), and
    a condition's `last_update` moves iff its status does (V8).
    """
    available, progressing = _available(deployment, tally), _progressing(deployment, use, tally, trouble)
    conditions = deployment.status.conditions
    for new in (available, progressing):
        conditions = merge_condition(conditions, new, now)
    status = DeploymentStatus(
        observed_generation=deployment.meta.generation,
        replicas=tally.total - tally.deleting,
        ready_replicas=tally.ready,
        conditions=conditions,
    )
    if status == deployment.status:
        return None
    return Report(status, _happening(deployment, available, progressing))


def _happening(deployment: Deployment, available: Condition, progressing: Condition) -> Happening:
    old = condition(deployment.status.conditions, AVAILABLE)
    was, now_is = old.status if old is not None else "false", available.status
    kind: EventType = "deployment.updated"
    if was != now_is:
        kind = "deployment.available" if now_is == "true" else "deployment.unavailable"
    told = progressing if was == now_is else available
    return Happening(type=kind, actor=ACTOR, reason=told.reason, message=told.message or None)


def _available(deployment: Deployment, tally: Tally) -> Condition:
    if tally.ready >= deployment.spec.replicas:
        return _said(deployment, AVAILABLE, "true", "ReplicasReady")
    return _said(deployment, AVAILABLE, "false", _NOT_READY, "some replicas are not ready")


def _progressing(deployment: Deployment, use: PluginUse, tally: Tally, trouble: VolantError | None) -> Condition:
    replicas = deployment.spec.replicas
    if deployment.meta.is_deleting:
        return _said(deployment, PROGRESSING, "true", "Deleting", "waiting until every replica is gone")
    if use != "usable":
        return _unusable(deployment, use)
    if trouble is not None:
        return _said(deployment, PROGRESSING, "false", trouble.reason, trouble.message)
    if tally.total - tally.deleting != replicas:
        return _said(deployment, PROGRESSING, "true", "Scaling")
    if tally.ready >= replicas:
        return _said(deployment, PROGRESSING, "true", _COMPLETE)
    if _was_complete(deployment):
        return _said(deployment, PROGRESSING, "false", _NOT_READY, "a replica that was ready no longer is")
    return _said(deployment, PROGRESSING, "true", "WaitingForReplicas", "every replica exists, some are not ready yet")


def _unusable(deployment: Deployment, use: PluginUse) -> Condition:
    what, advice = {
        "missing": ("PluginMissing", "is not installed. Install it, or delete the deployment"),
        "disabled": ("PluginDisabled", "is disabled. Enable it, or delete the deployment"),
    }[use]
    message = f"cannot create replicas: plugin {deployment.spec.plugin!r} {advice}"
    return _said(deployment, PROGRESSING, "false", what, message)


def _was_complete(deployment: Deployment) -> bool:
    """Whether this very generation was complete before, by what was last reported."""
    old = condition(deployment.status.conditions, PROGRESSING)
    is_same = old is not None and old.observed_generation == deployment.meta.generation
    return is_same and old is not None and old.reason in {_COMPLETE, _NOT_READY}


def _said(deployment: Deployment, kind: str, status: Tristate, reason: str, message: str = "") -> Condition:
    return Condition(
        type=kind, status=status, reason=reason, message=message, observed_generation=deployment.meta.generation
    )
