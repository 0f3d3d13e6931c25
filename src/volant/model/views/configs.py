"""What clients read of a config, and of what was changed in it."""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from volant.model.meta import Time
from volant.model.vm import DiskConfig, Egress, NetworkMode, Publish, Resources


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
