"""The Deployment: so many VMs of one plugin, kept alive."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta as Constraint
from msgspec import Struct, field

from volant.model.conditions import Conditions, is_true
from volant.model.meta import Meta
from volant.model.vm import RestartPolicy, VMConfig

AVAILABLE = "available"
PROGRESSING = "progressing"
MAX_REPLICAS = 10_000
FINALIZER = "volant/deployment"
"""Held by the deployment controller: the row goes after the last child (foreground deletion)."""

Replicas = Annotated[int, Constraint(ge=0, le=MAX_REPLICAS, description="How many VMs there should be.")]
Phase = Literal["pending", "scaling", "running", "degraded", "deleting"]


class DeploymentSpec(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Desired: `replicas` VMs, each made from `plugin` and `config`, carrying `labels`."""

    plugin: str
    replicas: Replicas = 1
    config: VMConfig = field(default_factory=VMConfig)
    restart_policy: RestartPolicy = "always"
    labels: dict[str, str] = {}


class DeploymentStatus(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Observed: children that exist and are not being deleted, and how many of them are ready."""

    observed_generation: int = 0
    replicas: int = 0
    ready_replicas: int = 0
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


def child_name(deployment: str, ordinal: int) -> str:
    """`api`, 3 -> `api-3`. Deterministic, so that a create can never happen twice (R1)."""
    return f"{deployment}-{ordinal}"


MAX_NAME = 63 - len(f"-{MAX_REPLICAS * 2}")
"""Longest name of a deployment: its children's names must be DNS labels too."""
