"""The two kinds of campaign: over guests that start in milliseconds, and over guests that boot Linux."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Literal

from tests.builders.daemon import HELLO, hello_manifest
from tests.soak.campaign import FULL, LIGHT, Campaign
from tests.soak.guest import light_manifest

Guests = Literal["light", "hello"]


def a_seed() -> int:
    """Another one each time: what was tried is kept by whoever finds something."""
    return random.randrange(1 << 32)


def campaign(guests: Guests, directory: Path, seed: int) -> Campaign:
    """One that has not begun."""
    if guests == "light":
        return Campaign(directory, light_manifest(directory), directory, seed=seed, size=LIGHT)
    return Campaign(directory, hello_manifest(), HELLO, seed=seed, size=FULL)


def run(guests: Guests, directory: Path, rounds: int, note: Callable[[str, object], None]) -> None:
    """So many rounds, noted for the last line of the test run. Raises Found, with the seed."""
    with campaign(guests, directory, a_seed()) as running:
        for _ in range(rounds):
            running.round()
        running.finish()
    note("kill rounds", running.rounds)
    note("soak", running.figures())
