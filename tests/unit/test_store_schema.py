"""The schema: version by version, and never the other way."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
from tests.builders.objects import a_vm
from tests.builders.stores import CREATED, a_store, open_store

from volant.errors import StartupError
from volant.store import StoreSettings
from volant.store.database import Connection, open_writing
from volant.store.schema import APPLICATION_ID, MIGRATIONS, migrate

VERSION_1 = """
CREATE INDEX "objectrow_kind" ON "objects" ("kind")
CREATE INDEX "objectrow_plugin_kind" ON "objects" ("plugin", "kind")
CREATE INDEX "objects_children" ON "objects" ("owner_uid", "seq", "name", "uid", "revision", "is_running", "is_ready", \
"is_deleting") WHERE ("owner_uid" IS NOT NULL)
CREATE TABLE "addresses" ("address" INTEGER NOT NULL PRIMARY KEY, "uid" TEXT NOT NULL) STRICT
CREATE TABLE "events" ("revision" INTEGER NOT NULL PRIMARY KEY, "type" TEXT NOT NULL, "kind" TEXT NOT NULL, \
"name" TEXT NOT NULL, "uid" TEXT NOT NULL, "owner_kind" TEXT, "owner_name" TEXT, "owner_uid" TEXT, "plugin" TEXT, \
"at" REAL NOT NULL, "data" BLOB NOT NULL) STRICT
CREATE TABLE "free_ranges" ("first" INTEGER NOT NULL PRIMARY KEY, "last" INTEGER NOT NULL) STRICT
CREATE TABLE "head" ("id" INTEGER NOT NULL PRIMARY KEY, "revision" INTEGER NOT NULL, "oldest_event" INTEGER NOT NULL, \
"pool" TEXT NOT NULL, "probes" INTEGER NOT NULL) STRICT
CREATE TABLE "objects" ("seq" INTEGER NOT NULL PRIMARY KEY, "kind" TEXT NOT NULL, "name" TEXT NOT NULL, \
"uid" TEXT NOT NULL, "revision" INTEGER NOT NULL, "generation" INTEGER NOT NULL, "owner_uid" TEXT, "plugin" TEXT, \
"is_running" INTEGER NOT NULL, "is_ready" INTEGER NOT NULL, "is_deleting" INTEGER NOT NULL, "doc" BLOB NOT NULL) STRICT
CREATE UNIQUE INDEX "addressrow_uid" ON "addresses" ("uid")
CREATE UNIQUE INDEX "objectrow_kind_name" ON "objects" ("kind", "name")
CREATE UNIQUE INDEX "objectrow_uid" ON "objects" ("uid")
"""
"""What migration 1 makes. Databases out there are so: a new shape is a new migration, not a change of this."""


def opened(path: Path) -> Connection:
    return open_writing(path, StoreSettings())


def version(path: Path) -> int:
    database = sqlite3.connect(path)
    ((number,),) = database.execute("PRAGMA user_version").fetchall()
    database.close()
    return int(number)


def set_pragma(path: Path, pragma: str, value: int) -> None:
    database = sqlite3.connect(path)
    database.execute(f"PRAGMA {pragma} = {value}")
    database.close()


def test_migration_1_makes_what_it_always_made(tmp_path: Path) -> None:
    connection = opened(tmp_path / "volant.db")
    migrate(connection, tmp_path / "volant.db", MIGRATIONS[:1])
    made = [sql for (sql,) in connection.select("SELECT sql FROM sqlite_master WHERE sql NOT NULL ORDER BY sql")]
    connection.close()
    assert made == VERSION_1.strip().splitlines()


def test_an_older_database_becomes_what_a_fresh_one_is(tmp_path: Path) -> None:
    """An operator starts a newer Volant: each missing step is taken, in order, and the rows stay."""

    def make(connection: Connection) -> None:
        connection.execute("CREATE TABLE things (name TEXT)")

    def add_colour(connection: Connection) -> None:
        connection.execute("ALTER TABLE things ADD COLUMN colour TEXT DEFAULT 'grey'")

    def paint(connection: Connection) -> None:
        connection.execute("UPDATE things SET colour = 'red' WHERE name = 'old'")

    path = tmp_path / "volant.db"
    connection = opened(path)
    migrate(connection, path, [make])
    connection.execute("INSERT INTO things (name) VALUES ('old')")
    connection.close()
    assert version(path) == 1

    connection = opened(path)
    migrate(connection, path, [make, add_colour, paint])
    assert connection.select("SELECT * FROM things") == [("old", "red")]
    migrate(connection, path, [make, add_colour, paint])
    connection.close()
    assert version(path) == 3


def test_a_migration_that_fails_leaves_the_version_before(tmp_path: Path) -> None:
    def make(connection: Connection) -> None:
        connection.execute("CREATE TABLE things (name TEXT)")

    def half(connection: Connection) -> None:
        connection.execute("CREATE TABLE more (name TEXT)")
        connection.execute("INSERT INTO nowhere VALUES (1)")

    path = tmp_path / "volant.db"
    connection = opened(path)
    with pytest.raises(sqlite3.OperationalError):
        migrate(connection, path, [make, half])
    assert connection.select("SELECT name FROM sqlite_master") == [("things",)]
    connection.close()
    assert version(path) == 1


async def test_a_newer_database_is_refused_and_left_alone(tmp_path: Path) -> None:
    async with a_store(tmp_path) as store:
        await store.create(a_vm(), CREATED)
    path = tmp_path / "volant.db"
    set_pragma(path, "user_version", len(MIGRATIONS) + 1)
    before = path.read_bytes()
    with pytest.raises(StartupError) as refused:
        open_store(tmp_path)
    assert refused.value.message == (
        f"cannot open {path}: it was written by a newer Volant (schema {len(MIGRATIONS) + 1}, this one knows "
        f"{len(MIGRATIONS)}). Upgrade, or use another --data-dir."
    )
    assert path.read_bytes() == before


async def test_another_programs_database_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "volant.db"
    database = sqlite3.connect(path)
    database.execute("CREATE TABLE bookmarks (url TEXT)")
    database.close()
    with pytest.raises(StartupError, match=r"cannot open .*volant\.db: another program made it"):
        open_store(tmp_path)


async def test_an_empty_file_is_a_fresh_database(tmp_path: Path) -> None:
    """A crash between making the file and the first migration."""
    (tmp_path / "volant.db").touch()
    async with a_store(tmp_path) as store:
        assert store.revision == 0
    database = sqlite3.connect(tmp_path / "volant.db")
    assert database.execute("PRAGMA application_id").fetchall() == [(APPLICATION_ID,)]
    database.close()
