"""From the stored form to the wire form: one pure function per kind.

    store ──VM, Deployment, Plugin──▶ vm_view, deployment_view, plugin_view ──views──▶ bytes

Instants become RFC 3339 here and nowhere before. Nothing is shown that is not in the stored object or handed in, so
two readers of one revision see the same, but for the time of the last probe, which is handed in because it is no news.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import NamedTuple

from volant.clock import Instant, rfc3339
from volant.model.conditions import Conditions, is_true
from volant.model.deployment import Deployment, is_scaling, phase, rollout, template_of
from volant.model.document import OpenApi
from volant.model.event import Committed, past
from volant.model.history import ConfigChange
from volant.model.objects import Object
from volant.model.plugin import READY as PLUGIN_READY
from volant.model.plugin import Artifact, Plugin
from volant.model.rollout import Revision, digest_of
from volant.model.sync import Sync
from volant.model.views import (
    ArtifactView,
    ChangeView,
    CloudInitView,
    ConditionView,
    ConfigChangeView,
    ConfigView,
    DeploymentStatusView,
    DeploymentView,
    EndpointsView,
    ExitView,
    HealthView,
    HostResources,
    LinkView,
    NetworkView,
    OpenApiView,
    PluginView,
    ReplicaView,
    RevisionView,
    Stats,
    SystemFacts,
    SystemInfo,
    TurnView,
    VMView,
    WhyView,
    WorkloadView,
)
from volant.model.vm import (
    VM,
    CloudInit,
    Exit,
    Health,
    NetworkMode,
    VMConfig,
    restart_required,
    running_address,
    running_config,
    status_word,
)
from volant.model.why import Link, Turn, Why

_written = lru_cache(maxsize=4096)(rfc3339)
"""Most instants of an object do not change from one reading to the next, and writing one costs a microsecond."""


def _time(at: Instant | None) -> str | None:
    return None if at is None else _written(at)


def vm_view(vm: VM, last_check: Instant | None = None) -> VMView:
    """A VM in wire form. `last_check` is that of its last probe, if it is known to be later than the stored one."""
    meta, spec, status = vm.meta, vm.spec, vm.status
    return VMView(
        name=meta.name,
        status=status_word(vm),
        plugin=spec.plugin,
        ip=running_address(vm),
        pid=status.pid,
        created_at=_written(meta.created_at),
        resources=running_config(vm).resources,
        health=_health(status.health, last_check) if status.health else None,
        uid=meta.uid,
        generation=meta.generation,
        revision=meta.revision,
        labels=meta.labels,
        owner=meta.owner,
        template=spec.template,
        restart_policy=spec.restart_policy,
        restart_required=restart_required(vm),
        restarts=status.restarts,
        started_at=_time(status.started_at),
        next_restart_at=_time(status.next_restart_at),
        deleting_since=_time(meta.deleting_since),
        exit=_exit(status.exit) if status.exit else None,
        endpoints=status.endpoints,
        node=status.node,
        accelerator=status.accelerator,
        isolation=status.isolation,
        timings=status.timings,
        conditions=_conditions(status.conditions),
    )


def vm_config_view(vm: VM, default_mode: NetworkMode) -> ConfigView:
    """A VM's config in wire form, with whether the running guest still has another one."""
    return _config(vm.spec.config, default_mode, is_behind=restart_required(vm))


def config_change_view(change: ConfigChange) -> ConfigChangeView:
    """One entry of the history of a VM's config in wire form."""
    said = {
        path: sides if isinstance(sides, bool) else ChangeView(old=sides["old"], new=sides["new"])
        for path, sides in change.changes.items()
    }
    return ConfigChangeView(
        timestamp=_written(change.at),
        changes=said,
        author=change.author,
        request_id=change.request_id,
        generation=change.generation,
    )


class Shape(NamedTuple):
    """What the VMs of a deployment are made of: the revision of its template, and how many are of that."""

    revision: int = 1
    updated: int = 0

    @classmethod
    def of(cls, deployment: Deployment, revision: int, templates: Iterable[str | None]) -> Shape:
        """From what each VM says it is made of; None is the template of the deployment."""
        template = digest_of(template_of(deployment.spec))
        return cls(revision, sum(one in (None, template) for one in templates))


