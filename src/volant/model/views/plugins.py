"""What clients read of a plugin."""

from __future__ import annotations

from msgspec import Struct

from volant.model.document import SourceKind
from volant.model.health import HealthCheck
from volant.model.meta import Time
from volant.model.plugin import ArtifactState
from volant.model.views.configs import CloudInitView
from volant.model.views.vms import ConditionView
from volant.model.vm import DiskConfig, NetworkConfig, Resources


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
