"""One turn of a deployment: look, act, look again, report.

    tally ──plan.intent──▶ transaction: plan.next_step on its own rows ──▶ tally … ──▶ report

Creating and deleting children is one transaction a batch, and each transaction reads the deployment, its plugin and
its children again before it decides (V12). So a scale-down that is committed between two batches holds for the second
(R7), a deletion of the deployment stops creation for good (D10), and a batch that was committed though nobody saw its
result is counted by the next one (R1).

A turn costs one aggregate when there is nothing to do. That still grows with the replicas, and their events come by the
thousand, so looks are paced: `gap_s` is how long those who pass on events of children may wait, and for as long after a
report nothing but a new spec is looked at. Without the second rule the event of each report would ask for a turn that
finds one more replica ready, and reports.
"""

from __future__ import annotations

import math
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
from volant.model.vm import VM, VMSpec, settled
from volant.reconcile import DONE, Again, Outcome
from volant.reconcile.effects import Effects
from volant.store import Store, Tally, Transaction

GAP_S = 0.02
LOOKS_PER_GAP = 20.0
"""A gap is so many looks long, so that looking takes at most about a twentieth of a core."""


class Seen(NamedTuple):
    """What one look found."""

    deployment: Deployment
    use: PluginUse
    tally: Tally


class DeploymentReconciler:
    """Brings the children of one deployment to what its spec asks for."""

    def __init__(self, *, store: Store, clock: Clock, effects: Effects | None = None) -> None:
        self._store = store
        self._clock = clock
        self._effects = effects or Effects()
        self._look_s = 0.0
        self._reported_at: dict[Key, float] = {}

    @property
    def gap_s(self) -> float:
        """How long an event of another kind may wait before the key is added, in seconds: many of them are one turn."""
        return max(GAP_S, self._look_s * LOOKS_PER_GAP)

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
        pause_s = self._pause_s(key)
        if pause_s > 0:
            return Again(pause_s)
        trouble: VolantError | None = None
        try:
            seen = await self._settle(key)
        except Unavailable:
            raise  # because a report could not be written either
        except VolantError as error:
            seen, trouble = self._look(key), error
        if seen is None:
            self._reported_at.pop(key, None)
            return DONE
        await self._report(seen, trouble)
        if trouble is not None:
            raise trouble
        return DONE if plan.intent(*seen) is None else Again(0.0)

    def _pause_s(self, key: Key) -> float:
        """Seconds until this key is due for a look; a spec that was not acted on yet is due at once."""
        # From the due time, because a rest of rounding (gap - elapsed) is too short for any timer and would spin.
        pause_s = self._reported_at.get(key, -math.inf) + self.gap_s - self._clock.monotonic()
        if pause_s <= 0:
            return 0.0
        deployment = self._store.find(key)
        is_quiet = (
            isinstance(deployment, Deployment)
            and not deployment.meta.is_deleting
            and deployment.status.observed_generation == deployment.meta.generation
        )
        return pause_s if is_quiet else 0.0

    async def _settle(self, key: Key) -> Seen | None:
        """Act, batch by batch, until there is nothing to do now or this turn has done its share; the last look."""
        seen = self._look(key)
        for creates in plan.slow_start():
            intent = plan.intent(*seen) if seen is not None else None
            if seen is None or intent is None:
                return seen
            limit = creates if intent == "create_children" else BURST
            await self._advance(seen.deployment, intent, limit)
            seen = self._look(key)
        return seen

    def _look(self, key: Key) -> Seen | None:
        began = self._clock.monotonic()
        deployment = self._store.find(key)
        if not isinstance(deployment, Deployment):
            return None
        use = _use(self._store.find(Key("Plugin", deployment.spec.plugin)))
        seen = Seen(deployment, use, self._store.tally(deployment.meta.uid))
        self._look_s = self._clock.monotonic() - began
        return seen

    async def _advance(self, deployment: Deployment, intent: plan.Intent, limit: int) -> None:
        """One batch in one transaction."""

        async def write() -> None:
            await self._store.write(lambda tx: _advance_in(tx, deployment.meta.key, limit))

        await self._effects.act(f"store.{intent}", deployment.meta.uid, write)

    async def _report(self, seen: Seen, trouble: VolantError | None) -> None:
        due = report(*seen, trouble, self._clock.now())
        if due is None:
            return
        meta = seen.deployment.meta

        async def write() -> None:
            await self._store.update_status(seen.deployment, due.status, due.happening)

        await self._effects.act("store.update_status", meta.uid, write)
        self._reported_at[meta.key] = self._clock.monotonic()


def _advance_in(tx: Transaction, key: Key, limit: int) -> None:
    """Decide and do the next step on the rows of `tx`."""
    deployment = tx.find(key)
    if not isinstance(deployment, Deployment):
        return
    step = plan.next_step(
        deployment,
        _use(tx.find(Key("Plugin", deployment.spec.plugin))),
        tx.children(deployment.meta.uid),
        limit=limit,
        is_taken=lambda name: tx.find(Key("VM", name)) is not None,
    )
    match step:
        case CreateChildren(ordinals):
            _create(tx, deployment, ordinals)
        case DeleteChildren(victims):
            _delete(tx, victims)
        case Finalize():
            tx.finalize(deployment, FINALIZER, Happening(type="deployment.deleted", actor=ACTOR))
        case None:
            pass  # because the rows moved after the look, and what was due no longer is


def _create(tx: Transaction, deployment: Deployment, ordinals: Sequence[int]) -> None:
    for ordinal in ordinals:
        try:
            child = _child(tx, deployment, ordinal)
        except Conflict:
            if ordinal == ordinals[0]:
                raise
            return  # because what there are addresses for is worth keeping; the next batch tells of the rest
        tx.insert(child, Happening(type="vm.created", actor=ACTOR))


def _child(tx: Transaction, deployment: Deployment, ordinal: int) -> VM:
    """A VM from the deployment's template, with an address of its own. Raises Conflict when there is none left."""
    meta, spec, uid = deployment.meta, deployment.spec, tx.new_uid()
    config = settled(spec.config, tx.mode)
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
            config=config,
            restart_policy=spec.restart_policy,
            address=tx.allocate_address(uid, config.network.mode),
        ),
    )


def _delete(tx: Transaction, victims: Sequence[Victim]) -> None:
    for victim in victims:
        happening = Happening(type="vm.deleting", actor=ACTOR, reason=victim.reason, message=victim.message)
        tx.mark_deleting(tx.get(Key("VM", victim.name)), happening)


def _use(plugin: Object | None) -> PluginUse:
    if not isinstance(plugin, Plugin) or plugin.meta.is_deleting:
        return "missing"
    return "usable" if plugin.spec.enabled else "disabled"
