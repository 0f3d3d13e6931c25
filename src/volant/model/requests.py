"""What clients may say: the bodies of every request, before the store is asked anything. Query parameters: `queries`.

    bytes ──api.body──▶ request Struct ──resolve──▶ spec

Unknown fields are refused everywhere (`forbid_unknown_fields`), because a misspelt field that is ignored is a VM of the
wrong size. What can be left out has a default here or, where the plugin decides, is UNSET until `resolve` is told what
the plugin says. Nothing here can carry a status: users write specs (V5).
"""

from __future__ import annotations

from typing import Annotated

from msgspec import UNSET, Struct, UnsetType, field
from msgspec import Meta as Constraint

from volant.model.deployment import MAX_NAME, Replicas
from volant.model.meta import NAME_PATTERN, Labels, Name
from volant.model.vm import (
    CloudInit,
    MemoryMb,
    NetworkConfig,
    Resources,
    RestartPolicy,
    Vcpu,
    VMConfig,
)

DeploymentName = Annotated[
    str,
    Constraint(
        pattern=NAME_PATTERN,
        max_length=MAX_NAME,
        description=f"A DNS label of at most {MAX_NAME} characters: VMs are named after it.",
    ),
]
GraceS = Annotated[float, Constraint(ge=0, le=3600, description="Seconds a guest gets to shut down by itself.")]


class AskedResources(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Resources of which any may be left to the plugin."""

    vcpu: Vcpu | UnsetType = UNSET
    memory_mb: MemoryMb | UnsetType = UNSET


class AskedConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A VM's config of which any part may be left out."""

    resources: AskedResources = field(default_factory=AskedResources)
    network: NetworkConfig = field(default_factory=NetworkConfig)
    cloud_init: CloudInit | None = None


def resolve(asked: AskedConfig, defaults: Resources) -> VMConfig:
    """The config of a VM: what was asked for, and for the rest `defaults`, the plugin's own."""
    resources = Resources(
        vcpu=defaults.vcpu if asked.resources.vcpu is UNSET else asked.resources.vcpu,
        memory_mb=defaults.memory_mb if asked.resources.memory_mb is UNSET else asked.resources.memory_mb,
    )
    return VMConfig(resources=resources, network=asked.network, cloud_init=asked.cloud_init)


class NewVM(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`POST /vms`."""

    name: Name
    plugin: Name
    config: AskedConfig = field(default_factory=AskedConfig)
    labels: Labels = {}
    restart_policy: RestartPolicy = "always"
    grace_s: GraceS = 30.0


class NewDeployment(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`POST /deployments`. The labels are the deployment's own and those of its VMs."""

    name: DeploymentName
    plugin: Name
    replicas: Replicas = 1
    config: AskedConfig = field(default_factory=AskedConfig)
    labels: Labels = {}
    restart_policy: RestartPolicy = "always"


class Scale(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`PATCH /deployments/{name}`."""

    replicas: Replicas


class Enable(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`POST /plugins/{plugin}/enabled`."""

    enabled: bool
