"""What clients may say: the bodies of every request, before the store is asked anything. Query parameters: `queries`.

    bytes ──api.body──▶ request Struct ──resolve──▶ spec

Unknown fields are refused everywhere (`forbid_unknown_fields`), because a misspelt field that is ignored is a VM of the
wrong size; what was fixed when an object was made is refused with what to do instead (`FIXED`). What can be left out
has a default here or, where the plugin decides, is UNSET until `resolve` is told what the plugin says. Nothing here can
carry a status: users write specs (V5).
"""

from __future__ import annotations

from typing import Annotated, ClassVar

from msgspec import UNSET, Struct, UnsetType, field
from msgspec import Meta as Constraint
from msgspec.structs import replace

from volant.model.deployment import MAX_NAME, Replicas
from volant.model.meta import NAME_PATTERN, LabelKey, Labels, LabelValue, Name
from volant.model.patches import ConfigPatch
from volant.model.plugin import Manifest
from volant.model.rollout import StrategyPatch
from volant.model.vm import (
    CloudInit,
    DisksConfig,
    Env,
    MemoryMb,
    NetworkConfig,
    Resources,
    RestartPolicy,
    SeedText,
    UserData,
    Vcpu,
    VMConfig,
    check_config,
    check_env,
    check_publish,
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


class AskedCloudInit(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """What cloud-init is told, of which any part may be left to the plugin."""

    enabled: bool | None = None
    user_data: UserData | None = None
    meta_data: SeedText | None = None
    network_config: SeedText | None = None


class AskedConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A VM's config of which any part may be left out. `cloud_init` as a string is its `user_data` alone."""

    resources: AskedResources = field(default_factory=AskedResources)
    network: NetworkConfig = field(default_factory=NetworkConfig)
    cloud_init: AskedCloudInit | UserData | None = None
    env: Env = {}
    disks: DisksConfig = {}

    def __post_init__(self) -> None:
        check_env(self.env)
        check_publish(self.network.publish)


def resolve(asked: AskedConfig, manifest: Manifest) -> VMConfig:
    """The config of a VM: what was asked for, and for the rest what the plugin says.

    Part by part, and of `env` and `disks` name by name; null is as good as left out. Raises Misfit for what the two
    together make wrong, such as more variables than a VM may have.
    """
    defaults, said = manifest.resources, asked.resources
    config = VMConfig(
        resources=Resources(
            vcpu=defaults.vcpu if said.vcpu is UNSET else said.vcpu,
            memory_mb=defaults.memory_mb if said.memory_mb is UNSET else said.memory_mb,
        ),
        network=_network(asked.network, manifest.network),
        cloud_init=_cloud_init(cloud_init_of(asked.cloud_init), cloud_init_of(manifest.cloud_init)),
        env={**manifest.env, **asked.env},
        disks={**manifest.disks, **asked.disks},
    )
    check_config(config, has_rootfs=manifest.rootfs is not None)
    return config


def cloud_init_of(told: AskedCloudInit | CloudInit | str | None) -> AskedCloudInit:
    """Either form as parts."""
    if isinstance(told, CloudInit):
        return AskedCloudInit(
            enabled=told.enabled,
            user_data=told.user_data,
            meta_data=told.meta_data,
            network_config=told.network_config,
        )
    return AskedCloudInit(user_data=told) if isinstance(told, str) else told or AskedCloudInit()


def _network(asked: NetworkConfig, default: NetworkConfig | None) -> NetworkConfig:
    if default is None or asked.mode not in (None, default.mode):
        return asked  # because the name of a bridge means nothing in another mode
    return replace(
        asked,
        mode=default.mode,
        bridge_name=asked.bridge_name or default.bridge_name,
        egress=default.egress if asked.egress is None else asked.egress,
    )


def _cloud_init(asked: AskedCloudInit, default: AskedCloudInit) -> CloudInit | None:
    if asked == default == AskedCloudInit():
        return None
    enabled = asked.enabled if asked.enabled is not None else default.enabled
    return CloudInit(
        enabled=enabled is not False,
        user_data=_either(asked.user_data, default.user_data),
        meta_data=_either(asked.meta_data, default.meta_data),
        network_config=_either(asked.network_config, default.network_config),
    )


def _either(asked: str | None, default: str | None) -> str | None:
    return default if asked is None else asked


class NewVM(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`POST /vms`: A VM to be made and started.

    `restart_policy` says what becomes of it when its guest ends without being asked to.
    """

    name: Name
    plugin: Name
    config: AskedConfig = field(default_factory=AskedConfig)
    labels: Labels = {}
    restart_policy: RestartPolicy = "always"
    grace_s: GraceS = 30.0


class NewDeployment(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`POST /deployments`: So many VMs of one plugin. The labels are the deployment's own and those of its VMs."""

    name: DeploymentName
    plugin: Name
    replicas: Replicas = 1
    config: AskedConfig = field(default_factory=AskedConfig)
    labels: Labels = {}
    restart_policy: RestartPolicy = "always"
    strategy: StrategyPatch = field(default_factory=StrategyPatch)


class Scale(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`PATCH /deployments/{name}`: How many VMs there should be from now on, and of what: a merge patch (RFC 7396).

    What is left out stays. `config` is merged as that of a VM is, `labels` key by key, `strategy` field by field.
    """

    FIXED: ClassVar = {"name": "cannot be changed: delete the deployment and create it again with another one"}
    """What was said at its creation, and what to do instead of changing it."""

    replicas: Replicas | UnsetType = UNSET
    plugin: Name | UnsetType = UNSET
    config: ConfigPatch | UnsetType | None = UNSET
    labels: (
        Annotated[
            dict[LabelKey, LabelValue | None],
            Constraint(max_length=128, description="Labels to set; null removes one."),
        ]
        | UnsetType
        | None
    ) = UNSET
    restart_policy: RestartPolicy | UnsetType = UNSET
    strategy: StrategyPatch | UnsetType | None = UNSET


class Rollback(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`POST /deployments/{name}/rollback`: Which template to go back to; without one, the one before."""

    revision: Annotated[int, Constraint(ge=1, description="The number of a revision.")] | UnsetType = UNSET


class Enable(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`POST /plugins/{plugin}/enabled`: Whether new VMs may be made of it."""

    enabled: bool
