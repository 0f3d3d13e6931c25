"""Notifications are hints: lose some, lose all, and everything comes right all the same, a resync later."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.builders.world import World, in_world, play

from volant.model.vm import is_ready
from volant.reconcile.controller import RESYNC_JITTER, RESYNC_S

ROUND_S = RESYNC_S * (1 + RESYNC_JITTER) + 1.0
"""A resync comes at least so often."""


@in_world()
async def test_without_any_news_each_stage_takes_at_most_a_resync(world: World) -> None:
    """L2: no event and no hint arrives at all: plugin, replicas, guests, report, one after the other."""
    world.senses.deaf = 1.0
    await world.users.install()
    await world.until(lambda: world.told("hello")[-1] == "plugin.ready", within_s=ROUND_S)
    await world.users.deploy("api", 3)
    await world.until(lambda: len(world.children("api")) == 3, within_s=ROUND_S)
    await world.running("api-1", "api-2", "api-3", within_s=ROUND_S)
    await world.rest(within_s=ROUND_S)
    await world.users.scale("api", 1)
    await world.until(lambda: len(world.children("api")) == 1, within_s=ROUND_S)
    await world.until(lambda: len(world.store.vms()) == 1, within_s=2 * ROUND_S)
    await world.rest(within_s=ROUND_S)
    await world.quiet()


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("deaf", [0.3, 0.7])
def test_whichever_news_are_lost_it_comes_right(deaf: float, seed: int, tmp_path: Path) -> None:
    """L2, L3: any part of the events and hints, while users change their minds."""

    async def test(world: World) -> None:
        world.senses.deaf = deaf
        await world.users.install()
        await world.users.create("web", grace_s=5.0)
        await world.users.deploy("api", 4)
        await world.passes(world.rng.random() * 60.0)
        await world.users.scale("api", 2)
        await world.users.stop("web")
        await world.passes(world.rng.random() * 5.0)
        await world.users.start("web")
        await world.rest(within_s=8 * ROUND_S)
        world.host.crash(world.uid(world.children("api")[0]))
        await world.users.undeploy("api")
        await world.rest(within_s=8 * ROUND_S)
        await world.quiet()

    play(test, tmp_path, seed=seed)


@pytest.mark.parametrize("hears", [True, False])
@pytest.mark.parametrize("how", ["crash", "vanish"])
def test_a_guest_that_ends_by_itself_is_noticed(how: str, hears: bool, tmp_path: Path) -> None:
    """L6: within a second by the driver's hint, within a resync without it; nobody has to ask."""

    async def test(world: World) -> None:
        await world.users.install()
        await world.users.create("web")
        await world.rest()
        world.senses.deaf = 0.0 if hears else 1.0
        {"crash": world.host.crash, "vanish": world.host.vanish}[how](world.uid("web"))
        await world.until(lambda: not is_ready(world.vm("web")), within_s=1.0 if hears else ROUND_S)
        await world.rest()

    play(test, tmp_path)


@in_world()
async def test_a_network_that_was_removed_by_hand_is_made_again_with_the_next_guest(world: World) -> None:
    """L6: a guest that runs has it in its process; the next one gets its own before it starts."""
    await world.users.install()
    await world.users.create("web")
    await world.rest()
    world.host.networks.clear()
    world.host.crash(world.uid("web"))
    await world.rest()
    assert world.host.networks[world.uid("web")].address == world.vm("web").spec.address
