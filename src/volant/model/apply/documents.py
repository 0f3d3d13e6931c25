"""The forms: what a manifest may say of each kind, and what an object says in the same words.

    {"kind": "VM", "metadata": {"name": "db"}, "spec": {"plugin": "postgres", "config": {...}}}

What is left out is nobody's word: a default is in force until somebody says otherwise. `live` of an object and `given`
of the document that made it are the same, but for what the document left out.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Struct, UnsetType, field
from msgspec import Meta as Constraint

from volant.model.apply.leaves import Leaves, leaves
from volant.model.deployment import Deployment, Replicas
from volant.model.meta import Kind, LabelKey, Labels, Name
from volant.model.objects import Object
from volant.model.plugin import Plugin
from volant.model.requests import AskedConfig, DeploymentName, GraceS, cloud_init_of
from volant.model.rollout import StrategyPatch
from volant.model.vm import VM, Power, RestartPolicy

Annotations = Annotated[
    dict[LabelKey, Annotated[str, Constraint(max_length=4096)]],
    Constraint(max_length=64, description="At most 64 annotations: text for people and tools, never looked into."),
]


class Metadata(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which object, and what is pinned to it."""

    name: Name
    labels: Labels | UnsetType = UNSET
    annotations: Annotations | UnsetType = UNSET


class DeploymentMetadata(Metadata, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """As Metadata, with a name that leaves room for its VMs'."""

    name: DeploymentName


class VMTold(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a manifest says of a VM."""

    plugin: Name
    config: AskedConfig = field(default_factory=AskedConfig)
    restart_policy: RestartPolicy | UnsetType = UNSET
    grace_s: GraceS | UnsetType = UNSET
    power: Power | UnsetType = UNSET


class DeploymentTold(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a manifest says of a deployment."""

    plugin: Name
    replicas: Replicas | UnsetType = UNSET
    config: AskedConfig = field(default_factory=AskedConfig)
    restart_policy: RestartPolicy | UnsetType = UNSET
    strategy: StrategyPatch = field(default_factory=StrategyPatch)


class VMDocument(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A VM as a manifest says it."""

    kind: Literal["VM"]
    metadata: Metadata
    spec: VMTold


class DeploymentDocument(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A deployment as a manifest says it."""

    kind: Literal["Deployment"]
    metadata: DeploymentMetadata
    spec: DeploymentTold


class PluginDocument(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A plugin as a manifest says it. `spec` is a plugin manifest without name and labels, and may say `enabled`."""

    kind: Literal["Plugin"]
    metadata: Metadata
    spec: dict[str, Any]


Document = VMDocument | DeploymentDocument | PluginDocument

FORMS: dict[str, type[VMDocument] | type[DeploymentDocument] | type[PluginDocument]] = {
    "VM": VMDocument,
    "Deployment": DeploymentDocument,
    "Plugin": PluginDocument,
}


def given(document: Document) -> Leaves:
    """What a document says, in one normal form: two spellings of one thing have the same leaves."""
    said = msgspec.to_builtins(document)
    del said["kind"], said["metadata"]["name"]
    if not isinstance(document, PluginDocument):
        said["spec"]["config"]["cloud_init"] = msgspec.to_builtins(cloud_init_of(document.spec.config.cloud_init))
    return leaves(said)


def live(obj: Object) -> Leaves:
    """What an object says in the words of a document, defaults included."""
    metadata = {"labels": obj.meta.labels, "annotations": obj.meta.annotations}
    return leaves({"metadata": metadata, "spec": _told(obj)})


def key_kind(document: Document) -> Kind:
    """The kind of the object that a document is about."""
    return document.kind


def _told(obj: Object) -> dict[str, Any]:
    if isinstance(obj, Plugin):
        manifest = msgspec.to_builtins(obj.spec.manifest)
        return {**{k: v for k, v in manifest.items() if k not in ("name", "labels")}, "enabled": obj.spec.enabled}
    assert isinstance(obj, VM | Deployment)  # noqa: S101 -- a sync is of the settings, and no document makes one
    told: dict[str, Any] = {
        "plugin": obj.spec.plugin,
        "config": msgspec.to_builtins(obj.spec.config),
        "restart_policy": obj.spec.restart_policy,
    }
    if isinstance(obj, Deployment):
        strategy = msgspec.structs.asdict(obj.spec.strategy)
        return {**told, "replicas": obj.spec.replicas, "strategy": strategy}
    assert isinstance(obj, VM)  # noqa: S101 -- there are three kinds
    return {**told, "grace_s": obj.spec.grace_s, "power": obj.spec.power}
