"""Jobs into commits: the one code path by which anything is ever written.

    BEGIN IMMEDIATE
      is the epoch still ours?              no: nothing is written, by this daemon never again
      SAVEPOINT  job 1  RELEASE             a job that raises is undone alone
      SAVEPOINT  job 2  ROLLBACK TO
      INSERT the events, UPDATE the head
    COMMIT                                  one wait for the disk, however many jobs; it fails for all or for none

Runs on whichever thread owns the writing connection, and talks to nobody: the outcome is handed back to be published.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from volant.clock import Clock, UidFactory
from volant.errors import Fenced, Unavailable, VolantError
from volant.model.event import Committed
from volant.store import epoch as epochs
from volant.store.addresses import Pools
from volant.store.database import DATABASE_ERRORS, Connection, is_trouble, meaning
from volant.store.eventlog import APPEND, compact, event_row
from volant.store.transaction import Transaction
from volant.store.values import StoreSettings

AGE_CHECK_S = 60.0
"""How often the age of the oldest events is looked at. A week, give or take a minute."""


class Job(NamedTuple):
    """A function to run in a transaction, and the future of whoever waits for what it gives."""

    run: Callable[[Transaction], Any]
    future: asyncio.Future[Any]


class Answer(NamedTuple):
    """What became of one job: an error, or else a value."""

    future: asyncio.Future[Any]
    value: Any
    error: Exception | None


class Outcome(NamedTuple):
    """What became of one batch.

    `proved` says that the disk took something; `trouble` why it did not; `fenced` that it never will again.
    """

    revision: int
    oldest_event: int
    events: Sequence[Committed] = ()
    answers: Sequence[Answer] = ()
    proved: bool = False
    trouble: str | None = None
    fenced: Fenced | None = None


class Committer:
    """Owns the writing connection, the revision and the beginning of the event log, for as long as `epoch` lasts."""

    def __init__(
        self,
        connection: Connection,
        *,
        epoch: int,
        clock: Clock,
        uids: UidFactory,
        settings: StoreSettings,
        pools: Pools,
    ) -> None:
        self._connection = connection
        self._epoch = epoch
        self._clock = clock
        self._uids = uids
        self._settings = settings
        self._pools = pools
        self._age_checked_at = clock.monotonic()
        self.busy_since: float | None = None
        """When (monotonic) the commit began that is under way. May be read from any thread."""
        self.revision, self.oldest_event = connection.select("SELECT revision, oldest_event FROM head")[0]

    def commit(self, jobs: Sequence[Job]) -> Outcome:
        """All jobs in one transaction. Never raises: an error that is nobody's own is everybody's answer."""
        self.busy_since = self._clock.monotonic()
        try:
            return self._commit(jobs)
        finally:
            self.busy_since = None

    def _commit(self, jobs: Sequence[Job]) -> Outcome:
        revision, events, answers = self.revision, list[Committed](), list[Answer]()
        try:
            with self._connection.transaction():
                epochs.check(self._connection.execute, self._epoch)
                for job in jobs:
                    # Reading `cancelled` from another thread is safe: at worst the job runs although nobody waits.
                    if not job.future.cancelled():
                        tx = self._transaction(revision)
                        answers.append(self._run(job, tx))
                        if answers[-1].error is None:
                            revision = tx.revision
                            events += tx.events
                proved = self._seal(revision, events) or any(job.run is probe for job in jobs)
        except Exception as error:  # noqa: BLE001 -- because whoever waits must be answered, whatever it was
            return self._failed(error, jobs)
        self.revision = revision
        return Outcome(revision, self.oldest_event, events, answers, proved)

    def compact(self) -> Outcome | None:
        """One small transaction that drops old events; None when there are none to drop. Never raises."""
        settings, keep_since = self._settings, None
        if self._clock.monotonic() - self._age_checked_at >= AGE_CHECK_S:
            keep_since = self._clock.now() - settings.event_keep_s
        elif self.revision - self.oldest_event - settings.event_keep < settings.compact_events:
            return None
        try:
            with self._connection.transaction():
                epochs.check(self._connection.execute, self._epoch)
                oldest = compact(self._connection.execute, settings.event_keep, keep_since, settings.compact_events)
        except Exception as error:  # noqa: BLE001 -- because the jobs before and after have nothing to do with it
            self._age_checked_at = self._clock.monotonic()
            return self._failed(error, ())
        if oldest is None:
            self._age_checked_at = self._clock.monotonic()
            return None
        self.oldest_event = oldest
        return Outcome(self.revision, oldest, proved=True)

    def leave(self) -> None:
        """Let go of the epoch and fold the write-ahead log into the database file: as nice to have as it is to be told.

        Neither is needed, as a killed process shows, and neither harms a successor that is here already.
        """
        try:
            with self._connection.transaction():
                epochs.release(self._connection.execute, self._epoch)
            self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        except DATABASE_ERRORS:
            return

    def _transaction(self, revision: int) -> Transaction:
        return Transaction(
            self._connection.execute, now=self._clock.now(), uids=self._uids, revision=revision, pools=self._pools
        )

    def _run(self, job: Job, tx: Transaction) -> Answer:
        """Run one job under a savepoint. Raises only for trouble that the whole batch is in."""
        execute = self._connection.execute
        execute("SAVEPOINT job")
        try:
            value = job.run(tx)
            tx.end()
        except Exception as error:
            if is_trouble(error):
                raise
            execute("ROLLBACK TO job")
            execute("RELEASE job")
            return Answer(job.future, None, _own(error))
        finally:
            tx.seal()
        execute("RELEASE job")
        return Answer(job.future, value, None)

    def _seal(self, revision: int, events: Sequence[Committed]) -> bool:
        if not events:
            return False
        self._connection.execute_many(APPEND, map(event_row, events))
        self._connection.execute("UPDATE head SET revision = ?", (revision,))
        return True

    def _failed(self, error: Exception, jobs: Sequence[Job]) -> Outcome:
        if isinstance(error, Fenced):
            answers = [Answer(job.future, None, Fenced(error.message)) for job in jobs]
            return Outcome(self.revision, self.oldest_event, (), answers, False, error.message, error)
        trouble = meaning(error)
        answers = [Answer(job.future, None, Unavailable(f"cannot write: {trouble}.")) for job in jobs]
        return Outcome(self.revision, self.oldest_event, (), answers, False, trouble)


def probe(tx: Transaction) -> None:
    """A job that writes something nobody reads: whether the disk takes it is the answer."""
    tx.touch()


def _own(error: Exception) -> Exception:
    """The error as its job's answer. What no caller can be given becomes a VolantError that says so."""
    if isinstance(error, DATABASE_ERRORS):
        return VolantError(f"cannot write: the database refuses it: {error}", code="refused_by_database")
    if isinstance(error, StopIteration):
        # A future takes any exception but this one.
        return VolantError("cannot write: the job ran out of something to iterate over")
    return error
