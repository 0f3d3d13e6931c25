"""One turn of a sync: its object is as the settings say, and when it is due an attempt is made and reported.

    not in the settings ──▶ the object goes
    due, or asked for ──▶ render ──▶ turn ──▶ plan.reported ──▶ status and event

What is due when is kept in memory: after a restart every sync is tried at once, which writes nothing if all is well.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import ExitStack
from typing import Any, NamedTuple

from msgspec import Struct

from volant.client import ApiError, NoAnswer
from volant.client.call import Call
from volant.clock import Clock, Instant
from volant.controllers.sync import plan
from volant.controllers.sync.apart import apart
from volant.controllers.sync.plan import ACTOR, Applied, Failed
from volant.errors import Unavailable
from volant.gitops import Aim, Render, Source, SyncFailed, Turned, delay_s, turn
from volant.gitops.turn import Talk, done
from volant.manifests import in_the_way, server_flaws
from volant.model.event import Committed, EventType, Happening
from volant.model.meta import Key, Meta
from volant.model.sync import NEVER, Attempts, Sync, SyncSpec
from volant.reconcile import DONE, Again, Outcome
from volant.store import Store, Transaction
from volant.telemetry import logger

log = logger("volant.controllers.sync")

Send = Callable[[Call[Any]], Awaitable[Any]]
"""Carries one call to the API. Raises ApiError, NoAnswer."""


class Configured(NamedTuple):
    """One sync of the settings: what is shown of it, what is asked of each turn, and what is read, anew each turn."""

    spec: SyncSpec
    aim: Aim
    source: Callable[[], Source]


class _Course(Struct):
    """What is known of one sync until the daemon ends. `due` is monotonic."""

    due: float = 0.0
    failures: int = 0
    is_working: bool = False
    attempted_at: Instant | None = None
    next_at: Instant | None = None
    asked: list[asyncio.Future[None]] = []


class SyncReconciler:
    """Keeps the sets of the settings."""

    gap_s = 0.0

    def __init__(self, *, store: Store, syncs: Sequence[Configured], send: Send, clock: Clock) -> None:
        self._store, self._send, self._clock = store, send, clock
        self._syncs = {one.aim.set: one for one in syncs}
        self._courses = {name: _Course() for name in self._syncs}

    def concerns(self, event: Committed) -> Iterable[Key]:
        """Nobody else writes to syncs, and drift is looked for at each interval."""
        return ()

    def resync_keys(self) -> list[Key]:
        """Those of the settings, and those that are no longer in them."""
        return sorted({*(Key("Sync", name) for name in self._syncs), *self._store.keys("Sync")})

    def attempts(self, name: str) -> Attempts:
        """What is not stored of it."""
        course = self._courses.get(name)
        if course is None:
            return NEVER
        return Attempts(
            is_working=course.is_working,
            attempted_at=course.attempted_at,
            next_try_at=course.next_at,
            failures=course.failures,
        )

    def ask(self, name: str) -> asyncio.Future[None]:
        """Done when an attempt is over that begins after now. Whoever asks has its key looked at."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        course = self._courses.get(name)
        if course is None:
            future.set_result(None)
        else:
            course.asked.append(future)
        return future

    async def reconcile(self, key: Key) -> Outcome:
        """One turn."""
        configured = self._syncs.get(key.name)
        if configured is None:
            await self._removed(key)
            return DONE
        course, sync = self._courses[key.name], await self._there(key, configured.spec)
        wait_s = course.due - self._clock.monotonic()
        if wait_s > 0 and not course.asked:
            return Again(wait_s)
        return Again(await self._tried(sync, configured, course))

    async def _there(self, key: Key, spec: SyncSpec) -> Sync:
        found = self._store.find(key)
        if isinstance(found, Sync) and found.spec == spec:
            return found

        def job(tx: Transaction) -> Sync:
            old = tx.find(key)
            if isinstance(old, Sync):
                return tx.update_spec(old, spec, _happening("sync.updated"))
            meta = Meta(name=key.name, uid=tx.new_uid(), kind="Sync", created_at=tx.now)
            return tx.insert(Sync(meta=meta, spec=spec), _happening("sync.created"))

        return await self._store.write(job)

    async def _removed(self, key: Key) -> None:
        def job(tx: Transaction) -> None:
            found = tx.find(key)
            if found is not None:
                tx.mark_deleting(found, _happening("sync.deleting"))

        if self._store.find(key) is not None:
            await self._store.write(job)

    async def _tried(self, sync: Sync, configured: Configured, course: _Course) -> float:
        """Seconds until the next attempt."""
        asked, course.asked = course.asked, []
        course.is_working, course.attempted_at, course.next_at = True, self._clock.now(), None
        try:
            end = await self._attempt(sync, configured)
            course.failures = course.failures + 1 if isinstance(end, Failed) else 0
            await self._report(sync, end)
        finally:
            course.is_working = False
            wait_s = delay_s(configured.spec.interval_s, course.failures)
            course.due, course.next_at = self._clock.monotonic() + wait_s, self._clock.now() + wait_s
            for future in asked:
                if not future.done():
                    future.set_result(None)
        return wait_s

    async def _attempt(self, sync: Sync, configured: Configured) -> Applied | Failed:
        source = configured.source()
        try:
            render = await apart(source.render, source.end)
            turned = await self._carried(turn(configured.aim, render, sync.status.commit), render)
        except SyncFailed as error:
            return Failed(error.message, error.code)
        what = done(turned.view) if turned.has_changed else ""
        # Another aim may change what was in order, and nobody has touched it.
        is_drift = turned.is_drift and sync.status.observed_generation == sync.meta.generation
        return Applied(turned.commit, len(render.said), what, is_drift)

    async def _carried(self, talk: Talk, render: Render) -> Turned:
        """What a turn gives. Raises SyncFailed, its code the API's, and Unavailable."""
        with ExitStack() as held:
            held.callback(talk.close)
            try:
                call = next(talk)
                while True:
                    try:
                        found = await self._send(call)
                    except ApiError as error:
                        call = talk.throw(error)
                    else:
                        call = talk.send(found)
            except StopIteration as end:
                turned: Turned = end.value
                return turned
            except ApiError as error:
                if error.is_passing:
                    raise Unavailable(error.message) from error
                raise _refused(render, error) from error
            except NoAnswer as error:
                raise Unavailable(error.message) from error

    async def _report(self, sync: Sync, end: Applied | Failed) -> None:
        report = plan.reported(sync, end, self._clock.now())
        if report.event is None:
            return
        state, first_line = report.status.state, (report.status.error or "").partition("\n")[0]
        if first_line:
            log.warning("sync.trouble", set=sync.meta.name, state=state, message=first_line)
        else:
            log.info("sync.done", set=sync.meta.name, event_type=report.event, commit=report.commit)
        happening = _happening(report.event, report.message, report.commit)
        await self._store.update_status(sync, report.status, happening)


def _refused(render: Render, error: ApiError) -> SyncFailed:
    """What the API says, at the lines of the files where it is about them."""
    flaws = server_flaws(render.said, [*error.fields, *in_the_way(error.details)])
    lines = [f"commit {render.commit[:12]}: {error.message}", *map(str, flaws)]
    return SyncFailed("\n".join(lines), code=error.code)


def _happening(kind: EventType, message: str | None = None, commit: str | None = None) -> Happening:
    return Happening(type=kind, actor=ACTOR, message=message, commit=commit)
