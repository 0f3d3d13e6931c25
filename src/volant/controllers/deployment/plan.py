"""What a deployment needs next: pure and total.

    tally ──▶ intent ──▶ (in the transaction, on the children it holds) next_step ──▶ ordinals | victims | revert
                │
                └─ rolling.amounts: how many to make, how many to take
    tally ──▶ report ──▶ status and event, or None when all is as reported (L7)

The same question is asked twice. Outside a transaction it is asked of a tally, which is one cheap aggregate, so that a
turn with nothing to do costs next to nothing. Inside the transaction that acts it is asked again of the children
themselves, so the answer acted on is never older than the rows it changes (R1, R7, D10).

Ordinals are the lowest free ones from 1 on. A child on its way out keeps its ordinal until its row is gone and counts
for nothing else (R4); a name held by somebody else's VM is passed over (D5, D7).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from heapq import nsmallest
from itertools import count, islice
from typing import Literal, NamedTuple, Protocol

from msgspec import Struct

from volant.clock import Instant, Uid
from volant.controllers.deployment.rolling import Amounts, PluginUse, Tally, amounts, should_revert
from volant.model.deployment import FINALIZER, Deployment, child_name, template_of
from volant.model.rollout import digest_of

BURST = 500
"""Most children one transaction creates or marks: a longer one would hold up everybody else's writes (R3)."""

Intent = Literal["create_children", "delete_children", "finalize", "revert"]


class Child(Protocol):
    """One VM that the deployment's uid owns: what `Store.children` gives."""

    @property
    def name(self) -> str:
        """The VM's name."""

    @property
    def uid(self) -> Uid:
        """The VM's uid."""

    @property
    def is_running(self) -> bool:
        """Whether its guest runs as asked."""

    @property
    def is_ready(self) -> bool:
        """Whether it counts as a ready replica."""

    @property
    def is_deleting(self) -> bool:
        """Whether it is on its way out."""

    @property
    def template(self) -> str | None:
        """The digest of the template that it was made of; None is the one that the deployment has."""

    @property
    def ready_since(self) -> Instant | None:
        """Since when it counts as a ready replica; None is for ever."""


class Count(NamedTuple):
    """A tally made here."""

    total: int
    ready: int
    deleting: int
    old: int = 0
    old_available: int = 0
    unripe: int = 0
    next_ready: Instant | None = None


class Victim(NamedTuple):
    """A child that has to go, why, and for how many seconds it goes on serving."""

    name: str
    uid: Uid
    reason: str
    message: str
    drain_s: float = 0.0


class CreateChildren(Struct, frozen=True):
    """Make the children of these ordinals, of the template with that digest (None: the one that the deployment has)."""

    ordinals: tuple[int, ...]
    template: str | None = None


class DeleteChildren(Struct, frozen=True):
    """Mark these children for deletion, in this order."""

    victims: tuple[Victim, ...]


class Finalize(Struct, frozen=True):
    """Let the row go: no child is left."""


class Revert(Struct, frozen=True):
    """Go back to the template with that digest."""

    template: str


Step = CreateChildren | DeleteChildren | Finalize | Revert


def nobody(_name: str) -> bool:
    """No name is taken."""
    return False


def ready_by(deployment: Deployment, now: Instant) -> Instant:
    """Since when a replica has to be ready to be available at `now`."""
    min_ready_s = deployment.spec.strategy.min_ready_s
    # Without a time to wait for, no clock that was put back can make a ready one unavailable.
    return now - min_ready_s if min_ready_s else math.inf


def counted(children: Sequence[Child], template: str | None = None, ready_by: Instant = math.inf) -> Count:
    """The tally of `children`: as of the template with that digest, and of who has been ready for long enough."""
    living = [child for child in children if not child.is_deleting]
    old = [child for child in living if _is_old(child, template)]
    unripe = [child.ready_since or 0.0 for child in living if child.is_ready and not _is_available(child, ready_by)]
    return Count(
        total=len(children),
        ready=sum(child.is_ready for child in living),
        deleting=len(children) - len(living),
        old=len(old),
        old_available=sum(_is_available(child, ready_by) for child in old),
        unripe=len(unripe),
        next_ready=min(unripe, default=None),
    )


def _is_old(child: Child, template: str | None) -> bool:
    return None not in (child.template, template) and child.template != template


def _is_available(child: Child, ready_by: Instant) -> bool:
    return child.is_ready and (child.ready_since or 0.0) <= ready_by


def intent(deployment: Deployment, use: PluginUse, tally: Tally) -> Intent | None:
    """What kind of step comes next, or None when there is nothing to do but wait. Total."""
    live = tally.total - tally.deleting
    if deployment.meta.is_deleting:
        if live:
            return "delete_children"
        return "finalize" if tally.total == 0 and FINALIZER in deployment.meta.finalizers else None
    if should_revert(deployment):
        return "revert"
    due = amounts(deployment.spec, use, tally)
    # Who goes comes first, because what they leave may be what new ones need; the bounds hold either way.
    if due.surplus or due.surplus_new or due.retiring:
        return "delete_children"
    return "create_children" if due.missing else None


