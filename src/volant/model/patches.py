"""Merge patches of a VM's config (RFC 7396), with one thing more: what is removed goes back to the plugin's own.

    config ──builtins──▶ merged(target, patch, defaults) ──▶ config
                                 ▲
              ConfigPatch ───────┘

A patch changes what it names and nothing else, also where the plugin would by now say something else of the rest.
"""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Struct, UnsetType
from msgspec import Meta as Constraint

from volant.model.vm import (
    MAX_VARIABLES,
    BridgeName,
    EnvName,
    EnvValue,
    MemoryMb,
    NetworkMode,
    SeedText,
    UserData,
    Vcpu,
    VMConfig,
    check_env,
)


class ResourcesPatch(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """`PATCH /vms/{name}/config`: null goes back to what the plugin says."""

    vcpu: Vcpu | UnsetType | None = UNSET
    memory_mb: MemoryMb | UnsetType | None = UNSET


class NetworkPatch(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """`PATCH /vms/{name}/config`: null goes back to what the plugin says, else the daemon."""

    mode: NetworkMode | UnsetType | None = UNSET
    bridge_name: BridgeName | UnsetType | None = UNSET


class CloudInitPatch(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """`PATCH /vms/{name}/config`: null goes back to what the plugin says, else to nothing."""

    enabled: bool | UnsetType | None = UNSET
    user_data: UserData | UnsetType | None = UNSET
    meta_data: SeedText | UnsetType | None = UNSET
    network_config: SeedText | UnsetType | None = UNSET


class ConfigPatch(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """`PATCH /vms/{name}/config`: a merge patch (RFC 7396). What is left out stays, null goes back to the plugin's.

    `cloud_init` as a string takes the place of the whole: it is its `user_data` alone.
    """

    resources: ResourcesPatch | UnsetType | None = UNSET
    network: NetworkPatch | UnsetType | None = UNSET
    cloud_init: CloudInitPatch | UserData | UnsetType | None = UNSET
    env: (
        Annotated[
            dict[EnvName, EnvValue | None],
            Constraint(max_length=2 * MAX_VARIABLES, description="Variables to set; null removes one."),
        ]
        | UnsetType
        | None
    ) = UNSET


def patched(config: VMConfig, patch: ConfigPatch, default: VMConfig) -> VMConfig:
    """The config with the patch merged into it; what the patch removes is as in `default`.

    Raises Misfit at `/env` when there is more in it then than a VM may have.
    """
    said = merged(*map(msgspec.to_builtins, (config, patch, default)))
    if isinstance(said.get("cloud_init"), str):
        said["cloud_init"] = {"user_data": said["cloud_init"]}
    check_env(said.get("env", {}))
    return msgspec.convert(said, VMConfig)


def merged(target: Any, patch: Any, defaults: Any) -> Any:
    """RFC 7396's MergePatch over builtins, but for what `patch` removes: where `defaults` has it, that comes instead.

    With `defaults` empty it is the RFC's own. Changes none of its arguments.
    """
    if not isinstance(patch, dict):
        return patch
    result = dict(target) if isinstance(target, dict) else {}
    defaults = defaults if isinstance(defaults, dict) else {}
    for key, value in patch.items():
        if value is not None:
            result[key] = merged(result.get(key), value, defaults.get(key))
        elif key in defaults:
            result[key] = defaults[key]
        else:
            result.pop(key, None)
    return result
