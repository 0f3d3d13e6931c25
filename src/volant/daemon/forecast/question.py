"""What the daemon asks the process that makes a forecast, and what it is told: JSON through a pipe each."""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from volant.clock import Instant
from volant.model.timeline import Timeline
from volant.model.vm import NetworkMode


class Bounds(Struct, frozen=True, kw_only=True):
    """How much a forecast may be.

    objects  of the store that is copied      ahead_s  virtual time that is looked ahead
    steps    of the timeline                  turns    of the loop, against one that spins
    cpu_s    processor time of the simulation, after which it tells what it has got
    """

    objects: int = 5_000
    ahead_s: float = 86_400.0
    steps: int = 50_000
    turns: int = 20_000_000
    cpu_s: float = 30.0


class Question(Struct, frozen=True, kw_only=True):
    """What would come of `body`, the JSON of a `POST /apply`, at `now`, with the database at `path`.

    `pools` and `mode` are those of the daemon's network. `seed` is of what is drawn: pauses before another try.
    """

    path: str
    body: str
    now: Instant
    mode: NetworkMode
    pools: dict[NetworkMode, str]
    bounds: Bounds = Bounds()
    seed: int = 1


class Refusal(Struct, frozen=True, kw_only=True):
    """Why there is no timeline: the code of an error, and what it says."""

    code: str
    message: str
    details: dict[str, Any] = {}


class Told(Struct, frozen=True, kw_only=True):
    """A timeline or a refusal."""

    timeline: Timeline | None = None
    refusal: Refusal | None = None
