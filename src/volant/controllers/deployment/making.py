"""Making children of a deployment, inside a transaction: VMs of a template, each with an address of its own."""

from __future__ import annotations

from collections.abc import Sequence

from volant.controllers.deployment.report import ACTOR
from volant.errors import Conflict
from volant.model import vm as vms
from volant.model.deployment import Deployment, child_name, template_of
from volant.model.event import Happening
from volant.model.meta import Meta, Owner
from volant.model.rollout import Template, digest_of
from volant.model.sync import COMMIT
from volant.model.vm import VM, VMSpec, settled
from volant.store import Transaction


def create(tx: Transaction, deployment: Deployment, ordinals: Sequence[int], digest: str | None) -> None:
    """Insert them, as many as there are addresses for. Raises Conflict when there is none left for the first."""
    template = _template(tx, deployment, digest)
    for ordinal in ordinals:
        try:
            child = _child(tx, deployment, template, ordinal)
        except Conflict:
            if ordinal == ordinals[0]:
                raise
            return  # because what there are addresses for is worth keeping; the next batch tells of the rest
        tx.insert(child, Happening(type="vm.created", actor=ACTOR))


def _template(tx: Transaction, deployment: Deployment, digest: str | None) -> Template:
    own = template_of(deployment.spec)
    if digest is None or digest == digest_of(own):
        return own
    return next((one.template for one in tx.templates(deployment) if one.digest == digest), own)


def _child(tx: Transaction, deployment: Deployment, template: Template, ordinal: int) -> VM:
    """A VM of the template, with an address of its own. Raises Conflict when there is none left."""
    meta, uid = deployment.meta, tx.new_uid()
    config = settled(template.config, tx.mode)
    return VM(
        meta=Meta(
            name=child_name(meta.name, ordinal),
            uid=uid,
            kind="VM",
            created_at=tx.now,
            labels=template.labels,
            annotations={COMMIT: meta.annotations[COMMIT]} if COMMIT in meta.annotations else {},
            owner=Owner(kind="Deployment", name=meta.name, uid=meta.uid),
            # From the first moment on, so that the row outlives whatever is made for it (D3).
            finalizers=(vms.FINALIZER,),
        ),
        spec=VMSpec(
            plugin=template.plugin,
            config=config,
            restart_policy=template.restart_policy,
            address=tx.allocate_address(uid, config.network.mode),
            template=digest_of(template),
        ),
    )
