"""Event streams: `/events/vms` as in the reference, `/events` for every kind, and one for each other kind.

`Last-Event-ID` or `?since=` resumes after a revision. One that is no longer kept is answered with a first event
`reset` and then what happens from now on; clients that ask for lines of JSON get a 410 instead, because they can read
one. With `?initial=true` the objects as they are come first where there is nothing to resume, and again after a
`reset`; then nobody needs a 410.
"""

from __future__ import annotations

from msgspec import UNSET
from msgspec.structs import replace

from volant.api.call import Call, kept_since
from volant.api.filters import given, wanted
from volant.api.frames import LINES, SSE, Format, Wanted
from volant.api.stream import Stream, is_expired
from volant.errors import Gone, Invalid, Unavailable
from volant.model.event import REFERENCE_VM_EVENTS
from volant.model.queries import DeploymentEventQuery, EventQuery, PluginEventQuery, VMEventQuery

MAX_STREAMS = 4096
_MAX_DIGITS = 15


async def follow_vms(call: Call, query: VMEventQuery) -> None:
    """`GET /events/vms`: Follow the lives of VMs.

    A stream of server-sent events: created, started, stopped, deleted, health changed and error.
    """
    asked = wanted(query, kind="VM", plugin=given(query.plugin), deployment=given(query.deployment))
    types = REFERENCE_VM_EVENTS if asked.types is None else asked.types & REFERENCE_VM_EVENTS
    await _follow(call, replace(asked, types=types), query)


async def follow_deployments(call: Call, query: DeploymentEventQuery) -> None:
    """`GET /events/deployments`: Follow deployments.

    A stream of server-sent events: everything that is committed of them.
    """
    await _follow(call, wanted(query, kind="Deployment", plugin=given(query.plugin)), query)


async def follow_plugins(call: Call, query: PluginEventQuery) -> None:
    """`GET /events/plugins`: Follow plugins.

    A stream of server-sent events: everything that is committed of them.
    """
    await _follow(call, wanted(query, kind="Plugin"), query)


async def follow_all(call: Call, query: EventQuery) -> None:
    """`GET /events`: Follow everything.

    A stream of server-sent events: every committed write of every kind, in commit order.
    """
    asked = wanted(query, plugin=given(query.plugin), deployment=given(query.deployment))
    await _follow(call, asked, query)


async def _follow(call: Call, asked: Wanted, query: PluginEventQuery) -> None:
    form = LINES if LINES.media in call.headers.get(b"accept", b"") else SSE
    after = _resume_after(call, query)
    _check(call, form, after, has_state=query.initial)
    call.is_answered = True
    await call.send({"type": "http.response.start", "status": 200, "headers": _head(call, form)})
    if call.is_head:
        await call.send({"type": "http.response.body", "body": b""})
        return
    stream = Stream(call.deps, call.context.streams, asked, form, call.send, call.gone, has_state=query.initial)
    await stream.run(after)


def _check(call: Call, form: Format, after: int | None, *, has_state: bool) -> None:
    """What can still be refused: once the head is sent, it is 200."""
    if call.deps.stopping.is_set():
        raise Unavailable("cannot open a stream: the daemon is stopping", code="stopping")
    if call.context.streams.open >= MAX_STREAMS:
        raise Unavailable(f"cannot open a stream: {MAX_STREAMS} are open", code="too_many_streams")
    if after is None:
        return
    if after > call.store.revision:
        call.store.events_after(after, 1)  # Raises Invalid unless it is committed and about to be published (W3).
    if form is LINES and not has_state and is_expired(call.deps, after):
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
        kept_since(call.store),
        (b"x-request-id", call.request_id.encode()),
    ]


def _resume_after(call: Call, query: PluginEventQuery) -> int | None:
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
