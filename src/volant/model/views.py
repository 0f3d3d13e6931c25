"""What clients read: the Structs of the wire form, one field a JSON key.

Fields stand in the order in which the reference prints them, then come ours. A field that has nothing to say is left
out (`omit_defaults`), as in the reference; a field without a default is always there. Instants are RFC 3339 text.
How they are filled is in `wire`.
"""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from volant.model.conditions import Tristate
from volant.model.deployment import Phase
from volant.model.document import SourceKind
from volant.model.event import PastEvent
from volant.model.health import HealthCheck
from volant.model.meta import Kind, Owner, Time
from volant.model.plugin import ArtifactState
from volant.model.rollout import RolloutWord, Strategy
from volant.model.vm import (
    DiskConfig,
    Egress,
    Endpoint,
    ExitReason,
    HealthWord,
    NetworkConfig,
    NetworkMode,
    Publish,
    Resources,
    RestartPolicy,
    StatusWord,
)
from volant.model.why import Outlook
from volant.model.why.link import Subject


class ConditionView(Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """One condition."""

    type: str
    status: Tristate
    last_update: Time
    reason: str
    message: str = ""
    observed_generation: int


class NetworkView(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How the guest is attached, the daemon's own mode filled in."""

    mode: NetworkMode
    bridge_name: str | None = None
    egress: Egress | None = None
    publish: tuple[Publish, ...] = ()


class CloudInitView(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What cloud-init is told."""

    enabled: bool
    user_data: str | None = None
    meta_data: str | None = None
    network_config: str | None = None


class ConfigView(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a VM is booted with next; of a deployment, what its VMs are made with."""

    resources: Resources
    network: NetworkView
    cloud_init: CloudInitView | None = None
    env: dict[str, str] = {}
    disks: dict[str, DiskConfig] = {}
    restart_required: bool | None = None


class ChangeView(Struct, frozen=True, kw_only=True):
    """What stood at one path, and what stands there since. Null: nothing. Of a secret there is a digest."""

    old: Any
    new: Any


class ConfigChangeView(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One entry of `GET /vms/{name}/config/history`. `changes` is by dotted path; `{"created": true}` is the oldest."""

    timestamp: Time
    changes: dict[str, ChangeView | bool]
    author: str
    request_id: str | None = None
    generation: int


class HealthView(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The outcome of the probes."""

    status: HealthWord
    last_check: Time | None = None


class ExitView(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How the last guest ended."""

    reason: ExitReason
    at: Time
    code: int | None = None
    message: str = ""


class VMView(Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """A VM as the API shows it."""

    name: str
    status: StatusWord
    plugin: str
    ip: str | None = None
    pid: int | None = None
    created_at: Time
    resources: Resources
    health: HealthView | None = None
    uid: str
    generation: int
    revision: int
    labels: dict[str, str] = {}
    owner: Owner | None = None
    restart_policy: RestartPolicy
    restart_required: bool
    restarts: int
    started_at: Time | None = None
    next_restart_at: Time | None = None
    deleting_since: Time | None = None
    exit: ExitView | None = None
    endpoints: tuple[Endpoint, ...] = ()
    node: str | None = None
    accelerator: str | None = None
    isolation: str | None = None
    conditions: tuple[ConditionView, ...] = ()


class DeploymentStatusView(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The reference's `status` of a deployment."""

    phase: Phase
    conditions: tuple[ConditionView, ...]
    observed_generation: int


class RevisionView(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A template that a deployment has or had. `cause` is what was asked for when it came to be."""

    revision: int
    created_at: Time
    cause: str
    current: bool
    complete: bool
    plugin: str
    labels: dict[str, str] = {}
    restart_policy: RestartPolicy
    config: ConfigView


class DeploymentView(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A deployment as the API shows it. `vms` are those that are there to stay, in the order of their ordinals.

    `updated_replicas` of them are made of its template, whose revision is `template_revision`.
    """

    name: str
    plugin: str
    replicas: int
    ready_replicas: int
    vms: list[str]
    created_at: Time
    scaling: bool
    status: DeploymentStatusView
    uid: str
    generation: int
    revision: int
    labels: dict[str, str] = {}
    restart_policy: RestartPolicy
    config: ConfigView
    strategy: Strategy
    template_revision: int
    updated_replicas: int
    rollout: RolloutWord
    deleting_since: Time | None = None


class WorkloadView(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What the guest serves."""

    type: str
    port: int | None = None


class ArtifactView(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How far one artifact has come. Without its address, which may carry a password."""

    state: ArtifactState
    digest: str | None = None
    size_bytes: int | None = None
    reason: str | None = None
    message: str | None = None


class OpenApiView(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Where the OpenAPI document of a guest's own API comes from: `GET /vms/{name}/openapi` has the document."""

    source: SourceKind
    file: str | None = None
    path: str | None = None
    port: int | None = None


class PluginView(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A plugin as the API shows it."""

    name: str
    version: str
    description: str
    workload: WorkloadView
    resources: Resources
    installed_at: Time
    enabled: bool
    artifacts: dict[str, ArtifactView]
    uid: str
    generation: int
    revision: int
    labels: dict[str, str] = {}
    health_check: HealthCheck | None = None
    openapi: OpenApiView | None = None
    network: NetworkConfig | None = None
    cloud_init: CloudInitView | None = None
    env: dict[str, str] = {}
    disks: dict[str, DiskConfig] = {}
    deleting_since: Time | None = None
    conditions: tuple[ConditionView, ...] = ()


class PluginNames(Struct, frozen=True, kw_only=True):
    """`GET /plugins`: Their names, in the order of installation."""

    plugins: list[str]


class LinkView(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One link of a chain of causes: what is so (`says`, for people; `reason`, for programs) of which subject.

    A link of a higher `level` says why the nearest one before it of a lower level is so. `generation` is the one that
    it is true of. `next_try_at` is when something happens by itself, at the latest.
    """

    kind: Subject
    name: str
    level: int
    says: str
    reason: str
    generation: int | None = None
    since: Time | None = None
    next_try_at: Time | None = None
    numbers: dict[str, int | float] = {}


class TurnView(Struct, frozen=True, kw_only=True):
    """How a controller's last look at the object ended, `times` in a row; `at` is the last of them."""

    controller: str
    at: Time
    outcome: str
    times: int


class WhyView(Struct, frozen=True, kw_only=True):
    """Why an object is not ready. `outlook`: it is ready, will be by itself, or will not be unless somebody acts.

    `chain` begins with the object itself and is never empty. `turns` are the last looks that this daemon took at it,
    and `events` the last that were committed of it; both end with the newest.
    """

    kind: Kind
    name: str
    at: Time
    status: str
    outlook: Outlook
    uid: str
    revision: int
    generation: int
    observed_generation: int
    chain: tuple[LinkView, ...]
    turns: tuple[TurnView, ...]
    events: tuple[PastEvent, ...]


class SystemFacts(Struct, frozen=True, kw_only=True):
    """What the daemon knows of itself and its host, in MiB where it is memory."""

    version: str
    commit: str
    build_date: str
    python_version: str
    platform: str
    cpu_count: int
    memory_total_mb: int
    memory_available_mb: int
    hypervisor: str
    hypervisor_version: str
    accelerator: str
    isolation: str
    network: NetworkMode
    detail: str = ""
    confinement: dict[str, str] = {}


class Stats(Struct, frozen=True, kw_only=True):
    """How many there are."""

    total_vms: int
    running_vms: int
    total_deployments: int
    total_plugins: int


class HostResources(Struct, frozen=True, kw_only=True):
    """What the host has."""

    cpu_count: int
    memory_total_mb: int
    memory_available_mb: int


class SystemInfo(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`GET /system/info`. `go_version` is the reference's key; nothing here is written in Go."""

    version: str
    commit: str
    build_date: str
    go_version: str | None
    platform: str
    stats: Stats
    resources: HostResources
    python_version: str
    hypervisor: str
    hypervisor_version: str
    accelerator: str
    isolation: str
    network: NetworkMode
    detail: str = ""
    confinement: dict[str, str] = {}
