"""`/deployments`: create, read, scale, delete.

Which VMs a deployment has is read from the VMs, not from a list in the deployment: the answer to a PATCH shows those
that are there at that moment, and `scaling` says whether they are what was asked for.
"""

from __future__ import annotations

from msgspec.structs import replace

from volant.api.admission import asked_for, attachable, staying, usable_plugin
from volant.api.call import Answer, Call, Headers, encoded, plain
from volant.api.lists import listed
from volant.api.vms import waited
from volant.model.deployment import FINALIZER, Deployment, DeploymentSpec
from volant.model.meta import Meta
from volant.model.queries import NoQuery, Page
from volant.model.requests import NewDeployment, Scale, resolve
from volant.model.views import DeploymentView
from volant.model.vm import VMSpec
from volant.model.wire import deployment_view
from volant.store import Transaction

GRACE_S = VMSpec(plugin="").grace_s
"""What each of its VMs gets to shut down by itself, all at the same time."""

DELETE_EACH_S = 0.05
"""How much longer DELETE waits for each VM."""


async def list_deployments(call: Call, query: Page) -> Answer:
    """`GET /deployments`."""

    def show(deployment: Deployment) -> bytes:
        return encoded(_view(call, deployment))

    return await listed(call, "Deployment", query, show)


async def get(call: Call, query: NoQuery) -> Answer:
    """`GET /deployments/{name}`. Not cached by its revision: its VMs change without it."""
    deployment = call.store.deployment(call.name)
    return plain(_view(call, deployment), more=_etag(deployment))


async def create(call: Call, query: NoQuery) -> Answer:
    """`POST /deployments`."""
    asked = await call.body(NewDeployment)
    attachable(call, asked.config.network)

    def job(tx: Transaction) -> Deployment:
        plugin = usable_plugin(tx, asked.plugin)
        meta = Meta(
            name=asked.name,
            uid=tx.new_uid(),
            kind="Deployment",
            created_at=tx.now,
            labels=asked.labels,
            finalizers=(FINALIZER,),
        )
        spec = DeploymentSpec(
            plugin=asked.plugin,
            replicas=asked.replicas,
            config=resolve(asked.config, plugin.spec.manifest.resources),
            restart_policy=asked.restart_policy,
            labels=asked.labels,
        )
        return tx.insert(Deployment(meta=meta, spec=spec), call.happening("deployment.created"))

    made = await call.store.write(job)
    location = (b"location", f"/api/v1/deployments/{made.meta.name}".encode())
    return plain(_view(call, made), status=201, more=(*_etag(made), location))


async def scale(call: Call, query: NoQuery) -> Answer:
    """`PATCH /deployments/{name}`: as many as before is no change, and leaves neither revision nor event (V4)."""
    asked = await call.body(Scale)

    def job(tx: Transaction) -> Deployment:
        deployment = staying(tx, Deployment, call)
        spec = replace(deployment.spec, replicas=asked.replicas)
        message = f"{deployment.spec.replicas} → {asked.replicas}"
        return tx.update_spec(deployment, spec, call.happening("deployment.scaled", message=message))

    deployment = await call.store.write(job)
    return plain(_view(call, deployment), more=_etag(deployment))


async def delete(call: Call, query: NoQuery) -> Answer:
    """`DELETE /deployments/{name}`: answers 204 when its last VM is gone, 202 when that takes too long."""

    def job(tx: Transaction) -> Deployment:
        return tx.mark_deleting(asked_for(tx, Deployment, call), call.happening("deployment.deleting"))

    asked = await call.store.write(job)
    store, uid = call.store, asked.meta.uid
    bound_s = GRACE_S + call.deps.wait_margin_s + DELETE_EACH_S * store.tally(uid).total
    end = await call.context.waits.until(asked.meta.key, lambda: store.find_uid(uid) is None, bound_s)
    left = store.find_uid(uid)
    return plain(_view(call, left), status=202, more=waited(end)) if isinstance(left, Deployment) else Answer(204)


def _view(call: Call, deployment: Deployment) -> DeploymentView:
    live = [child for child in call.store.children(deployment.meta.uid) if not child.is_deleting]
    ready = sum(child.is_ready for child in live)
    return deployment_view(deployment, (child.name for child in live), ready, call.deps.network_mode)


def _etag(deployment: Deployment) -> Headers:
    return ((b"etag", b'"%d"' % deployment.meta.revision),)
