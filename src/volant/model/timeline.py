"""What would come of an apply, in its order: what `POST /plan` answers beside the plan.

Times are seconds after the apply. Structs only; how they come to be is the daemon's affair.
"""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from volant.model.apply.outcome import ApplyView
from volant.model.meta import Kind

What = Literal[
    "created",
    "changed",
    "scaled",
    "paused",
    "stopping",
    "stopped",
    "started",
    "ready",
    "unready",
    "failed",
    "available",
    "unavailable",
    "complete",
    "stalled",
    "reverted",
    "deleting",
    "removed",
]
"""What happens to an object in a step. A guest that is `stopping` still runs; `removed` is an object that is gone."""

End = Literal["settled", "stuck", "reverted", "cut"]
"""settled  everything of the set is as it was asked for
stuck    something never will be: `unsettled` says what and why; everything else is
reverted the set is atomic and is taken back as a whole: `reverted` says why
cut      a bound was met before that could be said: `bound` says which"""

Bound = Literal["time", "steps", "work"]
"""time   as much virtual time has passed as a forecast looks ahead
steps  as many steps were made as a timeline has
work   as much processor time was used as a forecast may"""


class Step(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What happens to one object at a time. `of` is the deployment whose replica it is."""

    at_s: float
    kind: Kind
    name: str
    what: What
    of: str | None = None


class Lowest(Struct, frozen=True, kw_only=True):
    """The fewest ready replicas that a deployment has at any time, and since when; before and after the apply."""

    deployment: str
    ready: int
    at_s: float
    before: int
    after: int


class Unsettled(Struct, frozen=True, kw_only=True):
    """An object that is not as asked for when the timeline ends, and why."""

    kind: Kind
    name: str
    reason: str
    message: str


class PluginPace(Struct, frozen=True, kw_only=True):
    """How long guests of a plugin were taken to need from the launch until they are ready, and to stop.

    `boots` and `stops` are how many observations each is the median of; 0: nothing was observed, it is assumed.
    """

    plugin: str
    boot_s: float
    boots: int
    stop_s: float
    stops: int


class Timeline(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What an apply comes to. `total_s` is when the last step is made; `looked_ahead_s` is how far it was looked."""

    end: End
    total_s: float
    looked_ahead_s: float
    steps: tuple[Step, ...]
    lowest: tuple[Lowest, ...] = ()
    pace: tuple[PluginPace, ...] = ()
    unsettled: tuple[Unsettled, ...] = ()
    bound: Bound | None = None
    reverted: str | None = None


class PlanView(Struct, frozen=True, kw_only=True):
    """`POST /plan`: what an apply would do, as a dry run says it, and what would come of it."""

    plan: ApplyView
    timeline: Timeline
