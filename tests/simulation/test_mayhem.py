"""Everything at once, from a seed: whatever happens nobody is wronged, and when it stops everything comes right."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from tests.builders.mayhem import HARSH, Mayhem
from tests.builders.objects import a_manifest
from tests.builders.scenarios import CHECK
from tests.builders.world import World, play

SEEDS = range(150)
ACTS = 30


@pytest.mark.parametrize("seed", SEEDS)
def test_when_the_faults_stop_the_world_comes_right_and_rests(seed: int, tmp_path: Path) -> None:
    """L2, L3, L6, L7, V12, P1, P2, P7, P8, P10, P11, P13, R1, D1, D2, D3, D5, D9, D10, S4, E3, U1, U9: of a seed."""

    with_probes = seed % 10 == 0

    async def test(world: World) -> None:
        mayhem = Mayhem(world, with_lies=seed % 3 == 0)
        try:
            await world.users.install(manifest=a_manifest(health_check=CHECK if with_probes else None))
            for _ in range(ACTS):
                await world.clock.sleep(world.rng.choice([0.0, 0.01, 0.1, 1.0, 5.0, 15.0]))
                try:
                    async with asyncio.timeout(20.0):
                        await mayhem.act()
                except TimeoutError:
                    mayhem.done[-1] += " (nobody answered)"
                world.check()
            await mayhem.heal()
            await world.rest(within_s=900.0)
            await world.quiet()
        except AssertionError as error:
            raise AssertionError("\n".join([*mayhem.done, str(error)])) from error

    play(test, tmp_path, seed=seed, with_probes=with_probes, behaviour=None, faults=HARSH)
