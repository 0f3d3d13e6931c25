"""Idempotency-Key: a request that is sent twice is done once.

    first request ──▶ job + record, one transaction ──▶ answer (with the record, or added once it was waited for)
    the same again ──▶ the recorded answer             `Idempotent-Replayed: true`
                   ──▶ 409 while the first is being answered here
                   ──▶ goes on waiting where a daemon that is gone left off: for the recorded uid, after the write
    another one    ──▶ 422

Not recorded: what the job refuses (4xx) and what failed (5xx). Neither has changed anything, so the next try is the
first; and what stood in the way may be gone by then, which a refusal kept for a day would hide. A wait that ended
because the daemon stops is not recorded either, so that its successor goes on with it.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from typing import NamedTuple

from volant.api.call import Answer, Call
from volant.errors import IdempotencyInProgress, IdempotencyKeyReused, Invalid, Unavailable
from volant.model.goals import Since, since
from volant.model.objects import Object
from volant.store import Given, Remembered, Transaction

REPLAYED = (b"idempotent-replayed", b"true")

_KEY = re.compile(rb"[!-~](?:[ -~]{0,253}[!-~])?")


class Waited(NamedTuple):
    """An answer after a wait; `is_final` unless a successor could do better."""

    answer: Answer
    is_final: bool


Job = Callable[[Transaction], tuple[Object | None, Answer | None]]
"""Writes, and answers in the same transaction where nothing has to be waited for; None of many objects, or of none."""

Wait = Callable[[Remembered, Object | None], Awaitable[Waited]]
"""Waits for what was recorded; the object is what the job has just given, None where another daemon ran it."""


async def nothing_to_wait_for(record: Remembered, obj: Object | None) -> Waited:
    """The wait of a job that always answers."""
    raise AssertionError(f"cannot wait for {record} of {obj}: it was answered")


async def once(call: Call, raw: bytes, job: Job, wait: Wait = nothing_to_wait_for) -> Answer:
    """The answer to the request that came with this key. Raises what `job` and `wait` raise, and about the key.

    Invalid for what is no key, IdempotencyKeyReused for that of another request, IdempotencyInProgress.
    """
    key, fingerprint = key_of(raw), fingerprint_of(call)

    def run(tx: Transaction) -> tuple[Remembered, Object | None, bool]:
        known = tx.remembered(key)
        if known is not None:
            _same(known.fingerprint, fingerprint)
            return known, None, True
        obj, answer = job(tx)
        pin = since(obj) if obj is not None else Since()
        record = Remembered(fingerprint, pin, _given(answer) if answer is not None else None)
        tx.remember(key, record)
        return record, obj, False

    with _in_progress(call, key, fingerprint):
        record, obj, is_replay = await call.store.write(run)
        answer = await _answer(call, key, record, obj, wait)
    return answer._replace(headers=(*answer.headers, REPLAYED)) if is_replay else answer


async def _answer(call: Call, key: str, record: Remembered, obj: Object | None, wait: Wait) -> Answer:
    if record.given is not None:
        return Answer(record.given.status, record.given.body, record.given.headers)
    answer, is_final = await wait(record, obj)
    if is_final:
        # The write is done and answered; a record that stays open makes a repetition look again, which is right too.
        with suppress(Unavailable):
            await call.store.write(lambda tx: tx.complete(key, record, _given(answer)))
    return answer


def key_of(raw: bytes) -> str:
    """The key as text. Raises Invalid."""
    if _KEY.fullmatch(raw) is None:
        message = "expected 1 to 255 printable ASCII characters"
        field = {"path": "Idempotency-Key", "message": message}
        raise Invalid(f"cannot accept the Idempotency-Key: {message}", fields=[field])
    return raw.decode("ascii")


def fingerprint_of(call: Call) -> str:
    """A digest of what was asked: method, path, query and body, each as it was sent."""
    scope = call.scope
    parts = (scope["method"].encode(), scope["path"].encode("utf-8", "surrogatepass"), scope["query_string"], call.raw)
    whole = hashlib.sha256()
    for part in parts:
        whole.update(b"%d:" % len(part) + part)
    return whole.hexdigest()


@contextmanager
def _in_progress(call: Call, key: str, fingerprint: str) -> Iterator[None]:
    running = call.context.keys
    other = running.get(key)
    if other is not None:
        _same(other, fingerprint)
        raise IdempotencyInProgress("cannot answer yet: the first request with this Idempotency-Key is under way")
    running[key] = fingerprint
    try:
        yield
    finally:
        del running[key]


def _same(known: str, asked: str) -> None:
    if known != asked:
        raise IdempotencyKeyReused(
            "cannot take this Idempotency-Key: another request came with it. Choose a new one for each request."
        )


def _given(answer: Answer) -> Given:
    return Given(answer.status, answer.headers, answer.body)
