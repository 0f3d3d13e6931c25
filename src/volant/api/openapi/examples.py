"""What requests and answers look like: every body of the document has an example, and each is checked by a test.

Answers are made as the views that they are examples of, so a view that changes takes its example along.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, get_args, get_origin

import msgspec
from msgspec import structs
from msgspec.structs import replace

from volant.api.apply.asked import Apply, SetRollback
from volant.api.deps import Check
from volant.api.openapi.plan_example import PLAN
from volant.api.openapi.set_example import APPLIES, DB, SET, SET_ROLLBACKS, WEB
from volant.api.openapi.sync_example import SYNC
from volant.api.system import DaemonHealth
from volant.clock import Uid
from volant.model.apply.documents import DeploymentDocument, VMDocument
from volant.model.apply.exported import ExportedView
from volant.model.apply.outcome import ApplyView, Planned, SetView
from volant.model.event import EventData, PastEvent
from volant.model.patches import ConfigPatch
from volant.model.plugin import Manifest
from volant.model.requests import Enable, NewDeployment, NewVM, Rollback, Scale
from volant.model.rollout import Strategy
from volant.model.summary import Summary
from volant.model.timeline import PlanView
from volant.model.timings import Timings
from volant.model.views import (
    ArtifactView,
    ChangeView,
    ConditionView,
    ConfigChangeView,
    ConfigView,
    DeploymentStatusView,
    DeploymentView,
    EndpointsView,
    HealthView,
    HostResources,
    LinkView,
    NetworkView,
    PluginNames,
    PluginView,
    ReplicaView,
    RevisionView,
    Stats,
    SyncView,
    SystemInfo,
    TurnView,
    VMView,
    WhyView,
    WorkloadView,
)
from volant.model.vm import Endpoint, Resources

Named = Mapping[str, tuple[str, Any]]
"""Name -> summary and value."""

_AT = "2025-01-15T10:00:00Z"
_LATER = "2025-01-15T10:05:00Z"
_SMALL = Resources(vcpu=2, memory_mb=512)
_UID = Uid("0b9c6a1e5f7d4c3f8f0e2d1c4b5a6978")
_CHECKSUM = "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"

_RUNNING = VMView(
    name="web-1",
    status="running",
    plugin="nginx-alpine",
    ip="127.88.0.10",
    pid=12345,
    created_at=_AT,
    resources=_SMALL,
    health=HealthView(status="healthy", last_check=_LATER),
    uid=_UID,
    generation=1,
    revision=42,
    labels={"app": "web"},
    restart_policy="always",
    restart_required=False,
    restarts=0,
    started_at="2025-01-15T10:00:05Z",
    timings=Timings(waited_s=0.01, launch_s=0.21, boot_s=1.13, ready_s=0.05),
    endpoints=(Endpoint(address="127.88.0.10", port=80, guest_port=80),),
    conditions=(
        ConditionView(type="ready", status="true", last_update=_LATER, reason="Running", observed_generation=1),
    ),
)
_MADE = replace(
    _RUNNING,
    status="starting",
    pid=None,
    health=None,
    revision=40,
    started_at=None,
    timings=None,
    endpoints=(),
    conditions=(),
)
_CONFIG = ConfigView(resources=_SMALL, network=NetworkView(mode="bridge", bridge_name="volbr0"))
_DEPLOYMENT = DeploymentView(
    name="api",
    plugin="user-api",
    replicas=3,
    ready_replicas=3,
    vms=["api-1", "api-2", "api-3"],
    created_at=_AT,
    scaling=False,
    status=DeploymentStatusView(
        phase="running",
        conditions=(
            ConditionView(
                type="available", status="true", last_update=_LATER, reason="ReplicasReady", observed_generation=1
            ),
        ),
        observed_generation=1,
    ),
    uid=_UID,
    generation=1,
    revision=57,
    restart_policy="always",
    config=replace(_CONFIG, network=NetworkView(mode="user")),
    strategy=Strategy(),
    template="5d41402abc4b2a76",
    template_revision=1,
    updated_replicas=3,
    rollout="complete",
)
_REVISION = RevisionView(
    revision=2,
    created_at=_LATER,
    cause="config.env.LEVEL",
    current=True,
    complete=True,
    plugin="user-api",
    restart_policy="always",
    config=_DEPLOYMENT.config,
    template=_DEPLOYMENT.template,
)
_ENDPOINTS = EndpointsView(
    deployment="api",
    revision=57,
    endpoints=(
        ReplicaView(
            vm="api-1",
            uid=_UID,
            ip="127.88.0.10",
            node="host-1",
            template_revision=1,
            ports=(Endpoint(address="127.88.0.10", port=8080, guest_port=8080),),
        ),
    ),
)
_PLUGIN = PluginView(
    name="nginx-alpine",
    version="1.0.0",
    description="NGINX web server on Alpine Linux",
    workload=WorkloadView(type="http", port=80),
    resources=Resources(vcpu=1, memory_mb=256),
    installed_at="2025-01-15T09:00:00Z",
    enabled=True,
    artifacts={"rootfs": ArtifactView(state="ready", digest=_CHECKSUM[7:], size_bytes=41943040)},
    uid=_UID,
    generation=1,
    revision=12,
    conditions=(
        ConditionView(type="ready", status="true", last_update=_LATER, reason="Fetched", observed_generation=1),
    ),
)
_INFO = SystemInfo(
    version="0.1.0",
    commit="abc1234",
    build_date="2025-01-15T00:00:00Z",
    go_version=None,
    platform="linux/amd64",
    stats=Stats(total_vms=12, running_vms=10, total_deployments=3, total_plugins=5),
    resources=HostResources(cpu_count=8, memory_total_mb=16384, memory_available_mb=8192),
    python_version="3.11.2",
    hypervisor="qemu",
    hypervisor_version="7.2.0",
    accelerator="kvm",
    isolation="hardware",
    network="user",
)
_EVENT = EventData(
    name="web-1",
    timestamp=_AT,
    plugin="nginx-alpine",
    ip="127.88.0.10",
    kind="VM",
    uid=_UID,
    revision=42,
    generation=1,
    previous=Summary(status="starting"),
    new=Summary(status="running"),
    actor="vm",
    reason="Running",
)
_PAST = PastEvent(**structs.asdict(_EVENT), id=42, type="vm.started")

_WHY = WhyView(
    kind="VM",
    name="web-1",
    at=_LATER,
    status="restarting",
    outlook="by_itself",
    uid=_UID,
    revision=48,
    generation=1,
    observed_generation=1,
    chain=(
        LinkView(
            kind="VM",
            name="web-1",
            level=0,
            says="VM web-1 is restarting: its guest ended (guest_panic): kernel panic, 4 times in a row",
            reason="Crashed",
            generation=1,
            since=_AT,
            next_try_at="2025-01-15T10:05:12Z",
            numbers={"failures": 4, "restarts": 3},
        ),
    ),
    turns=(TurnView(controller="vm", at=_LATER, outcome="again in 7.5 s", times=1),),
    events=(_PAST,),
)

GIVEN: Mapping[Any, Any] = {
    ApplyView: ApplyView(
        set="infra",
        manager="apply",
        dry_run=False,
        token="5e884898da28047151d0e56f8dc62927",  # noqa: S106 -- names a plan
        summary={"create": 0, "update": 1, "delete": 1, "unchanged": 0},
        objects=(
            Planned(
                kind="Deployment",
                name="web",
                action="update",
                uid=_UID,
                generation=2,
                changes={"replicas": ChangeView(old=2, new=3)},
            ),
            Planned(kind="VM", name="old", action="delete", uid=_UID, generation=1),
        ),
    ),
    ExportedView: ExportedView(kind="Deployment", metadata={"name": "web"}, spec={"plugin": "user-api", "replicas": 3}),
    SetView: SET,
    PlanView: PLAN,
    SyncView: SYNC,
    VMView: _RUNNING,
    ConfigView: _CONFIG,
    DeploymentView: _DEPLOYMENT,
    RevisionView: _REVISION,
    EndpointsView: _ENDPOINTS,
    PluginView: _PLUGIN,
    PluginNames: PluginNames(plugins=["nginx-alpine", "user-api", "postgres"]),
    SystemInfo: _INFO,
    DaemonHealth: DaemonHealth(status="ok", checks={"store": Check(ok=True)}),
    EventData: _EVENT,
    PastEvent: _PAST,
    WhyView: _WHY,
    ConfigChangeView: ConfigChangeView(
        timestamp=_LATER,
        changes={"resources.vcpu": ChangeView(old=2, new=4)},
        author="api",
        request_id="6d008ecf49c4-9",
        generation=2,
    ),
}
"""Type of an answer -> what one looks like."""

OF_OPERATION: Mapping[str, Any] = {
    "createVM": _MADE,
    "startVM": _MADE,
    "stopVM": replace(_MADE, status="stopped", revision=44),
    "restartVM": replace(_RUNNING, status="restarting", revision=45),
    "updateVMConfig": replace(
        _CONFIG, resources=Resources(vcpu=4, memory_mb=1024), network=NetworkView(mode="user"), restart_required=True
    ),
    "scaleDeployment": replace(_DEPLOYMENT, replicas=5, scaling=True, revision=58),
    "createDeployment": replace(_DEPLOYMENT, ready_replicas=0, vms=[], scaling=True, revision=50),
    "getReady": DaemonHealth(status="ok", checks={"store": Check(ok=True), "vm": Check(ok=True)}),
}
"""Where an operation's own answer says more than any of its type."""