UNCHANGED = Shape()
"""Of a template that was never changed, and no VM is there."""


def deployment_view(
    deployment: Deployment, vms: Iterable[str], ready_replicas: int, default_mode: NetworkMode, shape: Shape = UNCHANGED
) -> DeploymentView:
    """A deployment in wire form. `vms` are the names of its live children, `ready_replicas` how many are ready."""
    meta, spec, status = deployment.meta, deployment.spec, deployment.status
    return DeploymentView(
        name=meta.name,
        plugin=spec.plugin,
        replicas=spec.replicas,
        ready_replicas=ready_replicas,
        # All names share the deployment's own, so the shorter ordinal is the smaller one.
        vms=sorted(vms, key=lambda name: (len(name), name)),
        created_at=_written(meta.created_at),
        scaling=is_scaling(deployment),
        status=DeploymentStatusView(
            phase=phase(deployment),
            conditions=_conditions(status.conditions),
            observed_generation=status.observed_generation,
        ),
        uid=meta.uid,
        generation=meta.generation,
        revision=meta.revision,
        labels=meta.labels,
        restart_policy=spec.restart_policy,
        config=_config(spec.config, default_mode),
        strategy=spec.strategy,
        template=digest_of(template_of(spec)),
        template_revision=shape.revision,
        updated_replicas=shape.updated,
        rollout=rollout(deployment),
        deleting_since=_time(meta.deleting_since),
    )


def revision_view(
    revision: Revision, deployment: Deployment, default_mode: NetworkMode, *, is_current: bool
) -> RevisionView:
    """A revision of a deployment's template in wire form."""
    template = revision.template
    return RevisionView(
        revision=revision.number,
        created_at=_written(revision.at),
        cause=revision.cause,
        current=is_current,
        complete=revision.digest == deployment.status.completed,
        reverted=revision.digest == deployment.status.reverted and not is_current,
        plugin=template.plugin,
        labels=template.labels,
        restart_policy=template.restart_policy,
        config=_config(template.config, default_mode),
        template=revision.digest,
    )


def endpoints_view(name: str, vms: Iterable[VM], templates: Iterable[Revision], revision: int) -> EndpointsView:
    """Where the VMs of a deployment are reached. `templates` are those that are kept, newest first."""
    numbers: dict[str, int] = {}
    for template in templates:
        numbers.setdefault(template.digest, template.number)
    found = (
        ReplicaView(
            vm=vm.meta.name,
            uid=vm.meta.uid,
            ip=running_address(vm),
            node=vm.status.node,
            template_revision=numbers.get(vm.spec.template or ""),
            ports=vm.status.endpoints,
        )
        for vm in vms
    )
    return EndpointsView(deployment=name, revision=revision, endpoints=tuple(found))


def plugin_view(plugin: Plugin) -> PluginView:
    """A plugin in wire form, with an artifact for every source of its manifest."""
    meta, manifest, status = plugin.meta, plugin.spec.manifest, plugin.status
    return PluginView(
        name=meta.name,
        version=manifest.version,
        description=manifest.description,
        workload=WorkloadView(type=manifest.workload.type, port=manifest.workload.port),
        resources=manifest.resources,
        installed_at=_written(meta.created_at),
        enabled=plugin.spec.enabled,
        artifacts={role: _artifact(status.artifacts.get(role, Artifact())) for role in manifest.sources()},
        uid=meta.uid,
        generation=meta.generation,
        revision=meta.revision,
        labels=meta.labels,
        health_check=manifest.health_check,
        openapi=_openapi(manifest.openapi, manifest.openapi_port()) if manifest.openapi else None,
        network=manifest.network,
        cloud_init=_told(manifest.cloud_init),
        env=manifest.env,
        disks=manifest.disks,
        deleting_since=_time(meta.deleting_since),
        conditions=_conditions(status.conditions),
    )


