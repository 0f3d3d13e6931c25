"""The runner: workers that take keys off a queue, reconcile them, and decide from the outcome when each comes round.

    get ──▶ reconcile(key) ──▶ DONE                  forget its failures
                           ──▶ Again(after_s)        the same, and look again then
                           ──▶ raises Conflict       decided on an old revision: at once, a few times
                           ──▶ raises Unavailable    the gate closes for a moment; the key waits behind it
                           ──▶ raises, retryable     again with backoff
                           ──▶ raises, final         not again until somebody adds it, or resync does

This file is the one place that reads `VolantError.retryable`. An exception that is no VolantError is a fault of the
program; it is worth another try, because the next look at the world may not meet it.

A failure is logged when it starts and when it ends, not in between. Which kind a key is of, and why it was added, is
not known here.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Hashable, Iterable
from enum import Enum
from typing import Final, Generic, Protocol, TypeVar

from msgspec import Struct

from volant.clock import Clock
from volant.errors import Conflict, Unavailable, VolantError
from volant.reconcile.backoff import Backoff, delay
from volant.reconcile.gate import Gate
from volant.reconcile.measures import ControllerStats, KeyStanding, Spread
from volant.reconcile.priority import Priority
from volant.reconcile.story import Stories
from volant.reconcile.workqueue import ShutDown, Workqueue
from volant.telemetry import logger

log = logger("volant.reconcile")

K = TypeVar("K", bound=Hashable)

RESYNC_S = 45.0
RESYNC_JITTER = 0.2
TIMEOUT_S = 60.0
CONFLICTS_FORGIVEN = 5
"""In a row and of one key. Losing a race this often is no race: something keeps writing, and a pause lets it."""
PAUSE_S = 0.5
PAUSE_CAP_S = 5.0
STORE_UNAVAILABLE = "the store is unavailable"


class Done(Enum):
    """The outcome of a turn after which there is nothing left to do."""

    DONE = "done"


DONE: Final = Done.DONE


class Again(Struct, frozen=True):
    """The outcome of a turn that wants another in `after_s` seconds, or sooner when somebody adds the key."""

    after_s: float


Outcome = Done | Again


class Ready(Protocol):
    """Something to wait for, such as an `asyncio.Event` or a `Gate`."""

    def wait(self) -> Awaitable[object]:
        """Return when it is so."""
        ...


class Controller(Generic[K]):
    """One `reconcile` function, its queue and its workers."""

    def __init__(  # noqa: PLR0913 -- because each is a knob of its own, and a bag of them would only move the list
        self,
        name: str,
        reconcile: Callable[[K], Awaitable[Outcome]],
        *,
        clock: Clock,
        rng: random.Random,
        resync_keys: Callable[[], Iterable[K]],
        workers: int = 4,
        timeout_s: float = TIMEOUT_S,
        resync_s: float = RESYNC_S,
        ready: Ready | None = None,
        gate: Gate | None = None,
        backoff: Backoff[K] | None = None,
        stories: Stories[K] | None = None,
    ) -> None:
        self.name = name
        self.stories: Stories[K] = stories or Stories()
        self._reconcile = reconcile
        self._clock = clock
        self._rng = rng
        self._resync_keys = resync_keys
        self._workers = workers
        self._hired = 0
        self._idle = 0
        self._timeout_s = timeout_s
        self._resync_s = resync_s
        self._ready = ready
        self._gate = gate or Gate(clock)
        self._queue: Workqueue[K] = Workqueue(clock, gate=self._gate)
        self._backoff: Backoff[K] = backoff or Backoff(clock, rng)
        self._conflicts: dict[K, int] = {}
        self._failing: dict[K, tuple[str, str]] = {}
        self._next_resync: float | None = None
        self._starved: set[K] = set()
        self._pauses = 0
        self._work = Spread()
        self._failures = 0
        self._retries = 0

    def add(self, key: K, priority: Priority = Priority.FRESH) -> None:
        """Somebody should look at `key`. Never blocks; may be called before `run`."""
        self._queue.add(key, priority)

    def add_after(self, key: K, seconds: float, priority: Priority = Priority.FRESH) -> None:
        """Somebody should look at `key` in `seconds`, unless that happens sooner."""
        self._queue.add_after(key, seconds, priority)

    async def run(self) -> None:
        """Reconcile until cancelled. The first turn begins when `ready` is, with every key of the first resync."""
        if self._ready is not None:
            await self._ready.wait()
        async with asyncio.TaskGroup() as tasks:
            self._hired = self._idle = 0
            self._hire(tasks)
            tasks.create_task(self._resync(), name=f"{self.name} resync")

    async def drain(self, deadline_s: float) -> bool:
        """Begin no more turns and wait for those under way; whether all ended within `deadline_s`.

        The stragglers run on until `run` is cancelled.
        """
        return await self._queue.drain(deadline_s)

    def stats(self) -> ControllerStats:
        """The figures of this moment (Q13)."""
        running = self._queue.running_s()
        return ControllerStats(
            name=self.name,
            depth=len(self._queue),
            delayed=self._queue.delayed,
            oldest_age_s=self._queue.oldest_age_s(),
            in_flight=self._queue.in_flight,
            longest_running_s=max(running, default=0.0),
            unfinished_s=sum(running),
            reconciles=self._work.count,
            failures=self._failures,
            retries=self._retries,
            failing=len(self._failing),
            latency=self._queue.latency.snapshot(),
            work=self._work.snapshot(),
        )

    def standing(self, key: K) -> KeyStanding:
        """How one key stands at this moment."""
        place, at = self._queue.place(key)
        reason, message = self._failing.get(key, (None, ""))
        return KeyStanding(
            controller=self.name,
            place=place,
            since=at if place in ("waiting", "working") else None,
            next_at=at if place == "delayed" else self._next_resync,
            failures=0 if reason is None else max(self._backoff.failures(key), 1),
            reason=reason,
            message=message,
            turns=self.stories.of(key),
        )

    def _hire(self, tasks: asyncio.TaskGroup) -> None:
        """One more worker. Most controllers never need a second one, and a task that only waits is not free."""
        tasks.create_task(self._worker(tasks), name=f"{self.name} worker {self._hired}")
        self._hired += 1
        self._idle += 1

    async def _worker(self, tasks: asyncio.TaskGroup) -> None:
        while True:
            try:
                key = await self._queue.get()
            except ShutDown:
                return
            self._idle -= 1
            if not self._idle and self._hired < self._workers:
                self._hire(tasks)
            started = self._clock.monotonic()
            try:
                await self._turn(key)
            finally:
                self._work.add(self._clock.monotonic() - started)
                self._queue.done(key)
                self._idle += 1
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                # The turn has made another error of its cancellation. It ends this worker all the same: nobody will
                # cancel it a second time, and the daemon waits for it.
                raise asyncio.CancelledError

    async def _turn(self, key: K) -> None:
        try:
            async with asyncio.timeout(self._timeout_s) as limit:
                outcome = await self._reconcile(key)
        except asyncio.CancelledError as error:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            # Nobody cancelled this worker: something the turn waited for was cancelled. Passed on, it would end the
            # worker without a word.
            self._failed(key, error, "something it waited for was cancelled")
        except Conflict as error:
            self._conflicted(key, error)
        except Unavailable as error:
            self._paused(key, error)
        except Exception as error:  # noqa: BLE001 -- because no failure of one key may stop the others
            if limit.expired():
                self._failed(key, error, f"it took longer than {self._timeout_s:g} s")
            else:
                self._failed(key, error, str(error))
        else:
            self._succeeded(key, outcome)

    def _succeeded(self, key: K, outcome: Outcome) -> None:
        self._got_through(key)
        self._backoff.forget(key)
        self._conflicts.pop(key, None)
        if self._failing.pop(key, None) is not None:
            log.info("reconcile.recovered", controller=self.name, key=str(key))
        if isinstance(outcome, Again):
            self._queue.add_after(key, outcome.after_s)
            self._tell(key, f"again in {outcome.after_s:g} s")
        else:
            self._tell(key, "done")

    def _conflicted(self, key: K, error: Conflict) -> None:
        self._got_through(key)
        conflicts = self._conflicts[key] = self._conflicts.get(key, 0) + 1
        if conflicts > CONFLICTS_FORGIVEN:
            self._failed(key, error, str(error))
            return
        self._retries += 1
        self._queue.add(key)
        self._tell(key, "decided on an old revision")

    def _paused(self, key: K, error: Unavailable) -> None:
        self._failures += 1
        self._retries += 1
        self._queue.add(key)
        self._tell(key, f"paused: {error}")
        self._starved.add(key)
        if not self._gate.is_open:
            return  # because turns that were under way together have all met the same trouble
        if not self._pauses:
            log.warning("controller.paused", controller=self.name, reason=error.reason, message=str(error))
        pause_s = delay(self._pauses, PAUSE_S, PAUSE_CAP_S, RESYNC_JITTER, self._rng)
        self._pauses += 1
        self._gate.close_for(pause_s, STORE_UNAVAILABLE)

    def _got_through(self, key: K) -> None:
        # Other keys prove nothing: a turn with nothing to write succeeds while the disk is full.
        if key not in self._starved:
            return
        self._starved.discard(key)
        if self._pauses:
            self._pauses = 0
            log.info("controller.resumed", controller=self.name)

    def _failed(self, key: K, error: BaseException, message: str) -> None:
        self._got_through(key)
        if not isinstance(error, Conflict):
            self._conflicts.pop(key, None)
        reason = type(error).__name__
        self._failures += 1
        is_internal = not isinstance(error, VolantError) and message == str(error)
        self._tell(key, f"failed: {reason}: {message}", is_internal=is_internal)
        is_news = self._failing.get(key, ("", ""))[0] != reason
        self._failing[key] = (reason, "" if is_internal else message)
        if is_news:
            trace = None if isinstance(error, VolantError) else error
            log.error(
                "reconcile.failing", controller=self.name, key=str(key), reason=reason, message=message, exc_info=trace
            )
        if isinstance(error, VolantError) and not error.retryable:
            self._backoff.forget(key)
            return
        self._retries += 1
        self._queue.add_after(key, self._backoff.next_delay(key), Priority.ROUTINE)

    def _tell(self, key: K, outcome: str, *, is_internal: bool = False) -> None:
        self.stories.tell(key, self._clock.now(), "reconcile", outcome, is_internal=is_internal)

    async def _resync(self) -> None:
        """Bring every key round, at once and then every `resync_s` ± 20 %: the world drifts without telling."""
        failures = 0
        while True:
            try:
                for key in self._resync_keys():
                    self._queue.add(key, Priority.ROUTINE)
            except Exception as error:  # noqa: BLE001 -- because without resync every lost event would stay lost
                if not failures:
                    log.error("resync.failing", controller=self.name, reason=type(error).__name__, message=str(error))
                failures += 1
                await self._clock.sleep(delay(failures, PAUSE_S, self._resync_s, RESYNC_JITTER, self._rng))
                continue
            if failures:
                log.info("resync.recovered", controller=self.name)
            failures = 0
            pause_s = delay(0, self._resync_s, self._resync_s, RESYNC_JITTER, self._rng)
            self._next_resync = self._clock.monotonic() + pause_s
            await self._clock.sleep(pause_s)
