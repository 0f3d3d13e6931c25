"""One turn of a deployment: look, act, look again, report.

    tally ──plan.intent──▶ transaction: plan.next_step on its own rows ──▶ tally … ──▶ report

Creating and deleting children is one transaction a batch, and each transaction reads the deployment, its plugin and
its children again before it decides (V12). So a scale-down that is committed between two batches holds for the second
(R7), a deletion of the deployment stops creation for good (D10), and a batch that was committed though nobody saw its
result is counted by the next one (R1).

A turn costs one aggregate when there is nothing to do, whatever the number of replicas. Events of children come by the
thousand; `gap_s` says how long those who pass them on may wait, so that a storm of them is one turn.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from volant.clock import Clock
from volant.controllers.deployment import plan
from volant.controllers.deployment.plan import BURST, CreateChildren, DeleteChildren, Finalize, PluginUse, Victim
from volant.controllers.deployment.report import ACTOR, report
from volant.errors import Conflict, Unavailable, VolantError
from volant.model import vm as vms
from volant.model.deployment import FINALIZER, Deployment, child_name
from volant.model.event import Committed, Happening
from volant.model.meta import Key, Meta, Owner
from volant.model.objects import Object
from volant.model.plugin import Plugin
from volant.model.vm import VM, VMSpec
from volant.reconcile import DONE, Again, Outcome
from volant.reconcile.effects import Effects
from volant.store import Store, Tally, Transaction


class Seen(NamedTuple):
    """What one look found."""

    deployment: Deployment
    use: PluginUse
    tally: Tally


class DeploymentReconciler:
    """Brings the children of one deployment to what its spec asks for."""

    gap_s = 0.02
    """How long an event of another kind may wait before the key is added, in seconds: many of them are one turn."""

    def __init__(self, *, store: Store, clock: Clock, effects: Effects | None = None) -> None:
        self._store = store
        self._clock = clock
        self._effects = effects or Effects()

    def concerns(self, event: Committed) -> Iterable[Key]:
        """The deployments to look at again after `event`, whatever its type (L1)."""
        key, owner = event.key, event.owner
        if key.kind == "Deployment":
            return (key,)
        if key.kind == "Plugin":
            return self._store.keys("Deployment", plugin=key.name)
        return (Key("Deployment", owner.name),) if owner is not None and owner.kind == "Deployment" else ()

    def resync_keys(self) -> Iterable[Key]:
        """Every deployment."""
        return self._store.keys("Deployment")

    async def reconcile(self, key: Key) -> Outcome:
        """One turn. Raises what stopped the creates, after it was reported (R3)."""
        trouble: VolantError | None = None
        try:
            is_settled = await self._settle(key)
        except Unavailable:
            raise  # because a report could not be written either
        except VolantError as error:
            is_settled, trouble = True, error
        await self._report(key, trouble)
        if trouble is not None:
            raise trouble
        return DONE if is_settled else Again(0.0)

    async def _settle(self, key: Key) -> bool:
        """Act, batch by batch, until there is nothing to do now; False when this turn has done its share."""
        for creates in plan.slow_start():
            seen = self._look(key)
            if seen is None:
                return True
            intent = plan.intent(*seen)
            if intent is None:
                return True
            limit = creates if intent == "create_children" else BURST
            if not await self._advance(seen.deployment, intent, limit):
                return True  # because the rows moved in between, and the event of that move brings us back
        return False

    def _look(self, key: Key) -> Seen | None:
        deployment = self._store.find(key)
        if not isinstance(deployment, Deployment):
            return None
        use = _use(self._store.find(Key("Plugin", deployment.spec.plugin)))
        return Seen(deployment, use, self._store.tally(deployment.meta.uid))

    async def _advance(self, deployment: Deployment, intent: plan.Intent, limit: int) -> int:
        """One batch in one transaction; how many rows it touched."""

        async def write() -> int:
            return await self._store.write(lambda tx: _advance_in(tx, deployment.meta.key, limit))

        return await self._effects.act(f"store.{intent}", deployment.meta.uid, write)

    async def _report(self, key: Key, trouble: VolantError | None) -> None:
        seen = self._look(key)
        due = report(*seen, trouble, self._clock.now()) if seen is not None else None
        if seen is None or due is None:
            return

        async def write() -> None:
            await self._store.update_status(seen.deployment, due.status, due.happening)

        await self._effects.act("store.update_status", seen.deployment.meta.uid, write)


def _advance_in(tx: Transaction, key: Key, limit: int) -> int:
    """Decide and do the next step on the rows of `tx`; how many rows it touched."""
    deployment = tx.find(key)
    if not isinstance(deployment, Deployment):
        return 0
    step = plan.next_step(
        deployment,
        _use(tx.find(Key("Plugin", deployment.spec.plugin))),
        tx.children(deployment.meta.uid),
        limit=limit,
        is_taken=lambda name: tx.find(Key("VM", name)) is not None,
    )
    match step:
        case CreateChildren(ordinals):
            return _create(tx, deployment, ordinals)
        case DeleteChildren(victims):
            return _delete(tx, victims)
        case Finalize():
            tx.finalize(deployment, FINALIZER, Happening(type="deployment.deleted", actor=ACTOR))
            return 1
        case None:
            return 0


def _create(tx: Transaction, deployment: Deployment, ordinals: Sequence[int]) -> int:
    for made, ordinal in enumerate(ordinals):
        try:
            child = _child(tx, deployment, ordinal)
        except Conflict:
            if made:
                return made  # because what there are addresses for is worth keeping; the next batch tells of the rest
            raise
        tx.insert(child, Happening(type="vm.created", actor=ACTOR))
    return len(ordinals)


def _child(tx: Transaction, deployment: Deployment, ordinal: int) -> VM:
    """A VM from the deployment's template, with an address of its own. Raises Conflict when there is none left."""
    meta, spec, uid = deployment.meta, deployment.spec, tx.new_uid()
    return VM(
        meta=Meta(
            name=child_name(meta.name, ordinal),
            uid=uid,
            kind="VM",
            created_at=tx.now,
            labels=spec.labels,
            owner=Owner(kind="Deployment", name=meta.name, uid=meta.uid),
            # From the first moment on, so that the row outlives whatever is made for it (D3).
            finalizers=(vms.FINALIZER,),
        ),
        spec=VMSpec(
            plugin=spec.plugin,
            config=spec.config,
            restart_policy=spec.restart_policy,
            address=tx.allocate_address(uid),
        ),
    )


def _delete(tx: Transaction, victims: Sequence[Victim]) -> int:
    for victim in victims:
        happening = Happening(type="vm.deleting", actor=ACTOR, reason=victim.reason, message=victim.message)
        tx.mark_deleting(tx.get(Key("VM", victim.name)), happening)
    return len(victims)


def _use(plugin: Object | None) -> PluginUse:
    if not isinstance(plugin, Plugin) or plugin.meta.is_deleting:
        return "missing"
    return "usable" if plugin.spec.enabled else "disabled"
