"""What `/healthz` and `/readyz` say in every state that a daemon can be in, and how it gets out of it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import NamedTuple

import pytest
from msgspec.structs import replace
from tests.builders.life import Life
from tests.builders.usurper import usurped
from tests.builders.world import CALM, World, in_world, play

from volant.api import HealthReport
from volant.daemon.engine import SILENCE_S, VM_WORKERS
from volant.daemon.health import STUCK_S, report
from volant.errors import Unavailable


def failing(said: HealthReport) -> set[str]:
    """The parts that are not well, each of which says why."""
    parts = {name for name, check in said.checks.items() if not check.ok}
    assert all(said.checks[name].message for name in parts)
    return parts


@asynccontextmanager
async def well(world: World) -> AsyncIterator[Life]:
    yield await world.up()


@asynccontextmanager
async def starting(world: World) -> AsyncIterator[Life]:
    """It cannot look at the host."""
    world.senses.is_blind = True
    yield await world.restart()
    world.senses.is_blind = False


@asynccontextmanager
async def in_trouble(world: World) -> AsyncIterator[Life]:
    """Commits fail."""
    with world.no_writes():
        with pytest.raises(Unavailable):
            await world.store.write(lambda tx: tx.touch())
        yield await world.up()


@asynccontextmanager
async def deposed(world: World) -> AsyncIterator[Life]:
    """Another daemon has the database. This one has found out and is ending."""
    old = await world.up()
    async with usurped(world):
        await world.until(old.store.deposed.is_set)
        yield old
    await world.start()


@asynccontextmanager
async def taking_over(world: World) -> AsyncIterator[Life]:
    """It gives its predecessor the time to find out."""
    async with usurped(world) as new:
        yield new
    await world.start()


@asynccontextmanager
async def stuck(world: World) -> AsyncIterator[Life]:
    """Every worker waits for a host that does not answer, and one key more waits for a worker."""
    world.host.behaviour = replace(CALM, launch_s=100.0)
    for n in range(VM_WORKERS + 1):
        await world.users.create(f"slow-{n}")
    await world.passes(STUCK_S + 1.0)
    world.host.behaviour = CALM
    yield await world.up()


@asynccontextmanager
async def half_deaf(world: World) -> AsyncIterator[Life]:
    """The watch of the host hangs."""
    world.senses.is_numb = True
    await world.passes(2 * SILENCE_S)
    yield await world.up()
    world.senses.is_numb = False


class State(NamedTuple):
    """How it comes about, and what is said of it."""

    made: Callable[[World], AbstractAsyncContextManager[Life]]
    is_live: bool
    is_ready: bool
    failing: set[str]


STATES = {
    "well": State(well, True, True, set()),
    "starting": State(starting, True, False, {"observed"}),
    "in trouble": State(in_trouble, True, False, {"store"}),
    "deposed": State(deposed, False, False, {"store", "store.owner"}),
    "taking over": State(taking_over, True, False, {"observed"}),
    "stuck": State(stuck, False, False, {"controller.vm"}),
    "half deaf": State(half_deaf, True, False, {"watcher.hypervisor"}),
}


@pytest.mark.parametrize("name", STATES)
def test_the_truth_is_told_in_every_state_and_after_it(name: str, tmp_path: Path) -> None:
    """S5, L8, S3, S4: each part that is not well says why; once it is over all is well again, by itself."""

    async def test(world: World) -> None:
        await world.users.install()
        await world.users.create("web")
        await world.rest()
        async with STATES[name].made(world) as life:
            said = report(life.engine)
        assert (said.is_live, said.is_ready, failing(said)) == STATES[name][1:]
        await world.until(lambda: report(world.lives[-1].engine).is_ready, within_s=300.0)
        assert failing(report(world.lives[-1].engine)) == set()

    play(test, tmp_path)


@in_world()
async def test_a_daemon_that_is_stopping_is_alive_and_not_ready(world: World) -> None:
    """S5, S1"""
    said = report((await world.up()).engine, is_stopping=True)
    assert (said.is_live, said.is_ready, failing(said)) == (True, False, {"daemon"})


@in_world()
async def test_a_watch_that_hangs_is_begun_again_and_costs_a_resync_at_most(world: World) -> None:
    """L8, L2: silence is a fault; a guest that dies meanwhile is found all the same."""
    await world.users.install()
    await world.users.create("web")
    await world.rest()
    world.senses.is_numb = True
    world.host.crash(world.uid("web"))
    await world.until(lambda: len(world.births("web")) == 2, within_s=70.0)
    (hypervisor, _) = world.lives[-1].engine.health.watchers()
    assert hypervisor.restarts > 0
    assert "no beat" in str(hypervisor.fault)
    world.senses.is_numb = False
    await world.rest()
    before = world.clock.monotonic()
    world.host.crash(world.uid("web"))
    await world.until(lambda: len(world.births("web")) == 3)
    assert world.clock.monotonic() - before < 3.0
