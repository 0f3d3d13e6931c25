"""Looks after the store: whether it may be written, whether it is still ours, and how large it has grown.

    trouble ──▶ gate closed, an empty commit every PROBE_S ──▶ it succeeds ──▶ gate open
    otherwise ── every LOOK_S: epoch, a commit that does not end, sizes

While the last commit failed nobody acts (S4). A daemon that has nothing to write finds out here that another one has
taken over (S3); whoever runs the engine ends it then.
"""

from __future__ import annotations

import asyncio
import contextlib

from volant.clock import Clock
from volant.errors import Fenced, Unavailable
from volant.reconcile import Beat, Gate
from volant.store import Store
from volant.telemetry import logger

log = logger("volant.daemon")

STORE_TROUBLE = "the store is unavailable"
PROBE_S = 2.0
LOOK_S = 5.0
LOG_ALARM_MB = 256
"""Of the write-ahead log, which is a few MiB unless somebody holds an old state of the database open."""
MIB = 1 << 20


class StoreWatch:
    """One watcher. `size_note` says in one sentence what is too large, for people; empty when nothing is."""

    def __init__(self, store: Store, gate: Gate, clock: Clock, *, alarm_mb: int) -> None:
        """`alarm_mb` is how large the database may become before that is said."""
        self._store = store
        self._gate = gate
        self._clock = clock
        self._alarm_mb = alarm_mb
        self.size_note = ""
        self.next_probe: float | None = None
        """When (monotonic) it is tried again whether the disk takes a write, while it did not."""

    async def watch(self, beat: Beat) -> None:
        """Live until cancelled."""
        while True:
            beat()
            self._look()
            if self._store.healthy:
                self.next_probe = None
                self._gate.open(STORE_TROUBLE)
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(LOOK_S):
                        await self._store.in_trouble.wait()
            else:
                self._gate.close(STORE_TROUBLE)
                await self._store.probe()
                self.next_probe = self._clock.monotonic() + PROBE_S
                await self._clock.sleep(PROBE_S)

    def _look(self) -> None:
        with contextlib.suppress(Fenced, Unavailable):
            self._store.check_epoch()
        self._store.check_disk()
        note = self._too_large()
        if bool(note) != bool(self.size_note):
            log.warning("store.size", message=note or "the database is of a size again that is no cause for alarm")
        self.size_note = note

    def _too_large(self) -> str:
        database, wal = (size // MIB for size in self._store.sizes())
        if wal >= LOG_ALARM_MB:
            return f"volant.db-wal has {wal} MiB: something reads the database for too long, a backup perhaps. End it"
        if database >= self._alarm_mb:
            what_to_do = "lower --event-keep, or raise --database-alarm-mb"
            return f"volant.db has {database} MiB, the alarm is at {self._alarm_mb}: {what_to_do}"
        return ""
