"""How many children to make and to take, and when to go back: the arithmetic of replicas and rollouts, pure and total.

    total ≤ replicas + surge          (U1)      more are made up to there
    available ≥ replicas - away       (U1)      old ones are taken down to there

A rollout is under way while there are old children, those of another template. It takes away no child that is needed:
what crashes meanwhile makes fewer available, and then those that are ready stay. With one child a transaction or five
hundred, each of them keeps both bounds by itself, so it does not matter where a crash of the daemon falls.
"""

from __future__ import annotations

from typing import Literal, NamedTuple, Protocol

from volant.clock import Instant
from volant.model.conditions import condition
from volant.model.deployment import PROGRESSING, Deployment, DeploymentSpec, DeploymentStatus, template_of
from volant.model.rollout import bounds_of, digest_of

STALLED = "ProgressDeadlineExceeded"
"""The reason of `progressing` once a rollout has not come further for too long."""

PluginUse = Literal["usable", "disabled", "missing"]
"""Whether VMs may be made from the plugin. A plugin on its way out is missing."""


class Tally(Protocol):
    """The children, counted: what `Store.tally` gives. A ready one is never a deleting one."""

    @property
    def total(self) -> int:
        """All rows."""

    @property
    def ready(self) -> int:
        """Those that count as ready replicas."""

    @property
    def deleting(self) -> int:
        """Those on their way out."""

    @property
    def old(self) -> int:
        """Those to stay that are made of another template."""

    @property
    def old_available(self) -> int:
        """Those of them that have been ready for long enough."""

    @property
    def unripe(self) -> int:
        """Those that are ready, and have not been for long enough."""

    @property
    def next_ready(self) -> Instant | None:
        """Since when the first of them has been ready."""


class Amounts(NamedTuple):
    """What is due: too many children, too many new ones, too few, and old ones that may go now."""

    surplus: int = 0
    surplus_new: int = 0
    missing: int = 0
    retiring: int = 0


def available(tally: Tally) -> int:
    """How many have been ready for long enough (U4)."""
    return tally.ready - tally.unripe


def updated(tally: Tally) -> int:
    """How many are made of the template that the deployment has."""
    return tally.total - tally.deleting - tally.old


def amounts(spec: DeploymentSpec, use: PluginUse, tally: Tally) -> Amounts:
    """What is due of a deployment that stays."""
    live, replicas, is_paused = tally.total - tally.deleting, spec.replicas, spec.strategy.paused
    # Of a template that was changed while it is paused there is no child yet, and no room for one (U8).
    is_rolling = tally.old > 0 and not (is_paused and updated(tally) == 0)
    most, least = bounds_of(spec.strategy, replicas)
    most = most if is_rolling else replicas
    if live > most:
        return Amounts(surplus=live - most)
    if not is_rolling or is_paused:
        return Amounts(missing=max(0, replicas - live) if use == "usable" else 0)
    if updated(tally) > replicas:
        return Amounts(surplus_new=updated(tally) - replicas)
    if use != "usable":
        return Amounts()  # because whoever goes could not be replaced
    return Amounts(missing=min(most - live, replicas - updated(tally)), retiring=_retiring(tally, live, least))


def _retiring(tally: Tally, live: int, least: int) -> int:
    """U3: as many as are not needed, counting on no new one that is not available yet.

    Those that are not available go first. So while fewer are available than have to be, nobody else goes.
    """
    new_available = available(tally) - tally.old_available
    return max(0, min(tally.old, live - least - (updated(tally) - new_available)))


def is_complete(spec: DeploymentSpec, tally: Tally) -> bool:
    """U6: every replica is there, of the template that is asked for, and no more are away than may be."""
    is_there = updated(tally) == tally.total - tally.deleting == spec.replicas
    return is_there and available(tally) >= bounds_of(spec.strategy, spec.replicas).least


def should_revert(deployment: Deployment) -> bool:
    """U10: it was said of this very spec that it makes no progress, and there is a template to go back to.

    That is a template which was complete, so a rollout back to it that is stuck as well has nowhere to go.
    """
    said = condition(deployment.status.conditions, PROGRESSING)
    if said is None or said.reason != STALLED or said.observed_generation != deployment.meta.generation:
        return False
    return goes_back(deployment.spec, deployment.status)


def goes_back(spec: DeploymentSpec, status: DeploymentStatus) -> bool:
    """Whether this template is given up once it makes no progress."""
    is_asked = spec.strategy.auto_revert and not spec.strategy.paused
    return is_asked and status.completed not in (None, digest_of(template_of(spec)))
