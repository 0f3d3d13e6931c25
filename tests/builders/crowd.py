"""Many stories told at once in one world, each with a fault of its own: what a plan costs is shared among them.

    given ── all to rest ──▶ told, each spoiled its own way ──▶ rest ──▶ each ends like one that was spared ──▶ quiet

Only what concerns one object can be spoiled here; the end of the daemon concerns everybody and has campaigns of its
own. That nobody's fault becomes anybody else's is proved on the way.
"""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations, product
from pathlib import Path
from typing import Any, NamedTuple

from tests.builders.spoils import NOTHING, Counts, How, Spoil, Twist
from tests.builders.world import World, play

from volant.model.event import EventType
from volant.model.meta import Key
from volant.model.vm import VM, status_word

CROWD = 32
"""Actors in one world."""
SILENT = 8
"""The same, where turns wait for ever: each holds a worker until its turn has taken too long."""
BOUND_S = 900.0
QUIET_S = 55.0
ERRORS: tuple[How, ...] = ("error", "lost answer", "twice")
SILENCES: tuple[How, ...] = ("silence before", "silence after")
TWISTS: tuple[Twist, ...] = ("hidden", "twice", "late")
COUNTED: tuple[EventType, ...] = ("vm.created", "vm.deleted", "deployment.deleted")


@dataclass(frozen=True)
class Role:
    """A story of whoever is called `name`. With `varies` only what is there in the end counts, not how.

    Without `in_pairs` one fault a play is enough: a long story has more pairs than all others together.
    """

    name: str
    given: Callable[[World, str], Awaitable[None]]
    told: Callable[[World, str], Awaitable[None]]
    varies: bool = False
    in_pairs: bool = True


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
    for (first, second), twist in product(combinations(range(counts.notices), 2), TWISTS):
        both = ((first, twist, first), (second, twist, second))
        yield Spoil(notices=((first, twist, second),) if twist == "late" else both)


def is_silent(plan: Spoil) -> bool:
    """Whether a turn of it waits until it has taken too long."""
    return any(how in SILENCES for _, how in plan.effects)


def campaign(role: Role, directory: Path) -> Tally:
    """Every plan of a role."""
    spared = perform(role, [NOTHING] * CROWD, directory)
    reference = spared[0]
    plans = list(plans_of(_least(ending.counts for ending in spared), in_pairs=role.in_pairs))
    void, failures = 0, list[str]()
    for crowd in _crowds(plans):
        for plan, ending in zip(crowd, perform(role, crowd, directory), strict=True):
            void += ending.counts.fired == 0
            if ending.looks != reference.looks:
                failures.append(f"{role.name}: {plan}: {ending.looks}, without the fault {reference.looks}")
    return Tally(len(plans), void, failures)


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


class Ending(NamedTuple):
    """What one actor looks like in the end, and what was counted on the way."""

    looks: dict[str, Any]
    counts: Counts


def perform(role: Role, plans: Sequence[Spoil], directory: Path) -> list[Ending]:
    """Tell the story to as many actors as there are plans. Raises AssertionError with what went wrong."""
    actors = [f"a{number:02d}" for number in range(len(plans))]
    endings: list[Ending] = []

    async def test(world: World) -> None:
        await world.users.install()
        for actor in actors:
            await role.given(world, actor)
        await world.rest(within_s=BOUND_S)
        spoils = world.senses.spoils
        for actor, plan in zip(actors, plans, strict=True):
            spoils.begin(actor, plan)
        world.oracles.believes_lies = any(plan.guest for plan in plans)
        for actor in actors:
            await role.told(world, actor)
        await world.rest(within_s=BOUND_S)
        endings.extend(Ending(looks(world, actor, role), counts) for actor, counts in spoils.end().items())
        await world.quiet(QUIET_S)

    directory = directory / "crowd"
    directory.mkdir()
    try:
        play(test, directory)
    finally:
        shutil.rmtree(directory)
    return endings


def looks(world: World, actor: str, role: Role) -> dict[str, Any]:
    """What there is of an actor, without its name: which VMs in which state, and how often one began and ended."""
    store = world.store
    mine = [vm for vm in store.vms() if _is_of(vm.meta.key, actor)]
    found: dict[str, Any] = {
        "vms": sorted((vm.meta.name.removeprefix(actor), status_word(vm)) for vm in mine),
        "guests": sum(len(world.host.alive(vm.meta.uid)) for vm in mine),
    }
    if not role.varies:
        told = Counter(e.type for e in world.oracles.replay.events if _is_of(e.key, actor))
        found["told"] = {kind: told[kind] for kind in COUNTED}
        found["births"] = sum(_is_of(Key("VM", world.oracles.name(uid)), actor) for uid, _ in world.host.births)
    return found


def _is_of(key: Key, actor: str) -> bool:
    return key.name.partition("-")[0] == actor


def replicas(world: World, actor: str) -> Iterable[VM]:
    """The replicas of an actor's deployment."""
    return [vm for vm in world.store.vms() if vm.meta.owner is not None and vm.meta.owner.name == actor]
