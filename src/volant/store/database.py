"""Connections to the database file, and what their errors mean to people.

One connection writes; another, opened read-only, reads on the loop thread. Under write-ahead logging neither waits for
the other, and a read sees the last commit. The reader being read-only has a second use: when it is the last to close,
SQLite cannot fold the log into the file, and what lies on the disk is what a killed process would have left.
"""

from __future__ import annotations

import errno
import os
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import peewee

from volant.errors import StartupError
from volant.store.values import StoreSettings

Row = tuple[Any, ...]
Execute = Callable[..., sqlite3.Cursor]
"""`execute(sql, params)`, raising the errors of sqlite3."""

DATABASE_ERRORS = (peewee.PeeweeException, sqlite3.Error)
"""peewee's come from opening and migrating, sqlite3's from everything else."""

_ABOUT_THE_STATEMENT = (sqlite3.IntegrityError, sqlite3.InterfaceError, sqlite3.ProgrammingError, sqlite3.DataError)

_RIGHTS = "it may not be written. Check the owner and the rights of the file and its directory"
_MEANINGS = (
    ("SQLITE_FULL", "the disk is full. Free some space"),
    ("SQLITE_BUSY", "another program has the database locked. Close it"),
    ("SQLITE_LOCKED", "another program has the database locked. Close it"),
    ("SQLITE_READONLY", _RIGHTS),
    ("SQLITE_CANTOPEN", "it cannot be opened or created. Check that its directory exists and may be written"),
    ("SQLITE_NOTADB", "it is not a database. Move it away, or use another --data-dir"),
    ("SQLITE_CORRUPT", "it is damaged. Restore it from a copy, or use another --data-dir"),
    ("SQLITE_IOERR", "the disk reports an I/O error. Check the disk"),
)

_OF_THE_SYSTEM = {
    errno.ENOSPC: "the disk is full. Free some space",
    errno.EACCES: _RIGHTS,
    errno.EPERM: _RIGHTS,
    errno.EROFS: _RIGHTS,
    errno.ENOENT: "its directory does not exist. Make it first",
    errno.ENOTDIR: "what should be its directory is a file. Use another --data-dir",
    errno.EISDIR: "it is a directory. Use another --data-dir",
}


class Connection:
    """One connection. Any thread may use it, but only one at a time.

    peewee opens it and makes the tables. Statements go to the connection itself, because a look-up by key takes 4 us
    there, 5 us through peewee's `execute_sql` and near 180 us through its query builder.
    """

    def __init__(self, db: peewee.SqliteDatabase) -> None:
        self.db = db
        self._raw: sqlite3.Connection = db.connection()  # type: ignore[no-untyped-call]  # the stub has no types
        self.execute: Execute = self._raw.execute

    def select(self, sql: str, params: Sequence[object] = ()) -> list[Row]:
        """All rows at once: a cursor left open would hold on to an old state."""
        return self.execute(sql, params).fetchall()

    def execute_many(self, sql: str, rows: Iterable[Sequence[object]]) -> None:
        """One statement for many rows."""
        self._raw.executemany(sql, rows)

    @contextmanager
    def transaction(self, lock: str = "IMMEDIATE") -> Iterator[None]:
        """Takes the lock at once, commits at the end, rolls back on any exception.

        Not peewee's `atomic`: after a full disk SQLite has rolled back already, and `atomic` would report that there is
        nothing to roll back instead of the full disk.
        """
        self.execute(f"BEGIN {lock}")
        try:
            yield
            self.execute("COMMIT")
        except BaseException:
            if self._raw.in_transaction:
                self.execute("ROLLBACK")
            raise

    def close(self) -> None:
        """Idempotent."""
        self.db.close()


def open_writing(path: Path, settings: StoreSettings) -> Connection:
    """The connection that makes the file when there is none, readable to its owner only."""
    if not path.exists():
        # Before SQLite does, because documents hold users' data and SQLite gives its log files the mode of this one.
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
    pragmas = [
        ("journal_mode", "wal"),
        ("synchronous", settings.synchronous),
        # Caps what the log keeps of the disk after a burst.
        ("journal_size_limit", 64 << 20),
    ]
    connection = _connect(str(path), pragmas, timeout=settings.busy_s)
    if connection.select("PRAGMA journal_mode") != [("wal",)]:
        connection.close()
        raise StartupError(f"cannot open {path}: its file system has no shared memory. Use another --data-dir.")
    return connection


_READING = [("query_only", 1), ("cache_size", -32 * 1024)]
"""32 MiB of pages: with SQLite's own 2 MiB, ten thousand VMs are read from the kernel again and again."""


def open_reading(path: Path) -> Connection:
    """A read-only connection to a database that the writing one has open."""
    connection = _connect(f"{path.absolute().as_uri()}?mode=ro", _READING, uri=True)
    # A connection joins the write-ahead log at its first look; from then on the writing one is not the last to close.
    connection.select("SELECT 1 FROM head")
    return connection


def open_memory() -> Connection:
    """A database that no file is made for, from which others can be attached."""
    return _connect(":memory:", [("journal_mode", "memory"), ("synchronous", "off")], uri=True)


def _connect(database: str, pragmas: Sequence[tuple[str, object]], **options: Any) -> Connection:
    # thread_safe=False keeps the state in the object rather than in the thread, because the writing connection is
    # opened by one thread and handed to another.
    db = peewee.SqliteDatabase(
        database, pragmas=pragmas, autoconnect=False, thread_safe=False, check_same_thread=False, **options
    )
    db.connect()
    return Connection(db)


def is_trouble(error: BaseException) -> bool:
    """Whether the store itself is in trouble, as opposed to one statement being wrong."""
    return isinstance(error, DATABASE_ERRORS) and not isinstance(error, _ABOUT_THE_STATEMENT)


def meaning(error: BaseException) -> str:
    """What an error means and what to do about it, without a full stop."""
    if isinstance(error, OSError):
        return _OF_THE_SYSTEM.get(error.errno or 0) or f"{error.strerror}. Check the disk and its rights"
    if not isinstance(error, DATABASE_ERRORS):
        return f"{type(error).__name__}: {error}"
    cause = error if isinstance(error, sqlite3.Error) else error.__context__
    name = getattr(cause, "sqlite_errorname", "")
    said = next((words for prefix, words in _MEANINGS if name.startswith(prefix)), None)
    return said or f"the database says: {error}"


def startup_error(path: Path, error: BaseException) -> StartupError:
    """Why the database at `path` cannot be used, in one sentence and what to do in another."""
    return StartupError(f"cannot open {path}: {meaning(error)}.")
