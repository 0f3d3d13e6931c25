"""Waiting until one object has got where somebody wants it, or cannot get there any more.

    goal ──▶ look (store) ──▶ verdict (goals) ──not yet──▶ wait for news of it (waits) ──▶ look again ...

What was waited for is told together with the object as it was at that very look.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Literal, NamedTuple, cast

from volant.api.call import Call
from volant.errors import Invalid
from volant.model.conditions import is_true
from volant.model.deployment import Deployment
from volant.model.goals import (
    NOT_YET,
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
from volant.model.vm import VM
from volant.store import Store

End = Literal["reached", "failed", "timeout", "stopping"]


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

    def is_over() -> bool:
        nonlocal seen
        seen = look(call.store, key, pin, goal)
        return not isinstance(seen[1], NotYet)

    if is_over():
        return _ending(*seen)
    also = Key("Plugin", seen[0].spec.plugin) if isinstance(seen[0], Deployment) else None
    end = await call.context.waits.until(key, is_over, bound_s, also=also, gone=gone)
    return _ending(*seen) if end == "reached" else Ending(end, seen[0])


def look(store: Store, key: Key, pin: Since, goal: Goal) -> tuple[Object | None, Verdict]:
    """The object that `pin` is about, as it is now, and what that means for `goal`."""
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
    return obj, deployment_verdict(obj, pin, cast("DeploymentGoal", goal), plugin=plugin, running=running)


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
