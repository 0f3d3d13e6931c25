"""Whether an object that is not ready says why: asked of every state that is ever committed.

    row, plugin, children, facts of the daemon ──▶ volant.model.why ──▶ complaints

What "ready" is, and what may be said when, is written down anew here. A chain that is empty, that speaks of another
generation without saying so, that gives a reason which the row does not bear out, or that promises a try in the past,
is complained of.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Mapping
from typing import Protocol

from volant.api.why import children_of, plugin_of
from volant.clock import Clock, Instant
from volant.daemon.engine import Engine
from volant.daemon.standings import Standings
from volant.model.deployment import Deployment
from volant.model.meta import Key
from volant.model.objects import Object
from volant.model.sync import Sync
from volant.model.vm import VM
from volant.model.why import Children, Facts, Why, why
from volant.store import Store

LATE_S = 30.0
"""How long after its time something may still be announced: a busy daemon is late."""


class Life(Protocol):
    """What is asked of a daemon that lives."""

    @property
    def store(self) -> Store:
        """Its store."""

    @property
    def engine(self) -> Engine:
        """Its controllers."""


def is_ready(obj: Object) -> bool:
    """Whether its own conditions say so, of its own generation."""
    if isinstance(obj, Sync) or obj.meta.is_deleting or obj.status.observed_generation != obj.meta.generation:
        return False
    wanted = "available" if isinstance(obj, Deployment) else "ready"
    if not any(c.type == wanted and c.status == "true" for c in obj.status.conditions):
        return False
    if isinstance(obj, Deployment) and (obj.status.completed != obj.status.template or obj.status.progress_at):
        return False
    return not isinstance(obj, VM) or (obj.spec.power == "running" and obj.status.stop_deadline is None)


def quick(store: Store, row: Object, now: Instant) -> Collection[str]:
    """What is wrong with what the store alone says of one object: a few microseconds, for every event of every play.

    Two VMs that differ in names and numbers only are judged once.
    """
    shape = _shape(row) if isinstance(row, VM) else None
    if shape in _SOUND or is_ready(row):
        return ()
    children = Children()
    if isinstance(row, Deployment):
        tally = store.tally(row.meta.uid)
        children = Children(total=tally.total, running=tally.running, ready=tally.ready, deleting=tally.deleting)
    wrong = judged(row, children, why(row, None, children, Facts(now=now)), says_ready=False)
    if shape is not None and not wrong:
        _SOUND.add(shape)
    return wrong


_SOUND: set[Hashable] = set()
"""What the VMs looked like about which nothing was wrong."""


def _shape(vm: VM) -> Hashable:
    """All of a VM that a chain and its judge look at, but for what is only repeated in it."""
    status, generation, told = vm.status, vm.meta.generation, vm.status.conditions
    return (
        generation == 1,
        generation - status.observed_generation,
        status.observed_generation == 0,
        vm.meta.is_deleting,
        vm.spec.power,
        vm.spec.restart_nonce if status.booted is None else vm.spec.restart_nonce - status.booted.restart_nonce,
        status.booted is None,
        status.pid is None,
        status.stop_deadline is None,
        status.next_restart_at is None,
        status.failures > 0,
        None if status.exit is None else status.exit.reason,
        tuple([(c.type, c.status, c.reason, c.message == "", c.observed_generation == generation) for c in told]),
    )


def whole(life: Life, row: Object, clock: Clock) -> Collection[str]:
    """The same with everything that a daemon knows, as the API tells it."""
    children = children_of(life.store, row) if isinstance(row, Deployment) else Children()
    plugin, facts = plugin_of(life.store, row), _facts(life, row, children, clock)
    answer = why(row, plugin, children, facts)
    return [*judged(row, children, answer, says_ready=is_ready(row)), *_told(answer, row, facts)]


def everything(life: Life, clock: Clock) -> Collection[str]:
    """The same of every object that there is."""
    store = life.store
    rows: list[Object] = [*store.vms(), *store.deployments(), *store.plugins()]
    return [wrong for row in rows for wrong in whole(life, row, clock)]


def judged(row: Object, children: Children, answer: Why, *, says_ready: bool) -> Collection[str]:
    """What is wrong with an answer about an object, which `is_ready` by its conditions or not."""
    key = row.meta.key
    if not answer.chain:
        return [f"{key} does not say why"]
    first = answer.chain[0]
    if first.name != key.name or first.kind != key.kind or first.level or not first.says or not first.reason:
        return [f"{key}: its first link says nothing of itself: {first}"]
    is_behind = row.status.observed_generation < row.meta.generation and not row.meta.is_deleting
    if is_behind != (first.reason == "NotLookedAt"):
        return [
            f"{key}: {first.reason}, at generation {row.meta.generation}, {row.status.observed_generation} observed"
        ]
    if not is_behind and first.generation != row.meta.generation:
        return [f"{key}: {first.reason} is of generation {first.generation}, not of {row.meta.generation}"]
    is_well = says_ready and (not isinstance(row, Deployment) or children.ready >= row.spec.replicas)
    if is_well != (answer.outlook == "ready"):
        return [f"{key} is {'' if is_well else 'not '}ready, and its outlook is {answer.outlook}"]
    return [] if is_behind else [f"{key}: {first.reason}: {why_not}" for why_not in _borne_out(row, first.reason)]


def _borne_out(row: Object, reason: str) -> Collection[str]:
    """Whether the row has what the reason speaks of."""
    if row.meta.is_deleting:
        return () if reason == "Deleting" else ("it is being deleted",)
    if not isinstance(row, VM):
        return ("nothing deletes it",) if reason == "Deleting" else ()
    rule = _BORNE_OUT.get(reason)
    return () if rule is None or rule(row) else ("the row says otherwise",)


_BORNE_OUT: Mapping[str, Callable[[VM], bool]] = {
    "Running": lambda vm: vm.status.pid is not None,
    "Stopping": lambda vm: vm.status.stop_deadline is not None,
    "Stopped": lambda vm: vm.spec.power == "stopped" and vm.status.pid is None,
    "Crashed": lambda vm: vm.status.failures > 0 and vm.status.exit is not None and vm.status.pid is None,
    "Exited": lambda vm: vm.status.exit is not None and vm.status.pid is None,
    "PluginMissing": lambda vm: vm.status.pid is None,
}


def _told(answer: Why, row: Object, facts: Facts) -> Collection[str]:
    """Whether what keeps everybody from acting is told, and whether nothing is promised for the past."""
    key, reasons = row.meta.key, {link.reason for link in answer.chain}
    if answer.outlook == "ready":
        return ()
    wrong = [
        f"{key} does not tell of {reason}" for reason, is_so in _everybody(facts) if is_so and reason not in reasons
    ]
    before = facts.now - LATE_S
    late = [link for link in answer.chain if link.next_try_at is not None and link.next_try_at < before]
    return [
        *wrong,
        *(f"{key}: {link.reason} promises a try {facts.now - (link.next_try_at or 0):g} s ago" for link in late),
    ]


def _everybody(facts: Facts) -> Collection[tuple[str, bool]]:
    is_paused = facts.is_paused and facts.trouble is None
    return (("FirstLook", not facts.has_looked), ("Unavailable", facts.trouble is not None), ("Paused", is_paused))


def _facts(life: Life, row: Object, children: Children, clock: Clock) -> Facts:
    keys = [row.meta.key, *(vm.meta.key for vm in children.shown)]
    if isinstance(row, VM | Deployment):
        keys.append(Key("Plugin", row.spec.plugin))
    return Standings(life.engine, life.store, clock).of(clock.now(), keys)
