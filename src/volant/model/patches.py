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

from volant.model.meta import Misfit
from volant.model.vm import (
    MAX_DISKS,
    MAX_VARIABLES,
    BridgeName,
    DiskMb,
    DiskName,
    Egress,
    EnvName,
    EnvValue,
    MemoryMb,
    NetworkMode,
    PublishedPorts,
    SeedText,
    UserData,
    Vcpu,
    VMConfig,
    check_config,
    check_env,
    check_growth,
)


class ResourcesPatch(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """`PATCH /vms/{name}/config`: null goes back to what the plugin says."""

    vcpu: Vcpu | UnsetType | None = UNSET
    memory_mb: MemoryMb | UnsetType | None = UNSET


class NetworkPatch(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """`PATCH /vms/{name}/config`: null goes back to what the plugin says, else the daemon."""

    mode: NetworkMode | UnsetType | None = UNSET
    bridge_name: BridgeName | UnsetType | None = UNSET
    egress: Egress | UnsetType | None = UNSET
    publish: PublishedPorts | UnsetType | None = UNSET


class DiskPatch(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """`PATCH /vms/{name}/config`: a disk only ever grows."""

    size_mb: DiskMb | UnsetType | None = UNSET


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
    disks: (
        Annotated[
            dict[DiskName, DiskPatch | None],
            Constraint(max_length=2 * MAX_DISKS, description="Disks to add or to grow; null takes one off the VM."),
        ]
        | UnsetType
        | None
    ) = UNSET


def patched(config: VMConfig, patch: ConfigPatch, default: VMConfig, *, has_rootfs: bool = True) -> VMConfig:
    """The config with the patch merged into it; what the patch removes is as in `default`.

    Raises Misfit for what the two together make wrong: more variables than a VM may have, a disk that would shrink.
    """
    said = merged(*map(msgspec.to_builtins, (config, patch, default)))
    if isinstance(said.get("cloud_init"), str):
        said["cloud_init"] = {"user_data": said["cloud_init"]}
    check_env(said.get("env", {}))
    if len(said.get("disks", {})) > MAX_DISKS:
        raise Misfit("/disks", f"expected at most {MAX_DISKS} disks, not {len(said['disks'])}")
    new = msgspec.convert(said, VMConfig)
    check_config(new, has_rootfs=has_rootfs)
    check_growth(config, new)
    return new


def rebased(said: Any, old: Any, new: Any) -> Any:
    """`said` with what is as `old` has it taken from `new` instead: over builtins, changing none of them.

    For a config that was completed by one plugin, and is to be by another: what nobody asked for goes with the plugin.
    """
    if said == old:
        return new
    if not all(isinstance(one, dict) for one in (said, old, new)):
        return said
    kept = {k: rebased(v, old[k], new.get(k)) if k in old else v for k, v in said.items()}
    more = {k: v for k, v in new.items() if k not in said and k not in old}
    return {k: v for k, v in {**kept, **more}.items() if v is not None}


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
