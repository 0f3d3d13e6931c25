"""The Plugin: a manifest that says what a guest is made of, and where its artifacts have got to."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Annotated, Literal

from msgspec import Meta as Constraint
from msgspec import Struct, field

from volant.model.conditions import Conditions
from volant.model.document import OpenApi
from volant.model.health import HealthCheck, Port, Target
from volant.model.meta import Labels, Meta, Misfit, Name
from volant.model.vm import (
    CloudInit,
    DisksConfig,
    Env,
    NetworkConfig,
    Resources,
    UserData,
    check_disks,
    check_env,
)

ArtifactState = Literal["pending", "downloading", "ready", "error"]
Role = Literal["kernel", "initramfs", "rootfs"]
Url = Annotated[
    str,
    Constraint(
        # Nobody's password: it would be stored, and every reader of a manifest would have it.
        pattern=r"^(https?|file):(?!//[^/?#]*@)[!-~]+$(?!\n)",
        max_length=2048,
        description="An http, https or file address, without a user name or password.",
    ),
]
Checksum = Annotated[
    str,
    Constraint(
        pattern=r"^sha256:[0-9a-f]{64}$(?!\n)",
        description="'sha256:' followed by 64 lower-case hexadecimal digits.",
    ),
]

READY = "ready"
FINALIZER = "volant/plugin"

_CHECKSUM = re.compile(r"sha256:([0-9a-f]{64})")


def parse_checksum(text: str) -> str:
    """`sha256:<64 lower-case hex digits>` -> the hex digits. Raises ValueError with a sentence for people."""
    found = _CHECKSUM.fullmatch(text)
    if found is None:
        raise ValueError("expected 'sha256:' followed by 64 lower-case hexadecimal digits")
    return found[1]


class Source(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Where an artifact comes from. The checksum is of the bytes as served."""

    url: Url
    checksum: Checksum | None = None

    def __post_init__(self) -> None:
        if self.checksum is not None:
            parse_checksum(self.checksum)


class Rootfs(Source, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """A root disk. The format is stated, never probed."""

    format: Literal["qcow2", "raw"]


class KernelSource(Source, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """A kernel and the command line that its guests like. One line of printable characters."""

    cmdline: Annotated[str, Constraint(pattern=r"^[\x20-\x7e]*$(?!\n)", max_length=1024)] = ""


class Workload(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """What the guest serves, and on which of its ports."""

    type: Literal["http", "tcp", "none"] = "none"
    port: Port | None = None


class Manifest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """What users install. `network`, `cloud_init`, `env` and `disks` are what VMs have that ask for nothing else.

    `cloud_init` as a string is its `user_data` alone.
    """

    name: Name
    version: Annotated[str, Constraint(min_length=1, max_length=64)]
    description: Annotated[str, Constraint(max_length=1024)] = ""
    workload: Workload = field(default_factory=Workload)
    resources: Resources = field(default_factory=Resources)
    kernel: KernelSource | None = None
    initramfs: Source | None = None
    rootfs: Rootfs | None = None
    health_check: HealthCheck | None = None
    openapi: OpenApi | None = None
    network: NetworkConfig | None = None
    cloud_init: CloudInit | UserData | None = None
    env: Env = {}
    disks: DisksConfig = {}
    labels: Labels = {}

    def __post_init__(self) -> None:
        misfit = next(self._misfits(), None)
        if misfit is not None:
            raise misfit

    def _misfits(self) -> Iterator[Misfit]:
        if self.initramfs is None and self.rootfs is None:
            yield Misfit("", "a plugin needs an initramfs or a rootfs")
        if self.initramfs is not None and self.kernel is None:
            yield Misfit("/kernel", "an initramfs needs a kernel")
        if self.workload.type != "none" and self.workload.port is None:
            yield Misfit("/workload/port", f"a workload of type {self.workload.type} needs a port")
        target = self.probe_target()
        if self.health_check is not None and target is None:
            yield Misfit("/health_check", "a health_check needs a type and a port where the workload has none")
        if target is not None and target.type == "tcp" and target.path != "/":
            yield Misfit("/health_check/path", "a health_check of type tcp has no path")
        if self.openapi is not None and self.openapi.path is not None and self.openapi_port() is None:
            yield Misfit("/openapi/port", "a path of openapi needs a port where the workload has none")
        if self.network is not None and self.network.publish:
            yield Misfit("/network/publish", "a place on the host is one VM's: publish ports in the config of a VM")
        try:
            check_env(self.env)
            check_disks(self.disks, has_rootfs=self.rootfs is not None)
        except Misfit as misfit:
            yield misfit

    def openapi_port(self) -> int | None:
        """The guest's port on which its OpenAPI document is asked for; None when nobody asks the guest."""
        said = self.openapi
        return None if said is None or said.path is None else said.port or self.workload.port

    def probe_target(self) -> Target | None:
        """What the probes of a guest ask: its health check, with the workload's own where that leaves something out."""
        check, workload = self.health_check, self.workload
        if check is None:
            return None
        kind, port = check.type or workload.type, check.port or workload.port
        return None if kind == "none" or port is None else Target(type=kind, port=port, path=check.path)

    def ports(self) -> tuple[int, ...]:
        """The guest's ports that are published, each once: that of the workload first."""
        target = self.probe_target()
        wanted = (self.workload.port, target.port if target is not None else None, self.openapi_port())
        return tuple(dict.fromkeys(port for port in wanted if port is not None))

    def sources(self) -> dict[Role, Source]:
        """The artifacts that have to be in the cache before a VM can start."""
        named: dict[Role, Source | None] = {"kernel": self.kernel, "initramfs": self.initramfs, "rootfs": self.rootfs}
        return {role: source for role, source in named.items() if source is not None}


class PluginSpec(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Desired. A disabled plugin cannot be used for new VMs; those that exist are left alone."""

    manifest: Manifest
    enabled: bool = True


class Artifact(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How far one artifact has come. `digest` (sha256, hex) names the file in the cache.

    `url` is where it came, or should have come, from: another one in the manifest is another artifact. `reason` and
    `message` say what went wrong while `state` is `error`.
    """

    state: ArtifactState = "pending"
    digest: str | None = None
    size_bytes: int = 0
    url: str | None = None
    reason: str | None = None
    message: str | None = None


class PluginStatus(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Observed, written by the plugin controller only."""

    observed_generation: int = 0
    artifacts: dict[str, Artifact] = {}
    conditions: Conditions = ()


class Plugin(Struct, frozen=True, kw_only=True):
    """One kind of guest."""

    meta: Meta
    spec: PluginSpec
    status: PluginStatus = field(default_factory=PluginStatus)


def digests(plugin: Plugin) -> dict[str, str]:
    """Role -> digest of every artifact that is ready."""
    return {role: a.digest for role, a in plugin.status.artifacts.items() if a.state == "ready" and a.digest}


def is_complete(plugin: Plugin) -> bool:
    """Whether every artifact is in the cache."""
    return set(digests(plugin)) == set(plugin.spec.manifest.sources())
