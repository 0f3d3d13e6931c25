"""A story played once without a fault, then once for each of its effects and each way to spoil one.

    reference ──▶ effects 0..n ──▶ for each effect, for each How: play again ──▶ the same end, then quiet

A plan whose fault never fired proves nothing: it is void, and counted.
"""

from __future__ import annotations

import gc
import traceback
from collections.abc import Sequence
from typing import Any, NamedTuple

from tests.builders.frozen import Frozen, freeze, scratch
from tests.builders.harm import Effect, Fault
from tests.builders.rest import counts, portrait
from tests.builders.scenarios import Scenario
from tests.builders.spoils import HOWS, How
from tests.builders.world import World, play

ENDS: tuple[How, ...] = ("crash before", "crash after")
START_S = 1.0
"""Virtual seconds in which a daemon that finds everything at rest has looked at all of it."""
BOUND_S = 600.0
"""Virtual seconds to rest, whatever was spoiled."""
QUIET_S = 55.0
"""Virtual seconds in which nothing may happen afterwards: a resync of everybody and three sweeps."""


class Ending(NamedTuple):
    """How a play came out. `begin` to `end` are the positions of the effects that belong to the story."""

    begin: int
    end: int
    effects: Sequence[Effect]
    spoiled: Sequence[tuple[int, Effect, How]]
    looks: dict[str, Any]


class Tally(NamedTuple):
    """How many plans were played, how many of them were void, and what went wrong."""

    plans: int
    void: int
    failures: Sequence[str]


def begin(scenario: Scenario) -> Frozen:
    """What is so before the story begins."""

    async def test(world: World) -> None:
        await scenario.begin(world)

    with scratch() as directory:
        return freeze(play(test, directory, **scenario.options))


def perform(scenario: Scenario, frozen: Frozen, fault: Fault | None = None) -> Ending:
    """Play it once. Raises AssertionError when it goes wrong."""
    found: dict[str, Any] = {}

    async def test(world: World) -> None:
        await world.passes(START_S)
        found["begin"] = len(world.record.effects)
        await scenario.told(world)
        await world.rest(within_s=BOUND_S)
        found["looks"] = {**portrait(world), **counts(world)}
        found["end"] = len(world.record.effects)
        await world.quiet(QUIET_S if fault else 600.0)

    with scratch() as directory:
        world = play(test, directory, plan=fault, frozen=frozen)
    return Ending(found["begin"], found["end"], world.record.effects, world.record.spoiled, found["looks"])


def campaign(scenario: Scenario, hows: Sequence[How] = HOWS) -> Tally:
    """Every plan of a story: each way of `hows` to spoil each effect, and two ends of the daemon close together."""
    frozen = begin(scenario)
    reference = perform(scenario, frozen)
    void, failures = 0, list[str]()
    positions = range(reference.begin, reference.end)
    plans = [Fault(at, how) for at in positions for how in hows if _fits(reference, at, how)]
    if scenario.in_pairs:
        plans += [Fault(at, how, then) for at in positions for how in ENDS for then in ENDS]
    for number, fault in enumerate(plans):
        effect = reference.effects[fault.at]
        try:
            ending = perform(scenario, frozen, fault)
            void += not ending.spoiled
            wrong = differences(scenario, reference, ending)
        except Exception:
            wrong = traceback.format_exc(limit=-1)
        if wrong:
            where = f"at effect {fault.at}, {effect.op} of {effect.target}"
            failures.append(f"{scenario.name}: {fault.how} (then {fault.then}) {where}: {wrong}")
        if number % 16 == 0:
            gc.collect()
    return Tally(len(plans), void, failures)


def _fits(reference: Ending, at: int, how: How) -> bool:
    """Hosts fall silent. A store answers or the process hangs, and a download may take half an hour."""
    return not how.startswith("silence") or reference.effects[at].op.startswith(("hypervisor.", "network.", "disks."))


def differences(scenario: Scenario, reference: Ending, ending: Ending) -> str:
    """Where the end is not that of the reference; empty when it is."""
    for at, effect, _ in ending.spoiled[:1]:
        if effect != reference.effects[at]:
            return f"the play went another way before its fault: {effect}, not {reference.effects[at]}"
    return "\n".join(
        f"{part} is {ending.looks[part]}, without the fault {looks}"
        for part, looks in reference.looks.items()
        if part not in scenario.varies and ending.looks[part] != looks
    )
