"""The one procedure of every write of the API.

    handler ──job, manner──▶ written ──┬─ ?dry_run=true ─▶ trial: the job, rolled back
                                       ├─ Idempotency-Key ▶ keys: done once, answered as often as it is asked
                                       └─ store.write(job) ▶ wait for the goal, if one is asked for ▶ Answer

A handler says what is written (`job`, run in a transaction) and how that is answered (`Manner`); what all writes have
in common is here. A write is never undone because what it leads to does not come: the answer says so in `Volant-Wait`,
`timeout` (not yet), `failed` (not without somebody's doing) or `stopping` (the daemon ends), and shows the object as it
is then.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar, cast

from msgspec import UNSET

from volant.api.call import Answer, Call
from volant.api.keys import Waited, key_of, once
from volant.api.manner import Manner, afterwards, at_once
from volant.api.reach import bound_of, reach
from volant.api.trial import tried
from volant.model.goals import DEFAULT_TIMEOUT_S, Goal, Since, since
from volant.model.meta import Key
from volant.model.objects import Object
from volant.model.queries import Writing
from volant.store import Remembered, Rows, Transaction

O = TypeVar("O", bound=Object)  # noqa: E741 -- because it stands for Object

__all__ = ["Manner", "written"]


async def written(call: Call, asked: Writing, job: Callable[[Transaction], O], manner: Manner[O]) -> Answer:
    """Do `job`, wait as `asked`, answer in this `manner`. Raises what the job raises, and Unavailable.

    The job gives the object that it wrote, or the one that it found when there was nothing to write. It may be run
    although nothing of it is kept.
    """
    bound_s = None if asked.timeout is UNSET else bound_of(asked.timeout)
    key = call.headers.get(b"idempotency-key")
    if asked.dry_run:
        if key is not None:
            key_of(key)  # because a trial tells what the write would be refused for
        return await tried(call, job, manner)
    goal = manner.until if asked.wait is UNSET else None if asked.wait == "none" else cast("Goal", asked.wait)
    if key is not None:
        return await _once(call, key, job, manner, goal, bound_s)
    obj = await call.store.write(job)
    if goal is None:
        return at_once(manner, call.store, obj)
    return (await _waited(call, manner, since(obj), obj, goal, bound_s)).answer


async def _once(
    call: Call,
    key: bytes,
    job: Callable[[Transaction], O],
    manner: Manner[O],
    goal: Goal | None,
    bound_s: float | None,
) -> Answer:
    def run(tx: Transaction) -> tuple[Object, Answer | None]:
        obj = job(tx)
        return obj, at_once(manner, tx, obj) if goal is None else None

    async def wait(record: Remembered, obj: Object | None) -> Waited:
        return await _waited(call, manner, record.pin, cast("O | None", obj), goal or "exists", bound_s)

    return await once(call, key, run, wait)


async def _waited(
    call: Call, manner: Manner[O], pin: Since, given: O | None, goal: Goal, bound_s: float | None
) -> Waited:
    """`given` is the object that the job has given, None when another daemon ran it."""
    obj = given or cast("O | None", pin.uid and call.store.find_uid(pin.uid))
    if bound_s is None:
        bound_s = _bound_s(manner, call.store, obj, goal)
    # Of what is gone the first look tells the end, so that nobody waits for news of it.
    key = obj.meta.key if obj is not None else Key(manner.kind, "")
    ending = await reach(call, key, pin, goal, bound_s)
    return Waited(afterwards(manner, call.store, goal, ending, obj), ending.end != "stopping")


def _bound_s(manner: Manner[O], rows: Rows, obj: O | None, goal: Goal) -> float:
    if obj is None or manner.bound_s is None or goal != manner.until:
        return DEFAULT_TIMEOUT_S
    return manner.bound_s(rows, obj)
