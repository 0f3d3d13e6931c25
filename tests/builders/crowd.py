"""Many stories told at once in one world, each with a fault of its own: what a plan costs is shared among them.

    given ── all to rest ──▶ told, each spoiled its own way ──▶ rest ──▶ each ends like one that was spared ──▶ quiet

Only what concerns one object can be spoiled here; the end of the daemon concerns everybody and has campaigns of its
own. That nobody's fault becomes anybody else's is proved on the way. What is given is played once for all crowds of a
size, and taken out of the freezer for each.
"""

from __future__ import annotations

import asyncio
import gc
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import combinations, product
from typing import Any, NamedTuple

from tests.builders.frozen import Frozen, freeze, scratch
from tests.builders.spoils import NOTHING, Counts, How, Spoil, Twist
from tests.builders.world import World, play

from volant.model.event import EventType
from volant.model.vm import VM, status_word

Story = Callable[[World, str], Awaitable[None]]

CROWD = 32
"""Actors in one world."""
SILENT = 8
"""The same, where turns wait for ever: each holds a worker until its turn has taken too long."""
FEW = 4
"""Of a crowd in which hardly anybody is disturbed."""
START_S = 1.0
"""Virtual seconds in which a daemon that finds everything at rest has looked at all of it."""
BOUND_S = 900.0
QUIET_S = 55.0
ERRORS: tuple[How, ...] = ("error", "lost answer", "twice")
SILENCES: tuple[How, ...] = ("silence before", "silence after")
TWISTS: tuple[Twist, ...] = ("hidden", "twice", "late")
COUNTED: tuple[EventType, ...] = ("vm.created", "vm.deleted", "deployment.deleted")


@dataclass(frozen=True)
class Role:
    """A story of whoever is called `name`. With `varies` only what is there in the end counts, not how.

    Without `in_pairs` one fault a play is enough: a long story has more pairs than all others together. With `renames`
    it does not count which ordinals the replicas have that are there in the end.
    """

    name: str
    given: Story
    told: Story
    varies: bool = False
    in_pairs: bool = True
    renames: bool = False


class Tally(NamedTuple):
    """How many plans were played, how many of them were void, and what went wrong."""

    plans: int
    void: int
    failures: Sequence[str]


def plans_of(counts: Counts, *, in_pairs: bool = True) -> Iterator[Spoil]:
    """Every plan of a story of which so many effects, looks and notices were counted."""
    yield from _single(counts)
    if in_pairs:
        yield from _double(counts)


def _single(counts: Counts) -> Iterator[Spoil]:
    for at, how in product(range(counts.effects), (*ERRORS, *SILENCES)):
        yield Spoil(effects=((at, how),))
    for look, older in enumerate(counts.row_looks):
        yield from (Spoil(row=(look, back)) for back in range(1, older + 1))
    for look, older in enumerate(counts.guest_looks):
        yield from (Spoil(guest=(look, back)) for back in range(1, older + 1))
    for at, twist in product(range(counts.notices), TWISTS[:2]):
        yield Spoil(notices=((at, twist, at),))


def _double(counts: Counts) -> Iterator[Spoil]:
    effects = range(counts.effects)
    for (first, second), hows in product(combinations(effects, 2), product(ERRORS, ERRORS)):
        yield Spoil(effects=((first, hows[0]), (second, hows[1])))
    for look, older in enumerate(counts.row_looks):
        for back, at in product(range(1, older + 1), effects):
            yield Spoil(row=(look, back), effects=((at, "error"),))
    for look, older in enumerate(counts.guest_looks):
        for back, at in product(range(1, older + 1), effects):
            yield Spoil(guest=(look, back), effects=((at, "error"),))
    for notice, at in product(range(counts.notices), effects):
        yield Spoil(notices=((notice, "hidden", notice),), effects=((at, "error"),))
    for (first, second), twist in product(combinations(range(counts.notices), 2), TWISTS):
        both = ((first, twist, first), (second, twist, second))
        yield Spoil(notices=((first, twist, second),) if twist == "late" else both)


def is_silent(plan: Spoil) -> bool:
    """Whether a turn of it waits until it has taken too long."""
    return any(how in SILENCES for _, how in plan.effects)


