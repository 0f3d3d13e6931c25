"""Waiting until one object has got where somebody wants it, or cannot get there any more.

    goal ──▶ look (store) ──▶ verdict (goals) ──not yet──▶ wait for news of it (waits) ──▶ look again ...

What was waited for is told together with the object as it was at that very look.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Literal, NamedTuple, cast

from volant.api.call import Call
from volant.clock import Instant
from volant.errors import Invalid
from volant.model.conditions import is_true
from volant.model.deployment import Deployment, template_of
from volant.model.event import past
from volant.model.goals import (
    NOT_YET,
    TAKEN_BACK,
    DeploymentGoal,
    Goal,
    NotYet,
    OutOfReach,
    PluginGoal,
    Since,
    Verdict,
    VMGoal,
    deployment_verdict,
    plugin_verdict,
    seconds,
    vm_verdict,
)
from volant.model.meta import Key
from volant.model.objects import Object
from volant.model.plugin import READY, Plugin
from volant.model.rollout import digest_of
from volant.model.vm import VM
from volant.store import Store

End = Literal["reached", "failed", "timeout", "stopping"]

RolledBack = dict[int, str | None]
"""Generation -> the words of whoever took an earlier template back until then. Does not change any more."""
LOOKED_BACK = 500
"""Events of a deployment in which it is looked for a rollback: a rollout of thousands reports no more often."""


class Ending(NamedTuple):
    """How a wait ended, and the object then (None: gone). `why` is set when it `failed`."""

    end: End
    obj: Object | None
    why: OutOfReach | None = None


async def reach(
    call: Call, key: Key, pin: Since, goal: Goal, bound_s: float, *, gone: Callable[[], Awaitable[None]] | None = None
) -> Ending:
    """Wait for `goal`, at most `bound_s` seconds; 0 looks once. Undoes nothing, whatever the end.

    `gone` returns when the caller has hung up; without it the wait goes on, because its outcome is kept.
    """
    seen: tuple[Object | None, Verdict] = (None, NOT_YET)
    known: RolledBack = {}

    def is_over() -> bool:
        nonlocal seen
        seen = look(call.store, key, pin, goal, call.deps.clock.now(), known)
        return not isinstance(seen[1], NotYet)

    if is_over():
        return _ending(*seen)
    also = Key("Plugin", seen[0].spec.plugin) if isinstance(seen[0], Deployment) else None
    end = await call.context.waits.until(key, is_over, bound_s, also=also, gone=gone)
    return _ending(*seen) if end == "reached" else Ending(end, seen[0])


def look(
    store: Store, key: Key, pin: Since, goal: Goal, now: Instant, known: RolledBack
) -> tuple[Object | None, Verdict]:
    """The object that `pin` is about, as it is `now`, and what that means for `goal`. `known` grows with each look."""
    obj = store.find(key) if pin.uid is None else store.find_uid(pin.uid)
    if key.kind == "VM":
        return obj, vm_verdict(obj if isinstance(obj, VM) else None, pin, cast("VMGoal", goal))
    if key.kind == "Plugin":
        return obj, plugin_verdict(obj if isinstance(obj, Plugin) else None, pin, cast("PluginGoal", goal))
    if not isinstance(obj, Deployment):
        return obj, deployment_verdict(None, pin, cast("DeploymentGoal", goal))
    found = store.find(Key("Plugin", obj.spec.plugin))
    # Counting costs with the number of VMs, and matters only where some of them may have nothing to boot.
    plugin = found if isinstance(found, Plugin) and not is_true(found.status.conditions, READY) else None
    running = 0 if plugin is None else store.tally(obj.meta.uid).running
    verdict = deployment_verdict(
        obj,
        pin,
        cast("DeploymentGoal", goal),
        plugin=plugin,
        running=running,
        available=_available(store, obj, now) if goal == "complete" else None,
        rolled_back=_rolled_back(store, obj, pin, known) if goal == "complete" else None,
    )
    return obj, verdict


def _available(store: Store, deployment: Deployment, now: Instant) -> int | None:
    """How many VMs have been ready for as long as they have to be; None where that is every ready one."""
    min_ready_s = deployment.spec.strategy.min_ready_s
    if not min_ready_s:
        return None
    tally = store.tally(deployment.meta.uid, ready_by=now - min_ready_s)
    return tally.ready - tally.unripe


def _rolled_back(store: Store, deployment: Deployment, pin: Since, known: RolledBack) -> str | None:
    generation = deployment.meta.generation
    if generation <= pin.generation:
        return None
    if generation not in known:
        known[generation] = _told_of_it(store, deployment, pin)
    return known[generation]


def _told_of_it(store: Store, deployment: Deployment, pin: Since) -> str | None:
    """What was said when the template of that generation was taken back, by its controller or by somebody.

    The event log is asked, because the deployment itself does not know which generation had which template: that is
    the last one which was made before the generation's last event. What is no longer kept was not taken back.
    """
    events = [(event.at, past(event)) for event in store.last_events(deployment.meta.uid, LOOKED_BACK)]
    until = max((at for at, told in events if (told.generation or 0) <= pin.generation), default=None)
    if until is None:
        return None
    its = next((one.digest for one in store.templates(deployment) if one.at <= until), None)
    if its == digest_of(template_of(deployment.spec)):
        return None  # because it was another template that was taken back, to this one
    later = (told for _, told in reversed(events) if (told.generation or 0) > pin.generation)
    return next((told.message or "" for told in later if told.reason in TAKEN_BACK), None)


def bound_of(text: str) -> float:
    """`?timeout=` in seconds. Raises Invalid."""
    try:
        return seconds(text)
    except ValueError as error:
        message = str(error)
        field = {"path": "?timeout", "message": message}
        raise Invalid(f"cannot accept ?timeout: {message}", fields=[field]) from None


def _ending(obj: Object | None, verdict: Verdict) -> Ending:
    return Ending("failed", obj, verdict) if isinstance(verdict, OutOfReach) else Ending("reached", obj)
