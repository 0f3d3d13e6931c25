"""The values that the store takes and gives beside the objects themselves."""

from __future__ import annotations

from typing import Literal, NamedTuple

from msgspec import Struct

from volant.clock import Instant, Uid
from volant.model.meta import Kind


class StoreSettings(Struct, frozen=True, kw_only=True):
    """What may be chosen about a store.

    The event log keeps the last `event_keep` events unless they are older than `event_keep_s` seconds. It is compacted
    `compact_events` rows at a time, so there may be that many more. `batch` is how many jobs share a commit at most.
    `busy_s` is how long a write waits for another program that has the database locked. `inline` commits in a callback
    of the loop, without a thread, so that a run in virtual time is the same every time; `synchronous="off"` is for
    such runs only, because a power cut then loses what was promised.
    """

    event_keep: int = 200_000
    event_keep_s: float = 7 * 86400
    compact_events: int = 500
    batch: int = 256
    busy_s: float = 2.0
    synchronous: Literal["full", "normal", "off"] = "full"
    inline: bool = False


class Holder(Struct, frozen=True, kw_only=True):
    """Who opened a database: a process that another one can find, or find gone."""

    node: str
    pid: int
    start_ticks: int
    boot_id: str

    def __str__(self) -> str:
        return f"pid {self.pid} on {self.node}"


class Sizes(NamedTuple):
    """Bytes on the disk: the database file, and its write-ahead log."""

    database: int
    log: int


class Child(NamedTuple):
    """What an owner needs to know of a dependent to count it and to choose among them."""

    name: str
    uid: Uid
    revision: int
    is_running: bool
    is_ready: bool
    is_deleting: bool
    template: str | None = None
    ready_since: Instant | None = None


class Tally(NamedTuple):
    """How many dependents an owner has, and how many of them are so. One that is being deleted runs no more.

    `old` are those to stay that are made of another template than the one asked about, `old_available` those of them
    that have been ready for long enough. `unripe` are ready and have not been for long enough; the first of them has
    been since `next_ready`.
    """

    total: int
    running: int
    ready: int
    deleting: int
    old: int = 0
    old_available: int = 0
    unripe: int = 0
    next_ready: Instant | None = None


Column = Literal["seq", "name"]
"""What a list may be read in the order of: that of creation, or the name. Neither ever changes, so neither does a
position in it."""

Position = int | str
"""Where an object stands in such an order."""


class Filter(Struct, frozen=True, kw_only=True):
    """Which objects of a kind a list is of; every condition must hold.

    `owners`: each must be the owner, None being nobody. `name_part` is somewhere in the name. `is_running` is that of
    a VM's row.
    """

    kind: Kind
    plugin: str | None = None
    owners: tuple[Uid | None, ...] = ()
    name_part: str | None = None
    is_running: bool | None = None
