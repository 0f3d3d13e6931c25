"""What a client does that waits or watches for ever, without I/O: what to ask next, and what to make of the answer.

    Watch:  begin ─▶ ask with Last-Event-ID ─▶ take frame after frame ─▶ Change ...
              ▲                                     │ `bye`, a broken connection, cut off
              └────────── a pause ◀─────────────────┘

    Wait:   slice ─▶ ask for at most a minute ─▶ it is so | not yet: the next slice | never

A watch begins with the objects as they are. It resumes where it was, without gap or duplicate, and begins with the
objects again when the log no longer reaches that far: each `bookmark` says which there are, so what is not among them
is gone.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any, TypedDict, Unpack, cast

import msgspec
from msgspec import UNSET, Struct

from volant.client.call import asked, at
from volant.client.failures import ApiError, NoAnswer
from volant.model import views
from volant.model.meta import Key, Kind

if TYPE_CHECKING:
    import random

    from volant.model.event import EventData

    View = views.VMView | views.DeploymentView | views.PluginView | views.SyncView

STATES: dict[str, Kind] = {
    "vm.state": "VM",
    "deployment.state": "Deployment",
    "plugin.state": "Plugin",
    "sync.state": "Sync",
}

SILENCE_S = 45.0
"""A stream that says nothing for so long is dead: a comment comes every 15 s."""
FIRST_PAUSE_S = 0.1
LONGEST_PAUSE_S = 5.0
SLICE_S = 60.0
"""How long one request of a wait is held open; a proxy between may allow no more."""


class Change(Struct, frozen=True, kw_only=True):
    """One thing that a watch tells.

    `type` is that of an event (`vm.started`), with `event` and its revision `id`; or `vm.state` and the like, with
    `object` as GET shows it; or `bookmark`, with `keys`: all objects that there are, as far as they are watched.
    """

    type: str
    id: int | None = None
    event: EventData | None = None
    object: View | None = None
    keys: frozenset[Key] = frozenset()


class Filters(TypedDict, total=False):
    """What is watched; all that are given must hold.

    `since`: what happens after that revision. `initial`: begin with the objects as they are (that is the default).
    """

    kinds: tuple[str, ...]
    types: tuple[str, ...]
    names: tuple[str, ...]
    label_selector: str | None
    plugin: str | None
    deployment: str | None
    since: int | None
    initial: bool


def moves_endpoints(change: Change) -> bool:
    """Whether the endpoints of a deployment that is watched may be others since: then they are asked for again.

    Every beginning of a watch, every event by which a VM becomes ready or no longer is, and the end of the deployment.
    """
    if change.event is None or change.type == "deployment.deleted":
        return change.type in ("bookmark", "deployment.deleted")
    sides = (change.event.previous, change.event.new)
    return any(side is not None and side.ready is not UNSET for side in sides)


class Pauses:
    """How long to wait before the next try: twice as long each time, and short again after a success."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._failures = 0

    def next_s(self) -> float:
        """Seconds."""
        pause_s = min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2.0 ** min(self._failures, 10))
        self._failures += 1
        return pause_s * (0.5 + self._rng.random() / 2)

    def clear(self) -> None:
        """It went well."""
        self._failures = 0


class Watch:
    """One watch over all its connections."""

    def __init__(self, rng: random.Random, **said: Unpack[Filters]) -> None:
        filters: dict[str, Any] = dict(said)
        since, initial = filters.pop("since", None), filters.pop("initial", True)
        self._query = asked(**{name: value or None for name, value in filters.items()})
        self._is_listing = initial
        self._last = "" if since is None else str(since)
        self._pauses = Pauses(rng)
        self._shown: set[Key] = set()
        self._revisions: dict[Key, int] = {}

    path = at("events")

    @property
    def query(self) -> dict[str, str]:
        """The parameters of the next connection."""
        return {**self._query, "initial": "true"} if self._is_listing else self._query

    def begin(self) -> dict[str, str]:
        """The headers of the next connection."""
        self._shown.clear()
        return {"last-event-id": self._last} if self._last else {}

    def take(self, name: str, last: str, data: str) -> Change | None:
        """One frame; `last` is the id in force after it. None: it is nobody's business but ours."""
        self._last = last
        self._pauses.clear()
        if not data or name == "bye":
            return None
        if name == "reset":
            self._shown.clear()
            return None
        if name in STATES:
            return self._state(name, STATES[name], data)
        if name == "bookmark":
            return Change(type=name, id=int(last), keys=frozenset(self._shown))
        return self._event(name, last, data)

    def failed(self, error: NoAnswer | ApiError) -> None:
        """A connection could not be made, or broke. Raises the error when asking again would not help."""
        if isinstance(error, NoAnswer) or error.status >= 500:
            return
        if error.code not in ("future_revision", "event_gone"):
            raise error
        # Another data directory, or a log that has moved on: what was known is of no use.
        self._last = ""

    def pause_s(self) -> float:
        """How long to wait before the next connection."""
        return self._pauses.next_s()

    def _state(self, name: str, kind: Kind, data: str) -> Change:
        found = _decoder(kind).decode(data)
        key = Key(kind, found.name)
        self._shown.add(key)
        self._revisions[key] = found.revision
        return Change(type=name, object=found)

    def _event(self, name: str, last: str, data: str) -> Change | None:
        event: EventData = _decoder("").decode(data)
        key = Key(cast("Kind", event.kind), event.name)
        # What was shown after the event was committed has it in it already.
        if int(last) <= self._revisions.get(key, -1):
            return None
        self._revisions.pop(key, None)
        return Change(type=name, id=int(last), event=event)


class Wait:
    """One wait, in slices. `now` is of any clock that never goes back, in seconds.

    From the second slice on it is pinned to the generation that the first one found. A daemon that is restarted
    meanwhile is waited for as well, in its first slice too; one that is not there to begin with is not.
    """

    def __init__(self, rng: random.Random, timeout_s: float, generation: int | None, now: float) -> None:
        self.generation = generation
        self._pauses = Pauses(rng)
        self._until = now + timeout_s
        self._has_answered = False

    def slice_s(self, now: float) -> float:
        """How long to ask for."""
        return min(SLICE_S, max(0.0, self._until - now))

    def failed(self, error: NoAnswer | ApiError, now: float) -> float:
        """Seconds until the next slice. Raises the error when there is none."""
        is_late = now >= self._until
        if isinstance(error, ApiError) and error.code == "wait_timeout" and not is_late:
            self._has_answered = True
            self._pauses.clear()
            self.generation = self.generation or error.details.get("generation")
            return 0.0
        is_passing = error.is_passing if isinstance(error, ApiError) else self._has_answered or error.is_reached
        if is_late or not is_passing:
            raise error
        self._has_answered = True
        return min(self._pauses.next_s(), max(0.0, self._until - now))


@cache
def _decoder(kind: str) -> msgspec.json.Decoder[Any]:
    """What reads objects of a kind as they are shown, or events where it is empty."""
    if kind:
        return msgspec.json.Decoder(getattr(views, f"{kind}View"))
    from volant.model.event import EventData

    return msgspec.json.Decoder(EventData)
