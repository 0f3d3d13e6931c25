"""`/syncs`: what the daemon keeps by itself as files say it, and having it tried at once.

There is no way to make one here. Whoever may apply would by that have the daemon, often root, read any directory of its
host and fetch any address; what is followed is said in the daemon's settings, by whoever runs it.
"""

from __future__ import annotations

from msgspec import UNSET

from volant.api.call import Answer, Call, Headers, encoded, plain
from volant.api.reach import bound_of
from volant.api.waiting import WaitEnd
from volant.errors import NotFound, Unavailable
from volant.model.event import past
from volant.model.goals import DEFAULT_TIMEOUT_S
from volant.model.meta import Key
from volant.model.queries import LastEventsQuery, NoQuery, SyncNow
from volant.model.sync import Sync
from volant.model.sync_wire import sync_view
from volant.model.views import SyncView


async def list_syncs(call: Call, query: NoQuery) -> Answer:
    """`GET /syncs`: List what the daemon keeps as a directory or a repository says it.

    In the order of creation. Which there are, the daemon's settings say.
    """
    found = (call.store.find(key) for key in call.store.keys("Sync"))
    return plain([_view(call, sync) for sync in found if isinstance(sync, Sync)])


async def get_sync(call: Call, query: NoQuery) -> Answer:
    """`GET /syncs/{name}`: Show a sync: what it follows, which commit is applied, and what is in the way of another."""
    return plain(_view(call, _found(call)))


async def list_sync_events(call: Call, query: LastEventsQuery) -> Answer:
    """`GET /syncs/{name}/events`: List the last events of a sync: what it applied, brought back, and could not.

    The oldest first.
    """
    with call.store.snapshot():
        found = call.store.last_events(_found(call).meta.uid, query.limit)
    return plain([past(event) for event in found])


async def sync_now(call: Call, query: SyncNow) -> Answer:
    """`POST /syncs/{name}/sync`: Have a sync tried now, whatever its interval.

    Answers 202 at once, and with `?wait=tried` 200 when it was: `state` says how that went. Where that takes too long
    the answer is 202, with `Volant-Wait`.
    """
    call.check_precondition(_found(call).meta)
    bound_s = DEFAULT_TIMEOUT_S if query.timeout is UNSET else bound_of(query.timeout)
    if call.store.trouble is not None:
        raise Unavailable(f"cannot sync: {call.store.trouble}.")
    tried = call.deps.sync_now(call.name)
    end: WaitEnd | None = None
    if query.wait == "tried":
        end = await call.context.waits.over(tried, bound_s)
    said: Headers = () if end in (None, "reached") else ((b"volant-wait", str(end).encode()),)
    return Answer(200 if end == "reached" else 202, encoded(_view(call, _found(call))), said)


def _found(call: Call) -> Sync:
    sync = call.store.find(Key("Sync", call.name))
    if not isinstance(sync, Sync):
        raise NotFound("Sync", call.name, code="sync_not_found")
    return sync


def _view(call: Call, sync: Sync) -> SyncView:
    return sync_view(sync, call.deps.attempts(sync.meta.name))
