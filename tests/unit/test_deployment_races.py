"""The deployment controller against others who write, and against its own sudden end."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import TypeVar

import pytest
from tests.builders.fleet import Fleet, a_fleet

from volant.model.meta import Key
from volant.reconcile import Again
from volant.reconcile.effects import Effects

T = TypeVar("T")

EFFECTS = 9
"""How many effects it takes to go up to three, down to one, and away."""


class Crash(BaseException):
    """The daemon ends here."""


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    with a_fleet(tmp_path) as fleet:
        yield fleet


class Racing(Effects):
    """Lets somebody else go first at the n-th effect of an op: after the look, before the transaction."""

    def __init__(self, op: str, at: int, other: Callable[[], Awaitable[None]]) -> None:
        super().__init__()
        self.op, self.left, self.other = op, at, other

    async def act(self, op: str, target: object, fn: Callable[[], Awaitable[T]]) -> T:
        self.left -= op == self.op
        if op == self.op and self.left == 0:
            await self.other()
        return await super().act(op, target, fn)


@pytest.mark.parametrize("batch", [1, 2, 3])
async def test_nothing_is_created_after_a_scale_down_was_committed(fleet: Fleet, batch: int) -> None:
    """R7: 3 → 10 → 2, with 2 committed just before any batch of the turn that makes ten."""
    await fleet.deploy(replicas=3)
    await fleet.rest()
    await fleet.scale(10)
    race = Racing("store.create_children", batch, lambda: fleet.scale(2))
    fleet.reborn(race)
    await fleet.rest()
    assert race.left <= 0, "the race must have been run"
    after_the_patch = fleet.told()[len(fleet.told()) - fleet.told()[::-1].index("deployment.scaled") :]
    assert "vm.created" not in after_the_patch
    assert fleet.names() == ["web-1", "web-2"]


@pytest.mark.parametrize("batch", [1, 2, 3])
async def test_deleting_it_during_a_create_leaves_no_child(fleet: Fleet, batch: int) -> None:
    """D10: the delete is committed after the look and before the create."""
    await fleet.deploy(replicas=5)
    race = Racing("store.create_children", batch, lambda: fleet.delete(Key("Deployment", "web")))
    fleet.reborn(race)
    await fleet.rest()
    assert race.left <= 0, "the race must have been run"
    assert Counter(fleet.told())["vm.created"] == [0, 1, 3][batch - 1]
    assert fleet.store.keys("Deployment") + fleet.store.keys("VM") == []


async def test_a_child_that_goes_before_the_scale_down_saves_another(fleet: Fleet) -> None:
    """R4, V12: whom to take is decided on the rows of the transaction that takes them."""
    await fleet.deploy(replicas=3)
    await fleet.rest()
    await fleet.scale(2)
    fleet.reborn(Racing("store.delete_children", 1, lambda: fleet.delete(Key("VM", "web-1"))))
    await fleet.rest()
    assert fleet.names() == ["web-2", "web-3"]


async def test_a_create_that_nobody_saw_is_not_done_twice(fleet: Fleet) -> None:
    """R1, R2: nothing is expected, the rows are counted: a write that was committed unseen is seen."""
    await fleet.deploy(replicas=3)
    loop = asyncio.get_running_loop()
    turn = loop.create_task(fleet.turn())
    await asyncio.sleep(0)
    turn.cancel()
    again = loop.create_task(fleet.turn())
    await asyncio.wait([turn, again])
    assert again.result() == Again(600.0)
    await fleet.rest()
    assert Counter(fleet.told())["vm.created"] == 3


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("at", range(EFFECTS))
async def test_a_crash_around_any_effect_converges_to_the_same_end(fleet: Fleet, moment: str, at: int) -> None:
    """R1, D3, D10: up to three, down to one, and away; the daemon dies once, before or after the n-th effect."""
    effects, has_fired = 0, False

    def crash(when: str, _op: str, _target: object) -> None:
        nonlocal effects, has_fired
        if when == moment and not has_fired:
            has_fired = effects == at
            effects += 1
            if has_fired:
                raise Crash

    async def settle() -> None:
        for _ in range(2):
            try:
                return await fleet.rest()
            except Crash:
                fleet.reborn()
        raise AssertionError("it died twice")

    fleet.effects.hook = crash
    await fleet.deploy(replicas=3)
    await settle()
    assert sorted(fleet.names()) == ["web-1", "web-2", "web-3"]
    await fleet.scale(1)
    await settle()
    assert fleet.names() == ["web-1"]
    await fleet.delete(Key("Deployment", "web"))
    await settle()
    assert fleet.store.keys("Deployment") + fleet.store.keys("VM") == []
    assert Counter(fleet.told())["vm.created"] == 3
    assert has_fired, "the fault must have happened, or nothing was tried"


async def test_every_effect_of_that_story_is_crashed_at(fleet: Fleet) -> None:
    """A story that grows an effect must be crashed there, too."""
    ops: list[str] = []
    fleet.effects.hook = lambda when, op, _: ops.append(op) if when == "before" else None
    await fleet.deploy(replicas=3)
    await fleet.rest()
    await fleet.scale(1)
    await fleet.rest()
    await fleet.delete(Key("Deployment", "web"))
    await fleet.rest()
    assert len(ops) == EFFECTS, ops
