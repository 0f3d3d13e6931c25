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

from msgspec.structs import replace

from volant.clock import Clock, Instant
from volant.controllers.deployment import plan
from volant.controllers.deployment.making import create
from volant.controllers.deployment.plan import BURST, CreateChildren, DeleteChildren, Finalize, Revert, Victim
from volant.controllers.deployment.report import ACTOR, report, stalls_at
from volant.controllers.deployment.rolling import PluginUse
from volant.errors import Unavailable, VolantError
from volant.model.deployment import FINALIZER, Deployment, template_of, with_template
from volant.model.event import Committed, Happening
from volant.model.meta import Key
from volant.model.objects import Object
from volant.model.plugin import Plugin
from volant.model.rollout import Revision, digest_of
from volant.model.vm import VM
from volant.reconcile import DONE, Again, Outcome
from volant.reconcile.effects import Effects
from volant.store import Store, Tally, Transaction

GAP_S = 0.02
STAYED = "RollbackImpossible"
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
        now = self._clock.now()
        await self._report(seen, trouble, now)
        if trouble is not None:
            raise trouble
        return self._next(seen, now)

    def _next(self, seen: Seen, now: Instant) -> Outcome:
        """When to look again if nobody tells of anything."""
        deployment = self._store.find(seen.deployment.meta.key)
        if not isinstance(deployment, Deployment) or plan.intent(deployment, seen.use, seen.tally) is not None:
            return Again(0.0)
        stalls, ripe = stalls_at(deployment), seen.tally.next_ready
        pauses = [stalls - now] if stalls is not None and stalls > now else []  # the past has been reported
        pauses += [ripe + deployment.spec.strategy.min_ready_s - now] if ripe is not None else []
        return Again(max(GAP_S, min(pauses))) if pauses else DONE

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
        template, by = digest_of(template_of(deployment.spec)), plan.ready_by(deployment, self._clock.now())
        seen = Seen(deployment, use, self._store.tally(deployment.meta.uid, template=template, ready_by=by))
        self._look_s = self._clock.monotonic() - began
        return seen

    async def _advance(self, deployment: Deployment, intent: plan.Intent, limit: int) -> None:
        """One batch in one transaction."""

        async def write() -> None:
            await self._store.write(lambda tx: _advance_in(tx, deployment.meta.key, limit))

        await self._effects.act(f"store.{intent}", deployment.meta.uid, write)

    async def _report(self, seen: Seen, trouble: VolantError | None, now: Instant) -> None:
        due = report(*seen, trouble, now)
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
        now=tx.now,
        limit=limit,
        is_taken=lambda name: tx.find(Key("VM", name)) is not None,
    )
    match step:
        case CreateChildren(ordinals, template):
            create(tx, deployment, ordinals, template)
        case DeleteChildren(victims):
            _delete(tx, victims)
        case Finalize():
            tx.finalize(deployment, FINALIZER, Happening(type="deployment.deleted", actor=ACTOR))
        case Revert(template):
            _revert(tx, deployment, template)
        case None:
            pass  # because the rows moved after the look, and what was due no longer is


def _revert(tx: Transaction, deployment: Deployment, digest: str) -> None:
    """The spec with its last template that was complete: once, because the template that is stuck is no longer its.

    Of one that is kept no more, or has nothing to boot, nothing can be made: what is there is better, and is tried on.

    Whose the fields are stays as it is: who said them has not taken them back, and mends them without force.
    """
    revision = next((one for one in tx.templates(deployment) if one.digest == digest), None)
    if revision is None or _use(tx.find(Key("Plugin", revision.template.plugin))) == "missing":
        _stay(tx, deployment, revision)
        return
    message = f"no progress: back to the template of revision {revision.number}"
    happening = Happening(type="deployment.updated", actor=ACTOR, reason="RolledBack", message=message)
    template, said = revision.template, tx.fields(deployment.meta.uid)
    tx.update_spec(deployment, with_template(deployment.spec, template), happening, labels=template.labels, fields=said)


def _stay(tx: Transaction, deployment: Deployment, revision: Revision | None) -> None:
    """There is nothing to go back to any more: said once, and the rollout goes on."""
    why = "the last complete template is gone"
    if revision is not None:
        why = f"the plugin {revision.template.plugin} of revision {revision.number} is not installed"
    message = f"cannot go back: {why}. It is tried on"
    happening = Happening(type="deployment.updated", actor=ACTOR, reason=STAYED, message=message)
    tx.update_status(deployment, replace(deployment.status, completed=None, reverted=None), happening)


def _delete(tx: Transaction, victims: Sequence[Victim]) -> None:
    for victim in victims:
        happening = Happening(type="vm.deleting", actor=ACTOR, reason=victim.reason, message=victim.message)
        vm = tx.get(Key("VM", victim.name))
        spec = replace(vm.spec, drain_s=victim.drain_s) if isinstance(vm, VM) else None
        tx.mark_deleting(vm, happening, spec=spec)


def _use(plugin: Object | None) -> PluginUse:
    if not isinstance(plugin, Plugin) or plugin.meta.is_deleting:
        return "missing"
    return "usable" if plugin.spec.enabled else "disabled"
