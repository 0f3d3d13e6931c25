"""What the disk gives: SQLite in WAL mode with `synchronous=FULL`, one transaction at a time, one after the other.

Each transaction is what one durable write of the daemon is at least: an object row of about 300 bytes and an event row
of about 200. The figure is a floor under every write latency, and the ceiling of a store that does not group its
commits.
"""

from __future__ import annotations

import sqlite3
import time
from array import array
from contextlib import closing
from pathlib import Path

from bench.figures import percentile
from bench.host import SERVER_CORES, on_cores

_SCHEMA = """
PRAGMA journal_mode=WAL;
PRAGMA synchronous=FULL;
CREATE TABLE object (id INTEGER PRIMARY KEY, kind TEXT, name TEXT, revision INTEGER, doc BLOB, UNIQUE (kind, name));
CREATE TABLE event (revision INTEGER PRIMARY KEY, kind TEXT, name TEXT, type TEXT, data BLOB);
"""
_DOC = b'{"meta":{' + b"x" * 280 + b"}}"
_DATA = b'{"name":' + b"y" * 180 + b"}"


class Commits:
    """Latencies in seconds of lone durable commits."""

    def __init__(self, latencies: array[float], seconds: float) -> None:
        self.latencies = latencies
        self.rate = len(latencies) / seconds

    def ms(self, share: float) -> float:
        """A percentile in milliseconds."""
        return percentile(self.latencies, share) * 1e3


def commit(directory: Path, seconds: float, most: int = 100_000) -> Commits:
    """Commit for so long (and no more often than `most`) into a new database in `directory`, on the server's core."""
    path = directory / f"commits-{time.monotonic_ns()}.db"
    latencies = array("d")
    clock = time.perf_counter
    with on_cores(SERVER_CORES), closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.executescript(_SCHEMA)
        began = clock()
        while clock() - began < seconds and len(latencies) < most:
            at, n = clock(), len(latencies) + 1
            db.execute("BEGIN IMMEDIATE")
            db.execute("INSERT INTO object VALUES (?, 'VM', ?, ?, ?)", (n, f"vm-{n}", n, _DOC))
            db.execute("INSERT INTO event VALUES (?, 'VM', ?, 'vm.created', ?)", (n, f"vm-{n}", _DATA))
            db.execute("COMMIT")
            latencies.append(clock() - at)
        took = clock() - began
    return Commits(latencies, took)


def together(directory: Path, count: int) -> float:
    """Seconds for so many of them in one transaction: the floor under whatever writes that much at once."""
    path = directory / f"together-{time.monotonic_ns()}.db"
    with on_cores(SERVER_CORES), closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.executescript(_SCHEMA)
        began = time.perf_counter()
        db.execute("BEGIN IMMEDIATE")
        for n in range(1, count + 1):
            db.execute("INSERT INTO object VALUES (?, 'VM', ?, ?, ?)", (n, f"vm-{n}", n, _DOC))
            db.execute("INSERT INTO event VALUES (?, 'VM', ?, 'vm.created', ?)", (n, f"vm-{n}", _DATA))
        db.execute("COMMIT")
        return time.perf_counter() - began
