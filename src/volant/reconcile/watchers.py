"""Watchers: coroutines that live for ever and tell controllers where to look. Somebody must watch them, too (L8).

    supervise ──runs──▶ watch(beat) ──beat()──▶ Health ──▶ /healthz
        ▲                    │
        └── again, within 1 s, when it dies, returns or falls silent

A watcher that died without a word looks like a quiet host. So it is started again whatever ended it, each end is
counted and shown, and for a watcher that promises to speak every so often, silence is an end as well.

What a watcher missed while it was dead is not made up for here: resync is for that.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from msgspec import Struct

from volant.clock import Clock
from volant.telemetry import logger

log = logger("volant.reconcile")

RESTART_S = 0.5
"""Pause before a watcher is started again: well inside the promised second, and no busy loop when it dies at once."""

STEADY_S = 5.0
"""How long a watcher must run before its last end is forgiven: one that dies every second never looks well."""

Beat = Callable[[], None]
"""What a watcher calls each time it has seen, or has made sure that there was nothing to see."""


class WatcherHealth(Struct, frozen=True, kw_only=True):
    """One watcher at one moment. `fault` says why it does not count as healthy; None when it does."""

    name: str
    restarts: int
    silent_s: float
    fault: str | None = None


class WatcherNotes:
    """What `supervise` writes down about one watcher."""

    def __init__(self, name: str, clock: Clock) -> None:
        self.name = name
        self._clock = clock
        self._starts = 0
        self._fault: str | None = None
        self._started_at = self._last_beat = clock.monotonic()

    def started(self) -> None:
        """It runs, for the first time or once more."""
        self._starts += 1
        self._started_at = self._last_beat = self._clock.monotonic()

    def beat(self) -> None:
        """It is alive."""
        self._last_beat = self._clock.monotonic()
        if self._fault is not None and self._last_beat - self._started_at >= STEADY_S:
            self.recovered()

    def recovered(self) -> None:
        """It has run long enough to be trusted again. Harmless when it was trusted all along."""
        if self._fault is not None:
            log.info("watcher.recovered", watcher=self.name, restarts=self._starts - 1)
            self._fault = None

    def ended(self, how: str) -> None:
        """It runs no more."""
        if self._fault is None:
            log.error("watcher.failed", watcher=self.name, fault=how)
        self._fault = how

    def snapshot(self) -> WatcherHealth:
        """What is known now."""
        return WatcherHealth(
            name=self.name,
            restarts=max(0, self._starts - 1),
            silent_s=self._clock.monotonic() - self._last_beat,
            fault=self._fault,
        )


class Health:
    """What is known about every supervised watcher."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._watchers: dict[str, WatcherNotes] = {}

    @property
    def is_healthy(self) -> bool:
        """Whether no watcher has a fault."""
        return all(watcher.fault is None for watcher in self.watchers())

    def watchers(self) -> list[WatcherHealth]:
        """Each watcher that was ever supervised, by name."""
        return [self._watchers[name].snapshot() for name in sorted(self._watchers)]

    def notes(self, name: str) -> WatcherNotes:
        """Where `supervise` writes down what it sees of `name`."""
        return self._watchers.setdefault(name, WatcherNotes(name, self._clock))


async def supervise(
    name: str,
    watch: Callable[[Beat], Awaitable[object]],
    clock: Clock,
    health: Health,
    *,
    silence_s: float | None = None,
) -> None:
    """Keep `watch(beat)` running until cancelled.

    With `silence_s` a watcher that does not call `beat` for so long is ended and started again. A fault stands until
    the watcher has run for STEADY_S and, where it must beat, beats.
    """
    notes = health.notes(name)
    while True:
        notes.started()
        how = await _one_life(watch, notes, silence_s)
        if _is_being_cancelled():
            raise asyncio.CancelledError  # because the watcher made another error of it, and nobody cancels twice
        notes.ended(how)
        await clock.sleep(RESTART_S)


async def _one_life(watch: Callable[[Beat], Awaitable[object]], notes: WatcherNotes, silence_s: float | None) -> str:
    """Run the watcher once; how it ended."""
    loop = asyncio.get_running_loop()
    is_over = False
    steady = loop.call_later(STEADY_S, notes.recovered) if silence_s is None else None
    try:
        async with asyncio.timeout(silence_s) as silence:

            def beat() -> None:
                if is_over or silence.expired():
                    return  # because a callback that outlives its watcher must not vouch for the next one
                notes.beat()
                if silence_s is not None:
                    silence.reschedule(loop.time() + silence_s)

            await watch(beat)
    except asyncio.CancelledError:
        if _is_being_cancelled():
            raise
        return "cannot go on: something it waited for was cancelled"
    except Exception as error:  # noqa: BLE001 -- because whatever ends a watcher, it must run again
        if silence.expired():
            return f"cannot tell whether it still watches: no beat for {silence_s:g} s"
        return f"cannot go on: {type(error).__name__}: {error}"
    finally:
        is_over = True
        if steady is not None:
            steady.cancel()
    return "cannot go on: it returned, though a watcher lives until cancelled"


def _is_being_cancelled() -> bool:
    """Whether the running task itself is cancelled, rather than something it awaited."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
