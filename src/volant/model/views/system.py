"""What clients read of the daemon and its host."""

from __future__ import annotations

from msgspec import Struct

from volant.model.vm import NetworkMode


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