def next_step(
    deployment: Deployment,
    use: PluginUse,
    children: Sequence[Child],
    *,
    now: Instant = 0.0,
    limit: int = BURST,
    is_taken: Callable[[str], bool] = nobody,
) -> Step | None:
    """The next step towards `deployment.spec`, touching at most `limit` children; None when there is nothing to do.

    `children` are all VMs that the deployment's uid owns, in the order of their creation, those on their way out
    included. `now` is when it is asked, which matters where VMs have to be ready for a while. `is_taken` says whether a
    VM of that name exists; it is asked only about names that no child has.
    """
    template = digest_of(template_of(deployment.spec))
    by = ready_by(deployment, now)
    tally = counted(children, template, by)
    match intent(deployment, use, tally):
        case "create_children":
            free = _free_ordinals(deployment.meta.name, children, is_taken)
            missing = min(limit, amounts(deployment.spec, use, tally).missing)
            return CreateChildren(tuple(islice(free, missing)), _made_of(deployment, children))
        case "delete_children" if deployment.meta.is_deleting:
            return DeleteChildren(_everybody(children, limit))
        case "delete_children":
            return DeleteChildren(_victims(deployment, amounts(deployment.spec, use, tally), children, limit, by))
        case "revert":
            return Revert(deployment.status.completed or template)
        case "finalize":
            return Finalize()
        case None:
            return None


def _made_of(deployment: Deployment, children: Sequence[Child]) -> str | None:
    """The template of new children: while the rollout is paused that of the last one that was made (U8)."""
    if not deployment.spec.strategy.paused:
        return None
    return next((child.template for child in reversed(children) if not child.is_deleting), None)


def slow_start(batches: int = 64) -> Iterator[int]:
    """1, 2, 4, 8, … and from then on BURST: how many creates to try while none has failed (R3). Ends after `batches`.

    If creating is bound to fail, one create shows it as well as ten thousand would.
    """
    return (min(1 << turn, BURST) for turn in range(batches))


def _free_ordinals(deployment: str, children: Sequence[Child], is_taken: Callable[[str], bool]) -> Iterator[int]:
    occupied = {ordinal_of(deployment, child.name) for child in children}
    unoccupied = (ordinal for ordinal in count(1) if ordinal not in occupied)
    return (ordinal for ordinal in unoccupied if not is_taken(child_name(deployment, ordinal)))


def ordinal_of(deployment: str, name: str) -> int | None:
    """`api`, `api-3` -> 3; None for a name that `child_name` never gives."""
    digits = name.removeprefix(f"{deployment}-")
    is_ordinal = digits != name and digits.isascii() and digits.isdigit() and digits[0] != "0"
    return int(digits) if is_ordinal else None


def _everybody(children: Sequence[Child], limit: int) -> tuple[Victim, ...]:
    living = (child for child in children if not child.is_deleting)
    message = "its deployment is being deleted"
    return tuple(Victim(child.name, child.uid, "DeploymentDeleting", message) for child in islice(living, limit))


_RULES = {1: "rule 1: not running", 2: "rule 2: not ready", 3: "rule 3: highest ordinal"}


def _victims(
    deployment: Deployment, due: Amounts, children: Sequence[Child], limit: int, by: Instant
) -> tuple[Victim, ...]:
    """Who goes, when there are too many or when they are replaced."""
    template = digest_of(template_of(deployment.spec))
    if due.surplus:
        return _chosen(deployment, children, min(limit, due.surplus), template, by, "ScaledDown")
    if due.surplus_new:
        new = [child for child in children if not _is_old(child, template)]
        return _chosen(deployment, new, min(limit, due.surplus_new), template, by, "ScaledDown")
    old = [child for child in children if _is_old(child, template)]
    return _chosen(deployment, old, min(limit, due.retiring), template, by, "Replaced")


def _chosen(
    deployment: Deployment, children: Sequence[Child], excess: int, template: str, by: Instant, reason: str
) -> tuple[Victim, ...]:
    """Not running before not ready before the rest (R6); of equal ones the old (U3, U9), then the highest ordinal."""
    name = deployment.meta.name

    def rank(child: Child) -> tuple[int, bool, int, str]:
        return _rule(child, by), not _is_old(child, template), -(ordinal_of(name, child.name) or 0), child.name

    chosen = nsmallest(excess, (child for child in children if not child.is_deleting), key=rank)
    # One that is not ready is nobody's endpoint: nobody has to hear first that it goes.
    drain_s = deployment.spec.strategy.drain_s
    return tuple(
        Victim(child.name, child.uid, reason, _RULES[_rule(child, by)], drain_s if child.is_ready else 0.0)
        for child in chosen
    )


def _rule(child: Child, by: Instant) -> int:
    if not child.is_running:
        return 1
    return 3 if _is_available(child, by) else 2
