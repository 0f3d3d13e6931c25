"""How a write is answered: at once, or after it was waited for what it leads to.

What it was (made, changed, deleted) gives the status, and a wait only ever adds a header. Rendering looks at nothing
but rows, so that an answer that has to be stored with the write can be made inside its transaction.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, Literal, TypeVar, cast

from msgspec import Struct

from volant.api.call import Answer, Headers, encoded
from volant.api.reach import Ending
from volant.errors import Conflict, NotFound
from volant.model.goals import Goal, OutOfReach
from volant.model.meta import Kind
from volant.model.objects import Object
from volant.store import Rows

O = TypeVar("O", bound=Object)  # noqa: E741 -- because it stands for Object

PATHS: dict[Kind, str] = {"VM": "vms", "Deployment": "deployments", "Plugin": "plugins"}
STATUS = {"creates": 201, "changes": 200, "deletes": 202}


@dataclass(frozen=True, kw_only=True)
class Manner(Generic[O]):
    """What kind of write it is, and how it is answered.

    `show` gives the wire form of the object that the job gave; it may look other rows up, and nothing else, because it
    may run on the store's thread. `later` does so after a wait (None: as `show`). `until` is what the write waits for
    unless `?wait=` says otherwise, `bound_s` how long where there is no `?timeout=`; where that goal gets out of reach
    a change is answered with an error, because its status would promise what is not so.
    """

    kind: Kind
    show: Callable[[Rows, O], Struct]
    does: Literal["creates", "changes", "deletes"] = "changes"
    later: Callable[[Rows, O], Struct] | None = None
    until: Goal | None = None
    bound_s: Callable[[Rows, O], float] | None = None


def at_once(manner: Manner[O], rows: Rows, obj: O) -> Answer:
    """The answer to a write that waits for nothing."""
    return _shown(manner, manner.show(rows, obj), obj, location(manner, obj))


def afterwards(manner: Manner[O], rows: Rows, goal: Goal, ending: Ending, last: O | None) -> Answer:
    """The answer to a write after a wait. `last` is the object as it was last seen, for when it is gone.

    Raises NotFound or Conflict where the status would promise what cannot come any more.
    """
    if manner.does == "deletes" and ending.obj is None:
        return Answer(204)
    if ending.why is not None and goal == manner.until and manner.does == "changes":
        raise _broken(manner.kind, goal, ending.why, last)
    obj = cast("O | None", ending.obj) or last
    if obj is None:
        raise NotFound(manner.kind, "")
    said: Headers = () if ending.end == "reached" else ((b"volant-wait", ending.end.encode()),)
    return _shown(manner, (manner.later or manner.show)(rows, obj), obj, (*said, *location(manner, obj)))


def location(manner: Manner[Any], obj: Object) -> Headers:
    """Where that which was made is, or would be."""
    if manner.does != "creates":
        return ()
    return ((b"location", f"/api/v1/{PATHS[manner.kind]}/{obj.meta.name}".encode()),)


def _shown(manner: Manner[Any], view: Struct, obj: Object, more: Headers) -> Answer:
    return Answer(STATUS[manner.does], encoded(view), ((b"etag", b'"%d"' % obj.meta.revision), *more))


def _broken(kind: Kind, goal: Goal, why: OutOfReach, last: Object | None) -> NotFound | Conflict:
    name = last.meta.name if last is not None else ""
    if why.reason == "Deleted":
        return NotFound(kind, name)
    details = {"name": name, "reason": why.reason, "message": why.message}
    return Conflict(f"cannot say that {kind} {name} is {goal}: {why.message}", code=why.code, details=details)
