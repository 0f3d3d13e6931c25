"""`/deployments/{name}/…` about its rollouts: what it was made of, going back, pausing, and making all VMs anew.

revisions ◀── store: one for each template that it has had
rollback, restart ──▶ another template ──▶ the controller replaces the VMs
pause, resume ──▶ strategy.paused
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import UNSET, UnsetType
from msgspec.structs import replace

from volant.api.admission import staying, usable_plugin
from volant.api.call import Answer, Call, plain
from volant.api.deployments import deployment_manner
from volant.api.templates import told
from volant.api.writing import written
from volant.errors import Conflict
from volant.model.deployment import Deployment, template_of, with_template
from volant.model.goals import ROLLED_BACK
from volant.model.queries import DeploymentWriting, NoQuery
from volant.model.requests import Rollback
from volant.model.rollout import Revision, digest_of
from volant.model.wire import revision_view
from volant.store import Transaction


async def list_deployment_revisions(call: Call, query: NoQuery) -> Answer:
    """`GET /deployments/{name}/revisions`: List the templates that a deployment has and had, newest first.

    The first one is its own. Of those before it `strategy.revisions_kept` are kept, and the last that was complete.
    """
    deployment, mode = call.store.deployment(call.name), call.deps.network_mode
    found = call.store.templates(deployment)
    return plain([revision_view(one, deployment, mode, is_current=one is found[0]) for one in found])


async def rollback(call: Call, query: DeploymentWriting) -> Answer:
    """`POST /deployments/{name}/rollback`: Go back to the template of an earlier revision.

    To the one before without `revision`. That is a rollout like any other, and a new revision with the old template;
    replicas and strategy stay. The template that it has by now is no change.
    """
    asked = await call.body(Rollback)

    def job(tx: Transaction) -> Deployment:
        deployment = staying(tx, Deployment, call)
        _refuse_paused(deployment)
        revision = _earlier(deployment, tx.templates(deployment), asked.revision)
        if revision.template.plugin != deployment.spec.plugin:
            usable_plugin(tx, revision.template.plugin)
        message = f"back to the template of revision {revision.number}"
        happening = call.happening("deployment.updated", reason=ROLLED_BACK, message=message)
        if revision.digest == digest_of(template_of(deployment.spec)):
            return deployment
        # What was taken back by itself is tried once more as whose it was: that is nobody's new word.
        said = tx.fields(deployment.meta.uid) if revision.digest == deployment.status.reverted else None
        spec, labels = with_template(deployment.spec, revision.template), revision.template.labels
        return tx.update_spec(deployment, spec, happening, labels=labels, fields=said)

    return await written(call, query, job, deployment_manner(call, "changes"))


async def pause(call: Call, query: DeploymentWriting) -> Answer:
    """`POST /deployments/{name}/pause`: Replace no more VMs, until `resume`.

    Scaling goes on; new VMs are made of the template of the last that were.
    """
    return await _switched(call, query, paused=True)


async def resume(call: Call, query: DeploymentWriting) -> Answer:
    """`POST /deployments/{name}/resume`: Go on replacing VMs."""
    return await _switched(call, query, paused=False)


async def restart(call: Call, query: DeploymentWriting) -> Answer:
    """`POST /deployments/{name}/restart`: Replace all VMs by new ones of the same template, as a rollout."""

    def job(tx: Transaction) -> Deployment:
        deployment = staying(tx, Deployment, call)
        _refuse_paused(deployment)
        # More than of any template before: after a rollback the next one may have VMs already, and all are to be new.
        known = [one.template.nonce for one in tx.templates(deployment)]
        spec = replace(deployment.spec, restart_nonce=1 + max(deployment.spec.restart_nonce, *known, 0))
        happening = call.happening("deployment.updated", reason="RolloutStarted", message="restart")
        return tx.update_spec(deployment, spec, happening)

    return await written(call, query, job, deployment_manner(call, "changes"))


async def _switched(call: Call, query: DeploymentWriting, *, paused: bool) -> Answer:
    def job(tx: Transaction) -> Deployment:
        deployment = staying(tx, Deployment, call)
        spec = replace(deployment.spec, strategy=replace(deployment.spec.strategy, paused=paused))
        return tx.update_spec(deployment, spec, told(call, deployment.spec, spec))

    return await written(call, query, job, deployment_manner(call, "changes"))


def _refuse_paused(deployment: Deployment) -> None:
    if deployment.spec.strategy.paused:
        raise Conflict(
            f"cannot roll Deployment {deployment.meta.name}: its rollout is paused. Resume it first.",
            code="rollout_paused",
            details={"name": deployment.meta.name},
        )


def _earlier(deployment: Deployment, found: Sequence[Revision], number: int | UnsetType) -> Revision:
    """The revision that is asked for, else the newest one with another template."""
    own = digest_of(template_of(deployment.spec))

    def is_it(revision: Revision) -> bool:
        return revision.digest != own if number is UNSET else revision.number == number

    revision = next(filter(is_it, found), None)
    if revision is None:
        what = "there is none before this one" if number is UNSET else f"revision {number} is not kept"
        raise Conflict(
            f"cannot roll Deployment {deployment.meta.name} back: {what}",
            code="no_such_revision",
            details={"name": deployment.meta.name, "revisions": [one.number for one in found]},
        )
    return revision
