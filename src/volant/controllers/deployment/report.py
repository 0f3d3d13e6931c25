"""What a deployment says of itself: pure and total.

    (deployment, plugin's use, tally, trouble) ──▶ status + happening, or None when that is what it says already (L7)

Two conditions, both from the first visit on (V9). `available`: all replicas are ready. `progressing`: the controller
can move the deployment towards its spec, and does. A deployment that was complete and has lost a ready replica, while
there is nothing left to create, is not progressing: its VMs are up to themselves. Nor is one whose rollout has not come
further than ever for its deadline (U5): it goes on all the same. Messages carry no figures (V10); the figures are
fields of the status.
"""

from __future__ import annotations

from msgspec import Struct
from msgspec.structs import replace

from volant.clock import Instant
from volant.controllers.deployment.rolling import (
    STALLED,
    PluginUse,
    Tally,
    available,
    goes_back,
    is_complete,
    updated,
)
from volant.errors import VolantError
from volant.model.conditions import Condition, Tristate, condition, merge_condition
from volant.model.deployment import AVAILABLE, PROGRESSING, Deployment, DeploymentStatus, template_of
from volant.model.event import EventType, Happening
from volant.model.rollout import digest_of

ACTOR = "deployment"

_NOT_READY = "ReplicasNotReady"
_COMPLETE = "Complete"
_NO_PROGRESS = "new replicas have not become available for as long as the strategy allows. It is tried on"


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
    status = _rolled(deployment, tally, now)
    is_stalled = _is_stalled(deployment, status, now)
    ready, progressing = _available(deployment, tally), _progressing(deployment, use, tally, trouble, is_stalled)
    if progressing.reason == STALLED and goes_back(deployment.spec, status):
        status = replace(status, reverted=status.template)
    elif status.reverted == status.template:
        status = replace(status, reverted=None)  # because somebody has begun it once more
    for new in (ready, progressing):
        status = replace(status, conditions=merge_condition(status.conditions, new, now))
    if status == deployment.status:
        return None
    happening = _happening(deployment, ready, progressing)
    if deployment.status.completed is not None and _is_rolling(deployment.status) and not _is_rolling(status):
        happening = replace(happening, reason="RolloutComplete", message=None)
    return Report(status, happening)


def stalls_at(deployment: Deployment) -> Instant | None:
    """When it has to be said that the rollout makes no progress; None while nothing of that kind is to come."""
    status, strategy = deployment.status, deployment.spec.strategy
    if status.progress_at is None or strategy.paused or deployment.meta.is_deleting:
        return None
    return status.progress_at + strategy.progress_deadline_s


def _is_rolling(status: DeploymentStatus) -> bool:
    return status.progress_at is not None


def _is_stalled(deployment: Deployment, status: DeploymentStatus, now: Instant) -> bool:
    at = stalls_at(replace(deployment, status=status))
    return at is not None and now >= at


def _rolled(deployment: Deployment, tally: Tally, now: Instant) -> DeploymentStatus:
    """The status but for its conditions: what there is, and how far the rollout has come."""
    old, template = deployment.status, digest_of(template_of(deployment.spec))
    done = replace(
        old,
        observed_generation=deployment.meta.generation,
        replicas=tally.total - tally.deleting,
        ready_replicas=tally.ready,
        updated_replicas=updated(tally),
        template=template,
    )
    if is_complete(deployment.spec, tally):
        # Since then the world has moved on, and what failed may be tried again.
        reverted = old.reverted if old.completed == template else None
        return replace(done, completed=template, progress=0, progress_at=None, reverted=reverted)
    if template == old.completed and not tally.old:
        return replace(done, progress=0, progress_at=None)  # because what is lost or scaled is no rollout
    progress = updated(tally) + available(tally) - tally.old_available - tally.old
    # A change of the spec sets the clock anew, and so does the end of a pause, during which nobody looks at it (U5).
    is_new = old.progress_at is None or old.observed_generation != deployment.meta.generation
    if is_new or progress > old.progress:
        return replace(done, progress=progress, progress_at=now)
    return done


def _happening(deployment: Deployment, available: Condition, progressing: Condition) -> Happening:
    old = condition(deployment.status.conditions, AVAILABLE)
    was, now_is = old.status if old is not None else "false", available.status
    kind: EventType = "deployment.updated"
    if was != now_is:
        kind = "deployment.available" if now_is == "true" else "deployment.unavailable"
    told = progressing if was == now_is else available
    return Happening(type=kind, actor=ACTOR, reason=told.reason, message=told.message or None)


def _available(deployment: Deployment, tally: Tally) -> Condition:
    if available(tally) >= deployment.spec.replicas:
        return _said(deployment, AVAILABLE, "true", "ReplicasReady")
    return _said(deployment, AVAILABLE, "false", _NOT_READY, "some replicas are not ready")


def _progressing(
    deployment: Deployment, use: PluginUse, tally: Tally, trouble: VolantError | None, is_stalled: bool
) -> Condition:
    replicas = deployment.spec.replicas
    if deployment.meta.is_deleting:
        return _said(deployment, PROGRESSING, "true", "Deleting", "waiting until every replica is gone")
    if use != "usable":
        return _unusable(deployment, use)
    if trouble is not None:
        return _said(deployment, PROGRESSING, "false", trouble.reason, trouble.message)
    if is_stalled:
        return _said(deployment, PROGRESSING, "false", STALLED, _NO_PROGRESS)
    if tally.old:
        return _rolling(deployment)
    if tally.total - tally.deleting != replicas:
        return _said(deployment, PROGRESSING, "true", "Scaling")
    if available(tally) >= replicas:
        return _said(deployment, PROGRESSING, "true", _COMPLETE)
    if _was_complete(deployment):
        return _said(deployment, PROGRESSING, "false", _NOT_READY, "a replica that was ready no longer is")
    return _said(deployment, PROGRESSING, "true", "WaitingForReplicas", "every replica exists, some are not ready yet")


def _rolling(deployment: Deployment) -> Condition:
    if deployment.spec.strategy.paused:
        message = "some replicas are of another template, and stay until the rollout is resumed"
        return _said(deployment, PROGRESSING, "unknown", "RolloutPaused", message)
    message = "replicas of another template are being replaced"
    return _said(deployment, PROGRESSING, "true", "RollingOut", message)


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
