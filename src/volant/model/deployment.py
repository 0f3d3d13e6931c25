"""The Deployment: so many VMs of one plugin, kept alive."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta as Constraint
from msgspec import Struct, field
from msgspec.structs import replace

from volant.clock import Instant
from volant.model.conditions import Conditions, condition, is_true
from volant.model.meta import Meta
from volant.model.rollout import RolloutWord, Strategy, Template, digest_of
from volant.model.vm import RestartPolicy, VMConfig

AVAILABLE = "available"
PROGRESSING = "progressing"
MAX_REPLICAS = 10_000
FINALIZER = "volant/deployment"
"""Held by the deployment controller: the row goes after the last child (foreground deletion)."""

Replicas = Annotated[int, Constraint(ge=0, le=MAX_REPLICAS, description="How many VMs there should be.")]
Phase = Literal["pending", "scaling", "running", "degraded", "deleting"]


class DeploymentSpec(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Desired: `replicas` VMs, each made from `plugin` and `config`, carrying `labels`.

    `restart_nonce` grows by one each time that all of them are to be made anew; `strategy` is how that is done.
    """

    plugin: str
    replicas: Replicas = 1
    config: VMConfig = field(default_factory=VMConfig)
    restart_policy: RestartPolicy = "always"
    labels: dict[str, str] = {}
    restart_nonce: int = 0
    strategy: Strategy = Strategy()


class DeploymentStatus(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Observed: children that exist and are not being deleted, and how many of them are ready.

    `updated_replicas` are made of `template`, the digest of the one that this status speaks of; `completed` is that of
    the last one of which all replicas were. While a rollout is under way `progress_at` is when it last came further
    than ever, and `progress` how far. `reverted` is the template that was taken back for want of progress, until
    another one has been complete: an apply that says the same again is refused (U10).
    """

    observed_generation: int = 0
    replicas: int = 0
    ready_replicas: int = 0
    updated_replicas: int = 0
    template: str | None = None
    completed: str | None = None
    progress: int = 0
    progress_at: Instant | None = None
    reverted: str | None = None
    conditions: Conditions = ()


class Deployment(Struct, frozen=True, kw_only=True):
    """Replicas of one VM: what should be, and what is."""

    meta: Meta
    spec: DeploymentSpec
    status: DeploymentStatus = field(default_factory=DeploymentStatus)


def phase(deployment: Deployment) -> Phase:
    """One word for people, derived."""
    spec, status = deployment.spec, deployment.status
    if deployment.meta.is_deleting:
        return "deleting"
    if status.observed_generation < deployment.meta.generation or status.replicas != spec.replicas:
        return "scaling" if status.observed_generation else "pending"
    if is_true(status.conditions, AVAILABLE):
        return "running"
    if not is_true(status.conditions, PROGRESSING):
        return "degraded"
    return "scaling" if status.ready_replicas else "pending"


def is_scaling(deployment: Deployment) -> bool:
    """Whether it is on the way to what was asked for. One that got there and lost a replica is degraded instead."""
    spec, status = deployment.spec, deployment.status
    if status.observed_generation < deployment.meta.generation or status.replicas != spec.replicas:
        return True
    return status.ready_replicas != spec.replicas and is_true(status.conditions, PROGRESSING)


def template_of(spec: DeploymentSpec) -> Template:
    """What the VMs of this spec are made of."""
    return Template(
        plugin=spec.plugin,
        config=spec.config,
        restart_policy=spec.restart_policy,
        labels=spec.labels,
        nonce=spec.restart_nonce,
    )


def with_template(spec: DeploymentSpec, template: Template) -> DeploymentSpec:
    """The spec with that template in place of its own."""
    return replace(
        spec,
        plugin=template.plugin,
        config=template.config,
        restart_policy=template.restart_policy,
        labels=template.labels,
        restart_nonce=template.nonce,
    )


def rollout(deployment: Deployment) -> RolloutWord:
    """How far its VMs are from its template, as of what was last reported."""
    spec, status = deployment.spec, deployment.status
    if status.template == status.completed == digest_of(template_of(spec)) and status.progress_at is None:
        return "complete"
    if spec.strategy.paused:
        return "paused"
    progressing = condition(status.conditions, PROGRESSING)
    return "stalled" if progressing is not None and progressing.status == "false" else "rolling"


def child_name(deployment: str, ordinal: int) -> str:
    """`api`, 3 -> `api-3`. Deterministic, so that a create can never happen twice (R1)."""
    return f"{deployment}-{ordinal}"


MAX_NAME = 63 - len(f"-{MAX_REPLICAS * 2}")
"""Longest name of a deployment: its children's names must be DNS labels too."""
