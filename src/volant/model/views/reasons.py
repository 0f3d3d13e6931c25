"""What clients read of why something is not ready."""

from __future__ import annotations

from msgspec import Struct

from volant.model.event import PastEvent
from volant.model.meta import Kind, Time
from volant.model.why import Outlook
from volant.model.why.link import Subject


class LinkView(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One link of a chain of causes: what is so (`says`, for people; `reason`, for programs) of which subject.

    A link of a higher `level` says why the nearest one before it of a lower level is so. `generation` is the one that
    it is true of. `next_try_at` is when something happens by itself, at the latest.
    """

    kind: Subject
    name: str
    level: int
    says: str
    reason: str
    generation: int | None = None
    since: Time | None = None
    next_try_at: Time | None = None
    numbers: dict[str, int | float] = {}


class TurnView(Struct, frozen=True, kw_only=True):
    """How a controller's last look at the object ended, `times` in a row; `at` is the last of them."""

    controller: str
    at: Time
    outcome: str
    times: int


class WhyView(Struct, frozen=True, kw_only=True):
    """Why an object is not ready. `outlook`: it is ready, will be by itself, or will not be unless somebody acts.

    `chain` begins with the object itself and is never empty. `turns` are the last looks that this daemon took at it,
    and `events` the last that were committed of it; both end with the newest.
    """

    kind: Kind
    name: str
    at: Time
    status: str
    outlook: Outlook
    uid: str
    revision: int
    generation: int
    observed_generation: int
    chain: tuple[LinkView, ...]
    turns: tuple[TurnView, ...]
    events: tuple[PastEvent, ...]
