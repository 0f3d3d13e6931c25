"""A rollout as the event log tells of it: how many VMs there are, and how many are ready, after every event.

    events, in order ──▶ Bounds kept or complaints, by U1

The rules are written down anew here: the log is read as a client would, without a look at the tables or the plan.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import msgspec

from volant.clock import Uid
from volant.model.event import Committed, EventData

ROLLS = ("RolloutStarted", "ProgressDeadlineExceeded", "RolledBack", "RolloutComplete")

_DATA = msgspec.json.Decoder(EventData)


@dataclass(slots=True)
class Rolling:
    """The VMs of one deployment, from their events. `lowest` and `highest` are what was reached since `watch`."""

    name: str
    most: int
    least: int
    live: set[Uid] = field(default_factory=set)
    ready: set[Uid] = field(default_factory=set)
    lowest: int = 1 << 30
    highest: int = 0

    def feed(self, event: Committed) -> str | None:
        """What is wrong with `event`, after all those before it (U1)."""
        if event.owner is None or event.owner.name != self.name:
            return None
        data, was_ready = _DATA.decode(event.data), event.uid in self.ready
        if event.type == "vm.created":
            self.live.add(event.uid)
        if event.type in ("vm.deleting", "vm.deleted"):
            self.live.discard(event.uid)
            self.ready.discard(event.uid)
        elif data.new is not None and data.new.ready is not msgspec.UNSET:
            (self.ready.add if data.new.ready else self.ready.discard)(event.uid)
        if event.type == "vm.created" and len(self.live) > self.most:
            return f"U1: {len(self.live)} VMs at {event.revision}, at most {self.most} may be"
        if event.type == "vm.deleting" and was_ready and len(self.ready) < self.least:
            return f"U1: {len(self.ready)} are ready once {event.key.name} is taken, at least {self.least} have to be"
        return None


def judged(events: Iterable[Committed], name: str, *, most: int, least: int, since: int = 0) -> Rolling:
    """What the log tells of a deployment. Raises AssertionError for the first event that breaks a bound."""
    rolling = Rolling(name, most, least)
    for event in events:
        wrong = rolling.feed(event)
        if event.revision > since:
            assert wrong is None, wrong
            rolling.lowest = min(rolling.lowest, len(rolling.ready))
            rolling.highest = max(rolling.highest, len(rolling.live))
    return rolling


def reasons(events: Iterable[Committed], name: str) -> Iterator[str]:
    """The reasons of the events of a deployment that are about its rollouts, in order."""
    for event in events:
        reason = _DATA.decode(event.data).reason
        if event.key.kind == "Deployment" and event.key.name == name and reason in ROLLS:
            yield reason
