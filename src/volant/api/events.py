"""Event streams: `/events/vms` as in the reference, `/events` for every kind.

`Last-Event-ID` or `?since=` resumes after a revision. One that is no longer kept is answered with a first event
`reset` and then what happens from now on; clients that ask for lines of JSON get a 410 instead, because they can read
one.
"""

from __future__ import annotations

import msgspec
from msgspec import UNSET, UnsetType

from volant.api.call import Call
from volant.api.frames import LINES, SSE, Format, Wanted
from volant.api.stream import Stream, is_expired
from volant.errors import Gone, Invalid, Unavailable
from volant.model.event import REFERENCE_VM_EVENTS, EventType
from volant.model.queries import EventQuery, VMEventQuery

MAX_STREAMS = 4096
_MAX_DIGITS = 15


async def follow_vms(call: Call, query: VMEventQuery) -> None:
    """`GET /events/vms`: the reference's six types."""
    types = _types(query.types)
    shown = REFERENCE_VM_EVENTS if types is None else types & REFERENCE_VM_EVENTS
    wanted = Wanted(types=shown, name=_given(query.name), plugin=_given(query.plugin))
    await _follow(call, wanted, query)


async def follow_all(call: Call, query: EventQuery) -> None:
    """`GET /events`: everything that is committed."""
    kind = None if query.kind is UNSET else query.kind
    wanted = Wanted(kind=kind, types=_types(query.types), name=_given(query.name), plugin=_given(query.plugin))
    await _follow(call, wanted, query)


async def _follow(call: Call, wanted: Wanted, query: VMEventQuery) -> None:
    form = LINES if LINES.media in call.headers.get(b"accept", b"") else SSE
    after = _resume_after(call, query)
    _check(call, form, after)
    call.is_answered = True
    await call.send({"type": "http.response.start", "status": 200, "headers": _head(call, form)})
    if call.is_head:
        await call.send({"type": "http.response.body", "body": b""})
        return
    await Stream(call.deps, call.context.streams, wanted, form, call.send, call.gone).run(after)


def _check(call: Call, form: Format, after: int | None) -> None:
    """What can still be refused: once the head is sent, it is 200."""
    if call.deps.stopping.is_set():
        raise Unavailable("cannot open a stream: the daemon is stopping", code="stopping")
    if call.context.streams.open >= MAX_STREAMS:
        raise Unavailable(f"cannot open a stream: {MAX_STREAMS} are open", code="too_many_streams")
    if after is None:
        return
    if after > call.store.revision:
        call.store.events_after(after, 1)  # Raises Invalid unless it is committed and about to be published (W3).
    if form is LINES and is_expired(call.deps, after):
        oldest = call.store.oldest_event
        raise Gone(
            f"cannot resume after revision {after}: events up to {oldest} are no longer kept",
            code="event_gone",
            details={"oldest": oldest},
        )


def _head(call: Call, form: Format) -> list[tuple[bytes, bytes]]:
    return [
        (b"content-type", form.media),
        (b"cache-control", b"no-store"),
        (b"x-accel-buffering", b"no"),
        (b"x-request-id", call.request_id.encode()),
    ]


def _resume_after(call: Call, query: VMEventQuery) -> int | None:
    """The header before the parameter: an EventSource that reconnects sends both, and only the header is news."""
    last = call.header(b"last-event-id").strip()
    if not last:
        return None if query.since is UNSET else query.since
    if not last.isdecimal() or len(last) > _MAX_DIGITS:
        raise Invalid(
            f"cannot resume after {last[:32]!r}: not an id of an event",
            fields=[{"path": "Last-Event-ID", "message": "expected the id of an event: a whole number"}],
        )
    return int(last)


def _types(asked: str | UnsetType) -> frozenset[str] | None:
    if asked is UNSET:
        return None
    try:
        return msgspec.convert(asked.split(","), frozenset[EventType])
    except msgspec.ValidationError:
        message = "expected types of events with commas between, such as vm.started,vm.stopped"
        raise Invalid(f"cannot accept ?types: {message}", fields=[{"path": "?types", "message": message}]) from None


def _given(text: str | UnsetType) -> str | None:
    return None if text is UNSET else text
