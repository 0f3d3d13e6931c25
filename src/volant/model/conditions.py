"""Conditions: what an object reports about itself, as a map by type.

A condition's `last_update` moves iff its `status` moved (V8), so a controller that reports the same thing twice writes
nothing the second time. Messages carry no volatile text (V10) for the same reason.
"""

from __future__ import annotations

from typing import Literal

from msgspec import Struct
from msgspec.structs import replace

from volant.clock import Instant

Tristate = Literal["true", "false", "unknown"]


class Condition(Struct, frozen=True, kw_only=True):
    """One statement. `reason` is a CamelCase word from a closed list: the class names of `errors` and those below."""

    type: str
    status: Tristate
    reason: str
    message: str = ""
    observed_generation: int = 0
    last_update: Instant = 0.0


Conditions = tuple[Condition, ...]


def condition(conditions: Conditions, kind: str) -> Condition | None:
    """The condition of that type, if it was ever reported."""
    # Not `next` of a generator, which costs three times as much, and this is asked several times a write.
    for found in conditions:
        if found.type == kind:
            return found
    return None


def is_true(conditions: Conditions, kind: str) -> bool:
    """Whether the condition of that type is reported as true."""
    found = condition(conditions, kind)
    return found is not None and found.status == "true"


def merge_condition(conditions: Conditions, new: Condition, now: Instant) -> Conditions:
    """`conditions` with `new` in place of its type, sorted by type.

    `new.last_update` is ignored: it is `now` when the status differs from the reported one, else what it was.
    """
    old = condition(conditions, new.type)
    since = old.last_update if old is not None and old.status == new.status else now
    others = [c for c in conditions if c.type != new.type]
    return tuple(sorted([*others, replace(new, last_update=since)], key=lambda c: c.type))
