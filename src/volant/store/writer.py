"""Who commits: a thread of its own, or the loop itself. Either way by the same `Committer`.

    write() ──▶ waiting jobs ──end of the loop's turn──▶ writer ──Outcome──▶ deliver, on the loop

Jobs that come in one turn of the loop are handed over together, and those that come while a commit is under way share
the next one. So the more there is to write, the less each write costs, and a lone write waits for nobody.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence
from queue import Empty, SimpleQueue
from typing import Protocol

from volant.store.commit import Committer, Job, Outcome

Deliver = Callable[[Outcome], None]


class Writer(Protocol):
    """Takes jobs from the loop and delivers outcomes to it, in commit order."""

    def submit(self, jobs: Sequence[Job]) -> None:
        """Commit these soon. Never blocks on a disk in a thread's case."""
        ...

    async def close(self) -> None:
        """Commit what was submitted, deliver it, and stop."""
        ...

    def abandon(self) -> None:
        """Stop at once. What is not committed never will be, and nothing is delivered any more."""
        ...


class InlineWriter:
    """Commits when it is handed jobs, on the loop: for runs in virtual time, which must not depend on a thread."""

    def __init__(self, committer: Committer, deliver: Deliver, batch: int) -> None:
        self._committer = committer
        self._deliver = deliver
        self._batch = batch

    def submit(self, jobs: Sequence[Job]) -> None:
        """Commits and delivers before it returns."""
        for start in range(0, len(jobs), self._batch):
            self._deliver(self._committer.commit(jobs[start : start + self._batch]))
            while (dropped := self._committer.compact()) is not None:
                self._deliver(dropped)
                if dropped.trouble:
                    break

    async def close(self) -> None:
        """Everything submitted was committed when it was submitted."""
        self._committer.leave()

    def abandon(self) -> None:
        """Nothing is under way between two calls."""


class ThreadWriter:
    """One thread, which lives until `close` or `abandon`. Submissions are lists of jobs; None is the last."""

    def __init__(self, committer: Committer, deliver: Deliver, batch: int, loop: asyncio.AbstractEventLoop) -> None:
        self._committer = committer
        self._deliver = deliver
        self._batch = batch
        self._loop = loop
        self._submitted: SimpleQueue[Sequence[Job] | None] = SimpleQueue()
        self._is_abandoned = False
        self._ended = loop.create_future()
        # A daemon, because a process that is told to end must not wait for a disk that hangs.
        self._thread = threading.Thread(target=self._run, name="volant-store-writer", daemon=True)
        self._thread.start()

    def submit(self, jobs: Sequence[Job]) -> None:
        """Wakes the thread."""
        self._submitted.put(jobs)

    async def close(self) -> None:
        """The thread answers what was submitted, folds the log into the file and ends."""
        self._submitted.put(None)
        await self._ended
        self._thread.join()

    def abandon(self) -> None:
        """Waits for a commit that is under way: it may be on the disk, as after a crash, but nobody hears of it."""
        self._is_abandoned = True
        self._submitted.put(None)
        self._thread.join()

    def _run(self) -> None:
        is_last = False
        while not is_last:
            jobs, is_last = self._take()
            for start in range(0, len(jobs), self._batch):
                if not self._is_abandoned:
                    self._post(self._deliver, self._committer.commit(jobs[start : start + self._batch]))
            self._compact_while_idle()
        if not self._is_abandoned:
            self._committer.leave()
            self._post(self._ended.set_result, None)

    def _take(self) -> tuple[list[Job], bool]:
        """Wait for jobs, then take what is there, about a batch of it; and whether the end was among it."""
        jobs: list[Job] = []
        try:
            submitted = self._submitted.get()
            while submitted is not None:
                jobs += submitted
                if len(jobs) >= self._batch:
                    return jobs, False
                submitted = self._submitted.get_nowait()
        except Empty:
            return jobs, False
        return jobs, True

    def _compact_while_idle(self) -> None:
        """One step after every batch at least, or a log that is written to without pause would grow without bound."""
        while not self._is_abandoned and (dropped := self._committer.compact()) is not None:
            self._post(self._deliver, dropped)
            if dropped.trouble or not self._submitted.empty():
                return

    def _post(self, callback: Callable[..., None], *args: object) -> None:
        try:
            self._loop.call_soon_threadsafe(callback, *args)
        except RuntimeError:
            # The loop is closed: nobody is left who waits. What was committed is found at the next start.
            self._is_abandoned = True
