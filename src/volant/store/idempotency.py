"""The answers to writes that came with an Idempotency-Key, so that asking twice is writing once.

    job(tx) ──write──▶ object row + event row
       └────remember──▶ idempotency row            the same transaction: there is a record iff there was a write
    later ──complete──▶ its answer, where the request waits for something before it has one

A record is kept for a day. Older ones count as absent at once, and are deleted in small batches as others are written.

Deliberately absent: refusals. A job that raises has changed nothing, so doing it again is safe, and what stood in its
way may be gone by then.
"""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from volant.clock import Instant
from volant.model.goals import Since
from volant.store.database import Execute

KEEP_S = 86_400.0
DROPPED_AT_ONCE = 32

Headers = tuple[tuple[bytes, bytes], ...]

_FIND = "SELECT fingerprint, at, uid, status, headers, body FROM idempotency WHERE key = ? AND at > ?"
_KEEP = "INSERT OR REPLACE INTO idempotency (key, fingerprint, at, uid, status, headers, body) VALUES (?,?,?,?,?,?,?)"
_COMPLETE = "UPDATE idempotency SET status = ?, headers = ?, body = ? WHERE key = ? AND uid = ?"
_DROP = "DELETE FROM idempotency WHERE key IN (SELECT key FROM idempotency WHERE at <= ? ORDER BY at LIMIT ?)"

_ENCODER = msgspec.json.Encoder()
_HEADERS = msgspec.json.Decoder(list[tuple[str, str]])
_SINCE = msgspec.json.Decoder(Since)


class Given(NamedTuple):
    """An answer as it was sent."""

    status: int
    headers: Headers
    body: bytes


class Remembered(NamedTuple):
    """One request: what it was, what it wrote, and its answer, once there is one.

    `pin` is what a wait for the object as it was written goes by; an answer needs no more of it than the uid.
    """

    fingerprint: str
    pin: Since
    given: Given | None = None


def find(execute: Execute, key: str, now: Instant) -> Remembered | None:
    """The record of a key, if it is younger than a day."""
    row = execute(_FIND, (key, now - KEEP_S)).fetchone()
    if row is None:
        return None
    fingerprint, _, uid, status, headers, body = row
    if status is None:
        return Remembered(fingerprint, _SINCE.decode(body))
    lines = tuple((name.encode("latin-1"), value.encode("latin-1")) for name, value in _HEADERS.decode(headers))
    return Remembered(fingerprint, Since(uid=uid), Given(status, lines, body))


def keep(execute: Execute, key: str, record: Remembered, now: Instant) -> None:
    """Write a record, and delete a few of those that have had their day."""
    execute(_DROP, (now - KEEP_S, DROPPED_AT_ONCE))
    # Without an answer the column of its body is free: it holds what a successor needs to go on waiting.
    answer = (None, None, _ENCODER.encode(record.pin)) if record.given is None else _columns(record.given)
    execute(_KEEP, (key, record.fingerprint, now, record.pin.uid, *answer))


def complete(execute: Execute, key: str, record: Remembered, given: Given) -> None:
    """Add the answer to the record of a key, if it is still about that object."""
    execute(_COMPLETE, (*_columns(given), key, record.pin.uid))


def _columns(given: Given) -> tuple[int, bytes, bytes]:
    headers = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in given.headers]
    return given.status, _ENCODER.encode(headers), given.body
