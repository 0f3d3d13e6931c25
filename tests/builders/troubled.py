"""What a store may meet while its daemon runs, done to a real one from outside, with no rights but its user's."""

from __future__ import annotations

import resource
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

from tests.builders.daemon import RunningDaemon


@contextmanager
def a_disk_that_fails(running: RunningDaemon) -> Iterator[str]:
    """The kernel refuses to let the write-ahead log grow: an error of the disk, whoever runs the test."""
    pid, log = running.process.pid, running.data_dir / "volant.db-wal"
    soft, hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (log.stat().st_size, hard))
    try:
        yield "I/O error"
    finally:
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (soft, hard))


@contextmanager
def a_locked_database(running: RunningDaemon) -> Iterator[str]:
    """Another program is in the middle of a transaction."""
    other = sqlite3.connect(running.data_dir / "volant.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    try:
        yield "locked"
    finally:
        other.close()
