"""`/deployments`: create, read, scale, change what its VMs are made of, delete.

Which VMs a deployment has is read from the VMs, not from a list in the deployment: the answer to a PATCH shows those
that are there at that moment, and `scaling` says whether they are what was asked for.
"""

from __future__ import annotations

from dataclasses import replace as replaced
from functools import partial
from typing import Literal

from msgspec import UNSET

from volant.api.admission import asked_for, attachable, hosted, resolved, staying, usable_plugin
from volant.api.call import Answer, Call, Headers, encoded
from volant.api.fields import chosen, media_of
from volant.api.listings import of_deployments
from volant.api.lists import listed
from volant.api.templates import patched_spec, refuse_publishing, strategy_of, told
from volant.api.writing import Manner, written
from volant.model.deployment import FINALIZER, Deployment, DeploymentSpec
from volant.model.meta import Meta
from volant.model.queries import Chosen, DeploymentQuery, DeploymentWriting
from volant.model.requests import NewDeployment, Scale
from volant.model.rollout import Strategy
from volant.model.views import DeploymentView
from volant.model.vm import NetworkMode, VMSpec
from volant.model.wire import Shape, deployment_view
from volant.store import Rows, Transaction

GRACE_S = VMSpec(plugin="").grace_s
"""What each of its VMs gets to shut down by itself, all at the same time."""

DELETE_EACH_S = 0.05
"""How much longer DELETE waits for each VM."""


async def list_deployments(call: Call, query: DeploymentQuery) -> Answer:
    """`GET /deployments`: List deployments.

    A bare array in the order of creation, whole unless `limit` says otherwise.
    """
    listing = of_deployments(query, lambda deployment: encoded(_view(call, deployment)))
    return await listed(call, query, query.sort, listing)


async def get(call: Call, query: Chosen) -> Answer:
    """`GET /deployments/{name}`: Show a deployment.

    Its VMs and how many of them are ready change without it, so `If-None-Match` is not looked at.
    """
    cut_out = chosen(query.fields, DeploymentView)
    deployment = call.store.deployment(call.name)
    body = encoded(_view(call, deployment))
    return Answer(200, cut_out(body) if cut_out else body, _etag(deployment), media_of(query.fields))


async def create(call: Call, query: DeploymentWriting) -> Answer:
    """`POST /deployments`: Create a deployment: so many VMs of one plugin, kept alive.

    Answers at once; `?wait=available` answers when all its VMs are ready. They are named `<name>-1`, `<name>-2`, and so
    on.
    """
    asked = await call.body(NewDeployment)
    refuse_publishing(asked.config.network.publish)
    strategy = strategy_of(Strategy(), asked.strategy)

    hosted(call)

    def job(tx: Transaction) -> Deployment:
        config = resolved(asked.config, usable_plugin(tx, asked.plugin))
        attachable(call, config)
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
            config=config,
            restart_policy=asked.restart_policy,
            labels=asked.labels,
            strategy=strategy,
        )
        return tx.insert(Deployment(meta=meta, spec=spec), call.happening("deployment.created"))

    return await written(call, query, job, deployment_manner(call, "creates"))


async def scale(call: Call, query: DeploymentWriting) -> Answer:
    """`PATCH /deployments/{name}`: Scale a deployment, or change what its VMs are made of.

    A merge patch (RFC 7396). Another `plugin`, `config`, `restart_policy` or `labels` replaces the VMs, within the
    bounds of `strategy`. Answers at once, with the VMs that are there now; `?wait=available` answers when all are
    ready. A patch that changes nothing leaves neither revision nor event.
    """
    asked = await call.body(Scale)

    def job(tx: Transaction) -> Deployment:
        deployment = staying(tx, Deployment, call)
        spec = patched_spec(call, tx, deployment.spec, asked)
        labels = None if asked.labels is UNSET else spec.labels
        return tx.update_spec(deployment, spec, told(call, deployment.spec, spec), labels=labels)

    return await written(call, query, job, deployment_manner(call, "changes"))


async def delete(call: Call, query: DeploymentWriting) -> Answer:
    """`DELETE /deployments/{name}`: Delete a deployment and all its VMs.

    Answers 204 when the last of them is gone, and 202 with the deployment when that takes too long or is not waited
    for.
    """

    def job(tx: Transaction) -> Deployment:
        return tx.mark_deleting(asked_for(tx, Deployment, call), call.happening("deployment.deleting"))

    manner = replaced(
        deployment_manner(call, "deletes"), until="deleted", bound_s=partial(_longest_s, call.deps.wait_margin_s)
    )
    return await written(call, query, job, manner)


def view_of(rows: Rows, deployment: Deployment, mode: NetworkMode) -> DeploymentView:
    """A deployment in wire form, with the VMs that it has now."""
    live = [child for child in rows.children(deployment.meta.uid) if not child.is_deleting]
    ready = sum(child.is_ready for child in live)
    shape = Shape.of(deployment, rows.template_number(deployment.meta.uid), (child.template for child in live))
    return deployment_view(deployment, (child.name for child in live), ready, mode, shape)


def deployment_manner(call: Call, does: Literal["creates", "changes", "deletes"]) -> Manner[Deployment]:
    """How a write to a deployment is answered."""
    mode = call.deps.network_mode
    return Manner(kind="Deployment", show=lambda rows, deployment: view_of(rows, deployment, mode), does=does)


def _longest_s(margin_s: float, rows: Rows, deployment: Deployment) -> float:
    each_s = DELETE_EACH_S * len(rows.children(deployment.meta.uid))
    return deployment.spec.strategy.drain_s + GRACE_S + margin_s + each_s


def _view(call: Call, deployment: Deployment) -> DeploymentView:
    return view_of(call.store, deployment, call.deps.network_mode)


def _etag(deployment: Deployment) -> Headers:
    return ((b"etag", b'"%d"' % deployment.meta.revision),)
