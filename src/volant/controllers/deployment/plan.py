"""What a deployment needs next: pure and total.

    tally ──▶ intent ──▶ (in the transaction, on the children it holds) next_step ──▶ ordinals | victims
    tally ──▶ report ──▶ status and event, or None when all is as reported (L7)

The same question is asked twice. Outside a transaction it is asked of a tally, which is one cheap aggregate, so that a
turn with nothing to do costs next to nothing. Inside the transaction that acts it is asked again of the children
themselves, so the answer acted on is never older than the rows it changes (R1, R7, D10).

Ordinals are the lowest free ones from 1 on. A child on its way out keeps its ordinal until its row is gone and counts
for nothing else (R4); a name held by somebody else's VM is passed over (D5, D7).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from heapq import nsmallest
from itertools import count, islice
from typing import Literal, NamedTuple, Protocol

from msgspec import Struct

from volant.clock import Uid
from volant.model.deployment import FINALIZER, Deployment, child_name

BURST = 500
"""Most children one transaction creates or marks: a longer one would hold up everybody else's writes (R3)."""

PluginUse = Literal["usable", "disabled", "missing"]
"""Whether VMs may be made from the plugin. A plugin on its way out is missing."""

Intent = Literal["create_children", "delete_children", "finalize"]


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


class Tally(Protocol):
    """The children, counted: what `Store.tally` gives. A ready one is never a deleting one."""

    @property
    def total(self) -> int:
        """All rows."""

    @property
    def ready(self) -> int:
        """Those that count as ready replicas."""

    @property
    def deleting(self) -> int:
        """Those on their way out."""


class Count(NamedTuple):
    """A tally made here."""

    total: int
    ready: int
    deleting: int


class Victim(NamedTuple):
    """A child that has to go, and why."""

    name: str
    uid: Uid
    reason: str
    message: str


class CreateChildren(Struct, frozen=True):
    """Make the children of these ordinals."""

    ordinals: tuple[int, ...]


class DeleteChildren(Struct, frozen=True):
    """Mark these children for deletion, in this order."""

    victims: tuple[Victim, ...]


class Finalize(Struct, frozen=True):
    """Let the row go: no child is left."""


Step = CreateChildren | DeleteChildren | Finalize


def nobody(_name: str) -> bool:
    """No name is taken."""
    return False


def counted(children: Sequence[Child]) -> Count:
    """The tally of `children`."""
    deleting = sum(child.is_deleting for child in children)
    ready = sum(child.is_ready and not child.is_deleting for child in children)
    return Count(len(children), ready, deleting)


def intent(deployment: Deployment, use: PluginUse, tally: Tally) -> Intent | None:
    """What kind of step comes next, or None when there is nothing to do but wait. Total."""
    live = tally.total - tally.deleting
    if deployment.meta.is_deleting:
        if live:
            return "delete_children"
        return "finalize" if tally.total == 0 and FINALIZER in deployment.meta.finalizers else None
    if live > deployment.spec.replicas:
        return "delete_children"
    return "create_children" if live < deployment.spec.replicas and use == "usable" else None


def next_step(
    deployment: Deployment,
    use: PluginUse,
    children: Sequence[Child],
    *,
    limit: int = BURST,
    is_taken: Callable[[str], bool] = nobody,
) -> Step | None:
    """The next step towards `deployment.spec`, touching at most `limit` children; None when there is nothing to do.

    `children` are all VMs that the deployment's uid owns, those on their way out included. `is_taken` says whether
    a VM of that name exists; it is asked only about names that no child has.
    """
    tally = counted(children)
    live = tally.total - tally.deleting
    replicas = deployment.spec.replicas
    match intent(deployment, use, tally):
        case "create_children":
            free = _free_ordinals(deployment.meta.name, children, is_taken)
            return CreateChildren(tuple(islice(free, min(limit, replicas - live))))
        case "delete_children" if deployment.meta.is_deleting:
            return DeleteChildren(_everybody(children, limit))
        case "delete_children":
            return DeleteChildren(_surplus(deployment.meta.name, children, min(limit, live - replicas)))
        case "finalize":
            return Finalize()
        case None:
            return None


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


def _surplus(deployment: str, children: Sequence[Child], excess: int) -> tuple[Victim, ...]:
    """Who goes when there are too many: not running, then not ready, then the highest ordinal (R6)."""

    def rank(child: Child) -> tuple[int, int, str]:
        return _rule(child), -(ordinal_of(deployment, child.name) or 0), child.name

    chosen = nsmallest(excess, (child for child in children if not child.is_deleting), key=rank)
    return tuple(Victim(child.name, child.uid, "ScaledDown", _RULES[_rule(child)]) for child in chosen)


def _rule(child: Child) -> int:
    if not child.is_running:
        return 1
    return 3 if child.is_ready else 2
