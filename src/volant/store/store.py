"""The store: every object, every event, every address; read at once, written in order.

    write(job) ──▶ writer ──group commit──▶ SQLite
                              │ after the commit, on the loop
                              ├──▶ bus.publish(events), in commit order
                              └──▶ the futures of the jobs
    find, vms, children, ... ◀── SQLite, the last commit

The store promises:

* What a future has resolved for is on the disk, has been published, and is what the next read sees.
* Jobs are all or nothing. One that raises changes nothing and harms no other.
* When the disk does not take a commit, nothing has changed, nothing is published and every job of it raises
  `Unavailable`. `healthy` is False until a commit succeeds again; nobody needs to restart anything.
* Of all stores that are open on one database the last one writes. The others change nothing: their jobs, and the checks
  before their steps on the host, raise `Fenced`, and `deposed` is set for good.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from volant.bus import Bus
from volant.clock import Clock, UidFactory
from volant.errors import Fenced, StartupError, Unavailable
from volant.model.event import Happening
from volant.model.objects import Object
from volant.model.vm import NetworkMode
from volant.store import epoch as epochs
from volant.store.addresses import Pools, adopt_pools, parse_pools
from volant.store.commit import Committer, Job, Outcome, probe
from volant.store.database import DATABASE_ERRORS, Connection, meaning, open_reading, open_writing, startup_error
from volant.store.epoch import Term
from volant.store.reading import Reading
from volant.store.refused import changed
from volant.store.schema import migrate
from volant.store.transaction import Status, Transaction
from volant.store.values import Holder, Sizes, StoreSettings
from volant.store.writer import InlineWriter, ThreadWriter, Writer
from volant.telemetry import logger

T = TypeVar("T")
Obj = TypeVar("Obj", bound=Object)

_log = logger("volant.store")

STALL_S = 10.0
"""A commit that takes longer has met a disk that does not answer. Waiting for a lock takes a fifth of it."""

DEPOSED = "another daemon has taken over this data directory"

_CONFIRM = "SELECT epoch, EXISTS (SELECT 1 FROM objects WHERE uid = ? AND revision = ?) FROM lease"


class Store(Reading):
    """Made by `open`. Lives on one loop: that of the first write."""

    def __init__(  # noqa: PLR0913 -- what a store is made of
        self,
        writing: Connection,
        reading: Connection,
        *,
        term: Term,
        bus: Bus,
        clock: Clock,
        uids: UidFactory,
        settings: StoreSettings,
        pools: Pools,
    ) -> None:
        super().__init__(reading)
        self._connections = (reading, writing)
        self._path = Path(str(writing.db.database))
        self._bus = bus
        self._clock = clock
        self._settings = settings
        self._committer = Committer(writing, epoch=term.epoch, clock=clock, uids=uids, settings=settings, pools=pools)
        self._writer: Writer | None = None
        self._waiting: list[Job] = []
        self._unanswered: set[asyncio.Future[Any]] = set()
        self._is_closed = False
        self._is_stalled = False
        self._is_abandoned = False
        self.epoch = term.epoch
        """Grows with each daemon that opens the database; only the last one's may write (S3)."""
        self.predecessor = term.predecessor
        """Who had the database before and has not let go of it. Whether it still lives is for others to find out."""
        self.deposed = asyncio.Event()
        """Set once another store is known to have been opened on the database. This one is of no more use."""
        self.fenced: Fenced | None = None
        """What it raises since."""
        self.revision: int = self._committer.revision
        """Of the last commit that was published."""
        self.oldest_event: int = self._committer.oldest_event
        """A reader may resume after this revision or a later one."""
        self.trouble: str | None = None
        """Why the last commit failed; None when it did not."""
        self.in_trouble = asyncio.Event()
        """Set while there is a `trouble`."""
        bus.start_at(self.revision)

    @classmethod
    def open(  # noqa: PLR0913 -- what a store is made of
        cls,
        path: Path,
        *,
        bus: Bus,
        clock: Clock,
        uids: UidFactory,
        pool: str | Mapping[NetworkMode, str],
        mode: NetworkMode = "user",
        settings: StoreSettings | None = None,
        holder: Holder | None = None,
    ) -> Store:
        """Open the database at `path`, made or migrated as needed; its directory must exist. Deposes whoever has it.

        `pool` is the network that VMs get addresses of: that of `mode`, or of each mode that has one. `mode` is that of
        a VM that asks for none, `holder` who we are. Raises StartupError with a sentence for the operator.
        """
        settings = settings or StoreSettings()
        pools = parse_pools(mode, {mode: pool} if isinstance(pool, str) else pool)
        opened: list[Connection] = []
        try:
            opened.append(open_writing(path, settings))
            migrate(opened[0], path)
            _check(opened[0], path)
            with opened[0].transaction():
                term = epochs.take(opened[0].execute, holder, clock.now())
                adopt_pools(opened[0].execute, pools)
            opened.append(open_reading(path))
            return cls(*opened, term=term, bus=bus, clock=clock, uids=uids, settings=settings, pools=pools)
        except (*DATABASE_ERRORS, OSError, StartupError) as error:
            for connection in opened:
                connection.close()
            raise error if isinstance(error, StartupError) else startup_error(path, error) from error

    @property
    def healthy(self) -> bool:
        """Whether the last commit succeeded (S4)."""
        return self.trouble is None

    @property
    def path(self) -> Path:
        """The database file."""
        return self._path

    def confirm(self, obj: Object) -> None:
        """The store still holds exactly this object, and is ours to act for: else Conflict, or Fenced.

        For the moment before a step on the host (V12, S3).
        """
        ((epoch, is_there),) = self._select(_CONFIRM, (obj.meta.uid, obj.meta.revision))
        if epoch != self.epoch:
            self.check_epoch()
        if not is_there:
            raise changed(obj, self.find_uid(obj.meta.uid))

    def check_epoch(self) -> None:
        """No other daemon has opened the database, or Fenced. For a step on the host that is about no object (S3)."""
        try:
            epochs.check(self._reader.execute, self.epoch)
        except Fenced as error:
            self._depose(error)
            raise
        except DATABASE_ERRORS as error:
            raise Unavailable(f"cannot read: {meaning(error)}.") from error

    def check_disk(self) -> None:
        """Note the trouble when a commit has been under way for too long, in which case writes are refused at once.

        To be called every so often. The end of that commit tells that it is over.
        """
        since = self._committer.busy_since
        if since is not None and not self._is_stalled and self._clock.monotonic() - since >= STALL_S:
            self._is_stalled = True
            self._in_trouble(f"the disk has not answered for {STALL_S:.0f} s. Check the disk")

    def sizes(self) -> Sizes:
        """Of the files on the disk, as far as they can be seen."""
        return Sizes(_size(self._path), _size(self._path.with_name(f"{self._path.name}-wal")))

    async def write(self, job: Callable[[Transaction], T]) -> T:
        """What `job` gives, once it is on the disk and published. Raises what it raises, or Unavailable.

        The job runs on the writer's thread: it must touch nothing but its transaction, and may run though the caller is
        cancelled meanwhile.
        """
        if self._is_closed:
            raise Unavailable("cannot write: the store is closed")
        if self._is_stalled:
            # Because more jobs would only wait behind the one that the disk does not answer.
            raise Unavailable(f"cannot write: {self.trouble}.")
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        if not self._waiting:
            loop.call_soon(self._hand_over)
        self._waiting.append(Job(job, future))
        self._unanswered.add(future)
        try:
            return await future
        finally:
            self._unanswered.discard(future)

    async def create(self, obj: Obj, happening: Happening) -> Obj:
        """Store a new object. Raises AlreadyExists."""
        return await self.write(lambda tx: tx.insert(obj, happening))

    async def update_status(self, obj: Obj, status: Status, happening: Happening) -> Obj:
        """The object with that status. Raises Conflict when the store no longer holds exactly `obj`.

        A status that it has already is not written, and costs a look-up (L7).
        """
        if status == obj.status:
            self.confirm(obj)
            return obj
        return await self.write(lambda tx: tx.update_status(obj, status, happening))

    async def finalize(self, obj: Object, finalizer: str, happening: Happening) -> None:
        """`finalizer` has cleaned up; the row goes with the last one. Raises Conflict as `update_status` does."""
        await self.write(lambda tx: tx.finalize(obj, finalizer, happening))

    async def probe(self) -> bool:
        """Try whether the disk takes a write; `healthy` afterwards."""
        try:
            await self.write(probe)
        except Unavailable:
            return False
        return self.healthy

    async def close(self) -> None:
        """Commit and publish what was asked for so far, then let go of the database. Idempotent."""
        if self._is_closed:
            return
        self._hand_over()
        self._is_closed = True
        if self._writer is not None:
            await self._writer.close()
        else:
            self._committer.leave()
        for connection in self._connections:
            connection.close()

    def abandon(self) -> None:
        """Let go as a killed process would: what is not committed is lost, nobody is told of anything any more.

        Whoever waits for a write is cancelled. The database is left for the next `open` to recover.
        """
        if self._is_closed:
            return
        self._is_closed = self._is_abandoned = True
        if self._writer is not None:
            self._writer.abandon()
        for future in self._unanswered:
            future.cancel()
        for connection in reversed(self._connections):
            connection.close()

    def _hand_over(self) -> None:
        jobs, self._waiting = self._waiting, []
        if not jobs or self._is_closed:
            return
        if self._writer is None:
            self._writer = self._start_writer()
        self._writer.submit(jobs)

    def _start_writer(self) -> Writer:
        batch = self._settings.batch
        if self._settings.inline:
            return InlineWriter(self._committer, self._deliver, batch)
        return ThreadWriter(self._committer, self._deliver, batch, asyncio.get_running_loop())

    def _deliver(self, outcome: Outcome) -> None:
        """On the loop, in commit order: first everybody hears of it, then those who asked for it."""
        if self._is_abandoned:
            return
        self._is_stalled = False
        self._note(outcome)
        self.revision, self.oldest_event = outcome.revision, outcome.oldest_event
        self._bus.publish(outcome.events)
        for future, value, error in outcome.answers:
            if future.done():
                continue
            if error is None:
                future.set_result(value)
            else:
                future.set_exception(error)

    def _note(self, outcome: Outcome) -> None:
        if outcome.fenced is not None:
            self._depose(outcome.fenced)
        elif outcome.trouble is not None:
            self._in_trouble(outcome.trouble)
        elif outcome.proved and self.trouble is not None:
            _log.info("store.writes_again", after=self.trouble)
            self.trouble = None
            self.in_trouble.clear()

    def _in_trouble(self, trouble: str) -> None:
        if self.trouble is None:
            _log.error("store.cannot_write", trouble=trouble)
        self.trouble = trouble
        self.in_trouble.set()

    def _depose(self, error: Fenced) -> None:
        if self.fenced is None:
            _log.error("store.deposed", epoch=self.epoch, message=error.message)
        self.fenced = error
        self.trouble = DEPOSED
        self.in_trouble.set()
        self.deposed.set()


def _check(connection: Connection, path: Path) -> None:
    """Damage shows at the start rather than in the middle of a job. Looks at what cannot be had again."""
    for table in ("objects", "addresses", "head"):
        ((said,),) = connection.select(f"PRAGMA quick_check({table})")[:1]
        if said != "ok":
            raise StartupError(
                f"cannot open {path}: it is damaged ({said}). Restore it from a copy, or use another --data-dir."
            )


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
