"""Objects as tests like to say them: what is named matters, everything else is a sensible default.

    a_vm("web-1", power="stopped", deleting=True, status=running_status(pid=7), owner=a_deployment("web"))

Pure and deterministic: the same words give the same object, the uid included (`uid_of(name, kind)`).
"""

from __future__ import annotations

import hashlib
from typing import Any

from volant.clock import Instant, Uid
from volant.model import deployment as deployments
from volant.model import plugin as plugins
from volant.model import vm as vms
from volant.model.conditions import Condition
from volant.model.deployment import Deployment, DeploymentSpec, DeploymentStatus
from volant.model.meta import Kind, Meta, Owner
from volant.model.objects import Object
from volant.model.plugin import Artifact, KernelSource, Manifest, Plugin, PluginSpec, PluginStatus, Source, Workload
from volant.model.vm import VM, Booted, Power, VMConfig, VMSpec, VMStatus

NOW: Instant = 1_700_000_000.0
"""When built objects were created, and when those on their way out were asked to go."""


def uid_of(name: str, kind: Kind = "VM") -> Uid:
    """The uid that a built object of this kind and name has unless told otherwise."""
    return Uid(hashlib.sha256(f"{kind}/{name}".encode()).hexdigest()[:32])


def owner_of(obj: Object) -> Owner:
    """The reference by which a dependent names `obj`."""
    return Owner(kind=obj.meta.kind, name=obj.meta.name, uid=obj.meta.uid)


def running_status(
    *, pid: int = 4242, ready: bool = True, config: VMConfig | None = None, restart_nonce: int = 0, **status: Any
) -> VMStatus:
    """The status of a VM whose guest runs; `status` are further fields of VMStatus."""
    conditions = (Condition(type=vms.READY, status="true" if ready else "false", reason="Running", last_update=NOW),)
    said: dict[str, Any] = {"observed_generation": 1, "started_at": NOW, "conditions": conditions, **status}
    return VMStatus(pid=pid, booted=Booted(config=config or VMConfig(), restart_nonce=restart_nonce), **said)


def stopped_status(**status: Any) -> VMStatus:
    """The status of a VM that was seen not to run."""
    conditions = (Condition(type=vms.READY, status="false", reason="Stopped", last_update=NOW),)
    return VMStatus(**{"observed_generation": 1, "conditions": conditions, **status})


def a_vm(
    name: str = "web-1",
    *,
    plugin: str = "hello",
    power: Power = "running",
    deleting: bool | Instant = False,
    status: VMStatus | None = None,
    owner: Object | Owner | None = None,
    uid: str | None = None,
    meta: dict[str, Any] | None = None,
    **spec: Any,
) -> VM:
    """A VM; `meta` are further fields of Meta (generation, revision, labels, finalizers), `spec` of VMSpec."""
    return VM(
        meta=_meta("VM", name, vms.FINALIZER, deleting, owner, uid, meta),
        spec=VMSpec(plugin=plugin, power=power, **spec),
        status=status or VMStatus(),
    )


def a_deployment(
    name: str = "web",
    *,
    plugin: str = "hello",
    replicas: int = 1,
    deleting: bool | Instant = False,
    status: DeploymentStatus | None = None,
    uid: str | None = None,
    meta: dict[str, Any] | None = None,
    **spec: Any,
) -> Deployment:
    """A Deployment; `meta` are further fields of Meta, `spec` of DeploymentSpec."""
    return Deployment(
        meta=_meta("Deployment", name, deployments.FINALIZER, deleting, None, uid, meta),
        spec=DeploymentSpec(plugin=plugin, replicas=replicas, **spec),
        status=status or DeploymentStatus(),
    )


def a_manifest(name: str = "hello", **manifest: Any) -> Manifest:
    """A manifest with a kernel, an initramfs and a page on port 8080; `manifest` replaces its fields."""
    said: dict[str, Any] = {
        "version": "1.0.0",
        "workload": Workload(type="http", port=8080),
        "kernel": KernelSource(url="http://127.0.0.1:9000/vmlinuz"),
        "initramfs": Source(url=f"http://127.0.0.1:9000/{name}.cpio"),
    }
    return Manifest(name=name, **{**said, **manifest})


def a_plugin(
    name: str = "hello",
    *,
    manifest: Manifest | None = None,
    enabled: bool = True,
    ready: bool = False,
    deleting: bool | Instant = False,
    status: PluginStatus | None = None,
    uid: str | None = None,
    meta: dict[str, Any] | None = None,
) -> Plugin:
    """A Plugin; `ready=True` has every artifact in the cache. `meta` are further fields of Meta."""
    manifest = manifest or a_manifest(name)
    return Plugin(
        meta=_meta("Plugin", name, plugins.FINALIZER, deleting, None, uid, meta),
        spec=PluginSpec(manifest=manifest, enabled=enabled),
        status=status or (complete_status(manifest) if ready else PluginStatus()),
    )


def complete_status(manifest: Manifest) -> PluginStatus:
    """The status of a plugin whose artifacts are all in the cache; each digest is of the role's name."""
    digests = {role: hashlib.sha256(role.encode()).hexdigest() for role in manifest.sources()}
    return PluginStatus(
        observed_generation=1,
        artifacts={role: Artifact(state="ready", digest=digest, size_bytes=1) for role, digest in digests.items()},
        conditions=(Condition(type=plugins.READY, status="true", reason="Ready", last_update=NOW),),
    )


def _meta(
    kind: Kind,
    name: str,
    finalizer: str,
    deleting: bool | Instant,
    owner: Object | Owner | None,
    uid: str | None,
    more: dict[str, Any] | None,
) -> Meta:
    said: dict[str, Any] = {
        "uid": Uid(uid) if uid is not None else uid_of(name, kind),
        "created_at": NOW,
        "owner": owner if owner is None or isinstance(owner, Owner) else owner_of(owner),
        "finalizers": (finalizer,),
        "deleting_since": (NOW if deleting is True else deleting) if deleting is not False else None,
    }
    return Meta(name=name, kind=kind, **{**said, **(more or {})})
