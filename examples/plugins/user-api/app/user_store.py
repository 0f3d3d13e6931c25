"""Users, kept in one SQLite file. What is committed survives the guest."""

from __future__ import annotations

import sqlite3
import threading
from pathlib import Path
from typing import Any

SCHEMA = """
CREATE TABLE IF NOT EXISTS users (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL,
    email TEXT NOT NULL UNIQUE
)
"""


class Taken(Exception):
    """Another user has this address."""


class Users:
    """All users. May be used from several threads: one at a time is at the file."""

    def __init__(self, path: Path) -> None:
        self._db = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        self._db.row_factory = sqlite3.Row
        self._lock = threading.Lock()
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("PRAGMA synchronous=FULL")
        self._db.execute(SCHEMA)

    def close(self) -> None:
        """Give the file back."""
        with self._lock:
            self._db.close()

    def all(self, limit: int, offset: int) -> list[dict[str, Any]]:
        """Some of them, in the order in which they came."""
        return self._rows("SELECT * FROM users ORDER BY id LIMIT ? OFFSET ?", limit, offset)

    def get(self, number: int) -> dict[str, Any] | None:
        """One of them."""
        return next(iter(self._rows("SELECT * FROM users WHERE id = ?", number)), None)

    def add(self, name: str, email: str) -> dict[str, Any]:
        """A new one. Raises Taken."""
        return self._rows("INSERT INTO users (name, email) VALUES (?, ?) RETURNING *", name, email)[0]

    def change(self, number: int, name: str, email: str) -> dict[str, Any] | None:
        """One of them, as it is now. Raises Taken."""
        statement = "UPDATE users SET name = ?, email = ? WHERE id = ? RETURNING *"
        return next(iter(self._rows(statement, name, email, number)), None)

    def remove(self, number: int) -> bool:
        """Whether there was such a one."""
        return bool(self._rows("DELETE FROM users WHERE id = ? RETURNING id", number))

    def _rows(self, statement: str, *values: object) -> list[dict[str, Any]]:
        with self._lock:
            try:
                return [dict(row) for row in self._db.execute(statement, values).fetchall()]
            except sqlite3.IntegrityError as error:
                raise Taken from error
