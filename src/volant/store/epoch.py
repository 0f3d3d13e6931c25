"""Which daemon the database belongs to: the last one that opened it, however many there are.

    open ──take──▶ epoch + 1        every commit, every step that harms ──check──▶ the same epoch, or Fenced

The lock on the data directory (`lease`) keeps a second daemon out. Where it does not (a network file system, a lock
file that somebody deleted) this row decides: taking it deposes whoever had it, at once and for good, because each of
the deposed one's commits looks here first, in its own transaction.

Deliberately absent: an end by time. A lease that runs out must be renewed, and a daemon that slept would lose it.
"""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from volant.clock import Instant
from volant.errors import Fenced
from volant.store.database import Execute
from volant.store.values import Holder

_CHECK = "SELECT epoch, holder FROM lease"


class Term(NamedTuple):
    """An epoch, and who held the one before and has not let go of it."""

    epoch: int
    predecessor: Holder | None


def take(execute: Execute, holder: Holder | None, now: Instant) -> Term:
    """The epoch that begins now. For a transaction."""
    epoch, held = execute(_CHECK).fetchone()
    said = None if holder is None else msgspec.json.encode(holder)
    execute("UPDATE lease SET epoch = ?, holder = ?, since = ?", (epoch + 1, said, now))
    return Term(epoch + 1, _holder(held))


def check(execute: Execute, epoch: int) -> None:
    """`epoch` is the last one that began, or Fenced."""
    row = execute(_CHECK).fetchone()
    if row[0] != epoch:
        raise fenced(_holder(row[1]))


def release(execute: Execute, epoch: int) -> None:
    """Let go of it, so that a successor need not ask itself whether anybody still acts. Idempotent."""
    execute("UPDATE lease SET holder = NULL WHERE epoch = ?", (epoch,))


def fenced(holder: Holder | None) -> Fenced:
    """What to raise when another daemon has it."""
    who = f" ({holder})" if holder is not None else ""
    return Fenced(
        f"cannot go on: another volant{who} has taken over this data directory. "
        "One of the two must go: let nobody delete volant.lock, and keep the directory on a file system with locks."
    )


def _holder(said: bytes | None) -> Holder | None:
    try:
        return None if said is None else msgspec.json.decode(said, type=Holder)
    except msgspec.MsgspecError:
        return None  # because who it is is for people: the epoch decides