ASKED: Mapping[Any, Named] = {
    NewVM: {
        "smallest": ("What must be said", {"name": "test-vm", "plugin": "nginx-alpine"}),
        "sized": (
            "With a size of its own",
            {
                "name": "my-vm",
                "plugin": "nginx-alpine",
                "config": {
                    "resources": {"vcpu": 2, "memory_mb": 512},
                    "cloud_init": {"user_data": "#cloud-config\npackages:\n  - curl"},
                },
                "labels": {"app": "web"},
            },
        ),
    },
    NewDeployment: {
        "replicas": ("Three VMs of one plugin", {"name": "api", "plugin": "user-api", "replicas": 3}),
    },
    VMDocument: {"sized": ("With a size of its own", DB)},
    DeploymentDocument: {"replicas": ("Three VMs of one plugin", WEB)},
    ConfigPatch: {
        "size": ("More of the host", {"resources": {"vcpu": 4, "memory_mb": 1024}}),
        "back": ("The plugin's own size again", {"resources": None}),
    },
    Scale: {
        "more": ("To five VMs", {"replicas": 5}),
        "roll": ("Other VMs, one at a time", {"config": {"env": {"LEVEL": "debug"}}, "strategy": {"max_surge": 1}}),
    },
    Rollback: {"previous": ("To the template before", {}), "to": ("To the first one", {"revision": 1})},
    Enable: {"disable": ("No new VMs of it", {"enabled": False})},
    Apply: APPLIES,
    SetRollback: SET_ROLLBACKS,
    Manifest: {
        "disk": (
            "A guest from a disk image",
            {
                "name": "my-app",
                "version": "1.0.0",
                "description": "My custom application",
                "workload": {"type": "http", "port": 8080},
                "resources": {"vcpu": 2, "memory_mb": 512},
                "rootfs": {
                    "format": "qcow2",
                    "url": "https://plugins.example.com/my-app-1.0.0.qcow2",
                    "checksum": _CHECKSUM,
                },
            },
        ),
        "initramfs": (
            "A guest from a kernel and an initramfs, with probes",
            {
                "name": "hello",
                "version": "1.0.0",
                "workload": {"type": "http", "port": 8080},
                "kernel": {"url": "https://plugins.example.com/vmlinux", "cmdline": "quiet"},
                "initramfs": {"url": "https://plugins.example.com/hello.cpio.gz", "checksum": _CHECKSUM},
                "health_check": {"path": "/healthz", "readiness": {"period_s": 5}},
            },
        ),
    },
}
"""Type of a request body -> what one looks like. The first is what generated documentation shows."""

CONSOLE = "volant: workload started\nGET / 200\n"
"""What a guest says."""


def asked(cls: Any) -> dict[str, Any]:
    """The Example Objects of a request body; empty when there is none."""
    return {name: {"summary": summary, "value": value} for name, (summary, value) in ASKED.get(cls, {}).items()}


def given(operation: str, cls: Any) -> Any:
    """An answer of that type, as JSON; None when there is no example of it."""
    if get_origin(cls) is list:
        one = given(operation, get_args(cls)[0])
        return None if one is None else [one]
    example = OF_OPERATION.get(operation)
    if example is None or not isinstance(example, cls if isinstance(cls, type) else object):
        example = GIVEN.get(cls)
    return None if example is None else json.loads(msgspec.json.encode(example))