def campaign(role: Role) -> Tally:
    """Every plan of a role. One that found nothing to spoil, as others were slower, is played once more among calm."""
    spared = perform(role, [NOTHING] * CROWD)
    reference = spared[0]
    plans = list(plans_of(_least(ending.counts for ending in spared), in_pairs=role.in_pairs))
    failures = list[str]()

    def void(crowds: Iterable[Sequence[Spoil]]) -> Iterator[Spoil]:
        for crowd in crowds:
            for plan, ending in zip(crowd, perform(role, crowd), strict=True):
                if ending.looks != reference.looks:
                    failures.append(f"{role.name}: {plan}: {ending.looks}, without the fault {reference.looks}")
                if plan != NOTHING and not ending.counts.fired:
                    yield plan
            gc.collect()

    again = list(void(_crowds(plans)))
    return Tally(len(plans), len(list(void(_among_calm(again)))), failures)


def _least(counted: Iterable[Counts]) -> Counts:
    """What happened to everybody: who is asked first in a crowd depends on who is faster."""
    counts = list(counted)
    return Counts(
        effects=min(c.effects for c in counts),
        notices=min(c.notices for c in counts),
        row_looks=[min(looks) for looks in zip(*(c.row_looks for c in counts), strict=False)],
        guest_looks=[min(looks) for looks in zip(*(c.guest_looks for c in counts), strict=False)],
    )


def _crowds(plans: Sequence[Spoil]) -> Iterator[Sequence[Spoil]]:
    for size, part in ((CROWD, [p for p in plans if not is_silent(p)]), (SILENT, [p for p in plans if is_silent(p)])):
        yield from (part[at : at + size] for at in range(0, len(part), size))


def _among_calm(plans: Sequence[Spoil]) -> Iterator[Sequence[Spoil]]:
    for crowd in (plans[at : at + FEW] for at in range(0, len(plans), FEW)):
        yield [*crowd, *[NOTHING] * ((SILENT if any(map(is_silent, crowd)) else CROWD) - len(crowd))]


class Ending(NamedTuple):
    """What one actor looks like in the end, and what was counted on the way."""

    looks: dict[str, Any]
    counts: Counts


def perform(role: Role, plans: Sequence[Spoil]) -> list[Ending]:
    """Tell the story to as many actors as there are plans. Raises AssertionError with what went wrong."""
    size = SILENT if any(is_silent(plan) for plan in plans) else CROWD
    actors = _actors(size)[: len(plans)]
    endings: list[Ending] = []

    async def test(world: World) -> None:
        await world.passes(START_S)
        spoils = world.senses.spoils
        for actor, plan in zip(actors, plans, strict=True):
            spoils.begin(actor, plan)
        world.oracles.believes_lies = any(plan.guest for plan in plans)
        await asyncio.gather(*(role.told(world, actor) for actor in actors))
        await world.rest(within_s=BOUND_S)
        counted = spoils.end()
        found = looks(world, actors, role)
        endings.extend(Ending(mine, counted[actor]) for actor, mine in zip(actors, found, strict=True))
        await world.quiet(QUIET_S)

    with scratch() as directory:
        play(test, directory, frozen=begin(role.given, size))
    return endings


@cache
def begin(given: Story, size: int) -> Frozen:
    """So many actors before their story."""

    async def test(world: World) -> None:
        await world.users.install()
        await world.rest()
        await asyncio.gather(*(given(world, actor) for actor in _actors(size)))
        await world.rest(within_s=BOUND_S)

    with scratch() as directory:
        return freeze(play(test, directory))


def _actors(size: int) -> list[str]:
    return [f"a{number:02d}" for number in range(size)]


def looks(world: World, actors: Sequence[str], role: Role) -> list[dict[str, Any]]:
    """What there is of each actor, without its name: which VMs in which state, how often one began and ended."""
    found: dict[str, dict[str, Any]] = {actor: {"vms": [], "guests": 0} for actor in actors}
    for vm in world.store.vms():
        mine = found.get(_actor(vm.meta.name))
        if mine is None:
            continue  # because it stands by
        mine["vms"].append(("" if role.renames else vm.meta.name.partition("-")[2], status_word(vm)))
        mine["guests"] += len(world.host.alive(vm.meta.uid))
    if not role.varies:
        told = Counter((_actor(event.key.name), event.type) for event in world.oracles.replay.events)
        born = Counter(_actor(world.oracles.name(uid)) for uid, _ in world.host.births)
        for actor, mine in found.items():
            mine["told"] = {kind: told[actor, kind] for kind in COUNTED}
            mine["births"] = born[actor]
    return [{**mine, "vms": sorted(mine["vms"])} for mine in found.values()]


def _actor(name: str) -> str:
    return name.partition("-")[0]


def replicas(world: World, actor: str) -> Iterable[VM]:
    """The replicas of an actor's deployment."""
    return [vm for vm in world.store.vms() if vm.meta.owner is not None and vm.meta.owner.name == actor]
