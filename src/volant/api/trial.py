"""`?dry_run=true`: the whole write but for its being kept.

    job(tx) ──▶ the object as it would be ──▶ rolled back (Tried carries the answer out of the transaction)

The job itself is run, so nothing can be allowed here and refused there: names, preconditions, plugins and pools are all
asked. What it took (an address, a revision) goes back with the transaction; no event is told.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import msgspec

from volant.api.call import Answer, Call, Headers, encoded
from volant.api.manner import STATUS, Manner, location
from volant.model.history import changes, redacted
from volant.model.meta import Key
from volant.model.objects import Object
from volant.store import Transaction

O = TypeVar("O", bound=Object)  # noqa: E741 -- because it stands for Object

UNTOLD = frozenset({"revision"})
"""What is left out of the changes: the counter of the whole store says nothing of the object."""


class Tried(Exception):
    """Not an error: what a job would have given, on its way out of a transaction that is to be rolled back."""

    def __init__(self, body: dict[str, Any], headers: Headers) -> None:
        super().__init__()
        self.body = body
        self.headers = headers


async def tried(call: Call, job: Callable[[Transaction], O], manner: Manner[O]) -> Answer:
    """What the write would be answered, with `dry_run` and its `changes`. Raises what the job raises."""

    def run(tx: Transaction) -> None:
        before = None if manner.does == "creates" else tx.find(Key(manner.kind, call.name))
        as_it_is = manner.later or manner.show
        old = as_it_is(tx, before) if before is not None else None  # type: ignore[arg-type]  # of the manner's kind
        obj = job(tx)
        new = manner.show(tx, obj)
        body = {**msgspec.to_builtins(new), "dry_run": True, "changes": _changes(manner, old, new)}
        raise Tried(body, location(manner, obj))

    try:
        await call.store.write(run)
    except Tried as answer:
        # A delete would have no body; here there is something to be shown.
        status = 200 if manner.does == "deletes" else STATUS[manner.does]
        return Answer(status, encoded(answer.body), answer.headers)
    raise AssertionError("a trial always ends with its answer")  # pragma: no cover


def _changes(manner: Manner[Any], old: Any, new: Any) -> dict[str, Any]:
    if manner.does != "changes":
        return {"created": True} if manner.does == "creates" else {"deleted": True}
    told = redacted(changes(old, new))
    return {path: sides for path, sides in told.items() if path not in UNTOLD}