def why_view(
    obj: Object, answer: Why, now: Instant, turns: Iterable[tuple[str, Turn]], events: Iterable[Committed]
) -> WhyView:
    """Why an object is not ready, in wire form. `turns` come with the name of their controller."""
    meta = obj.meta
    return WhyView(
        kind=meta.kind,
        name=meta.name,
        at=rfc3339(now),
        status=_word(obj),
        outlook=answer.outlook,
        uid=meta.uid,
        revision=meta.revision,
        generation=meta.generation,
        observed_generation=obj.status.observed_generation,
        chain=tuple(map(_link, answer.chain)),
        turns=tuple(TurnView(controller=by, at=rfc3339(t.at), outcome=t.outcome, times=t.times) for by, t in turns),
        events=tuple(map(past, events)),
    )


def _word(obj: Object) -> str:
    if isinstance(obj, VM):
        return status_word(obj)
    if isinstance(obj, Deployment):
        return phase(obj)
    if isinstance(obj, Sync):
        return obj.status.state
    if obj.meta.is_deleting:
        return "deleting"
    return "ready" if is_true(obj.status.conditions, PLUGIN_READY) else "not_ready"


def _link(link: Link) -> LinkView:
    return LinkView(
        kind=link.kind,
        name=link.name,
        level=link.level,
        says=link.says,
        reason=link.reason,
        generation=link.generation,
        since=_time(link.since),
        next_try_at=_time(link.next_try_at),
        numbers=dict(link.numbers),
    )


def system_view(facts: SystemFacts, stats: Stats) -> SystemInfo:
    """System information in wire form."""
    return SystemInfo(
        version=facts.version,
        commit=facts.commit,
        build_date=facts.build_date,
        go_version=None,
        platform=facts.platform,
        stats=stats,
        resources=HostResources(
            cpu_count=facts.cpu_count,
            memory_total_mb=facts.memory_total_mb,
            memory_available_mb=facts.memory_available_mb,
        ),
        python_version=facts.python_version,
        hypervisor=facts.hypervisor,
        hypervisor_version=facts.hypervisor_version,
        accelerator=facts.accelerator,
        isolation=facts.isolation,
        network=facts.network,
        detail=facts.detail,
        confinement=facts.confinement,
    )


def _conditions(conditions: Conditions) -> tuple[ConditionView, ...]:
    return tuple(
        ConditionView(
            type=c.type,
            status=c.status,
            last_update=_written(c.last_update),
            reason=c.reason,
            message=c.message,
            observed_generation=c.observed_generation,
        )
        for c in conditions
    )


def _config(config: VMConfig, default_mode: NetworkMode, *, is_behind: bool | None = None) -> ConfigView:
    network = config.network
    return ConfigView(
        resources=config.resources,
        network=NetworkView(
            mode=network.mode or default_mode,
            bridge_name=network.bridge_name,
            egress=network.egress,
            publish=network.publish,
        ),
        cloud_init=_cloud_init(config.cloud_init) if config.cloud_init else None,
        env=config.env,
        disks=config.disks,
        restart_required=is_behind,
    )


def _cloud_init(told: CloudInit) -> CloudInitView:
    return CloudInitView(
        enabled=told.enabled,
        user_data=told.user_data,
        meta_data=told.meta_data,
        network_config=told.network_config,
    )


def _told(told: CloudInit | str | None) -> CloudInitView | None:
    if told is None:
        return None
    return CloudInitView(enabled=True, user_data=told) if isinstance(told, str) else _cloud_init(told)


def _openapi(said: OpenApi, port: int | None) -> OpenApiView:
    return OpenApiView(source=said.source, file=said.file, path=said.path, port=port)


def _health(health: Health, last_check: Instant | None) -> HealthView:
    return HealthView(status=health.status, last_check=_time(last_check or health.last_check))


def _exit(end: Exit) -> ExitView:
    return ExitView(reason=end.reason, at=_written(end.at), code=end.code, message=end.message)


def _artifact(artifact: Artifact) -> ArtifactView:
    return ArtifactView(
        state=artifact.state,
        digest=artifact.digest,
        size_bytes=artifact.size_bytes or None,
        reason=artifact.reason,
        message=artifact.message,
    )
