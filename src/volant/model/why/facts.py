"""What a daemon knows of keys beyond the store: handed in, because it is of this moment and of this process.

    controllers, gate, cache ──daemon──▶ Facts ──▶ why

Nothing here is kept anywhere. A daemon that has just started knows nothing yet, and its Facts are empty.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from msgspec import Struct

from volant.clock import Instant
from volant.model.meta import Key, Kind

Place = Literal["idle", "delayed", "waiting", "working"]
"""Of a key: with nobody, to come round at a time, waiting for a worker, with a worker."""


class Turn(Struct, frozen=True, kw_only=True):
    """How one look at an object ended, `times` in a row; `at` is the last of them."""

    at: Instant
    outcome: str
    times: int = 1


class Standing(Struct, frozen=True, kw_only=True):
    """How an object stands with one controller.

    `since`: since when it waits for a worker or is with one. `next_at`: when it comes round by itself at the latest.
    `failures`: turns in a row that failed, the last of them for `reason`; `message` is empty where the log has it.
    """

    controller: str
    place: Place = "idle"
    since: Instant | None = None
    next_at: Instant | None = None
    failures: int = 0
    reason: str | None = None
    message: str = ""
    turns: tuple[Turn, ...] = ()


class Transfer(Struct, frozen=True, kw_only=True):
    """How far a download has come. `total_bytes` is what the server has announced, if it has."""

    received_bytes: int
    total_bytes: int | None = None


class Facts(Struct, frozen=True, kw_only=True):
    """What was so at `now`.

    `has_looked`: the first full look at the host is done, before which nothing acts; `look_trouble` is what was in its
    way last. `trouble`: why the store cannot be written, because of which nothing acts. `is_paused`: nothing acts for a
    moment. `next_try_at`: when whichever of these is tried next.
    `transfers` are of plugins, by role; `refused_until` is when refused artifacts of a plugin are asked for again.
    """

    now: Instant
    has_looked: bool = True
    look_trouble: str = ""
    trouble: str | None = None
    is_paused: bool = False
    next_try_at: Instant | None = None
    standings: Mapping[Key, tuple[Standing, ...]] = {}
    transfers: Mapping[Key, Mapping[str, Transfer]] = {}
    refused_until: Mapping[Key, Instant] = {}

    def own(self, key: Key) -> Standing | None:
        """How the object stands with the controller of its kind."""
        for standing in self.standings.get(key, ()):
            if standing.controller == CONTROLLERS[key.kind]:
                return standing
        return None


CONTROLLERS: Mapping[Kind, str] = {"VM": "vm", "Deployment": "deployment", "Plugin": "plugin", "Sync": "sync"}
"""Who brings an object of a kind to what its spec asks for."""
