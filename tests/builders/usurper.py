"""A second daemon on the database of one that still runs: what a deleted lock file makes possible."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tests.builders.life import Life
from tests.builders.world import World

from volant.daemon import HESITATION_S


@asynccontextmanager
async def usurped(world: World, *, hesitation_s: float = HESITATION_S) -> AsyncIterator[Life]:
    """It is the world's daemon from now on. The first one is not started again when it ends."""
    world._wanted.clear()
    world._life = other = world._born(hesitation_s=hesitation_s)
    running = asyncio.create_task(other.run(), name="usurper")
    await asyncio.sleep(0)  # so that there is something to kill
    try:
        yield other
    finally:
        other.kill()
        await asyncio.wait([running])
        world._life = None
