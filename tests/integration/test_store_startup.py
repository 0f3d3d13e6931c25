"""A database that cannot be used: one sentence that says why, another that says what to do, and nothing lost."""

from __future__ import annotations

import errno
import os
import sqlite3
from pathlib import Path

import pytest
from tests.builders.objects import a_vm
from tests.builders.stores import CREATED, a_store, open_store

from volant.errors import StartupError
from volant.store.database import meaning


def refusal(directory: Path) -> str:
    with pytest.raises(StartupError) as refused:
        open_store(directory)
    head = f"cannot open {directory / 'volant.db'}: "
    assert refused.value.message.startswith(head)
    assert refused.value.message.endswith(".")
    return refused.value.message.removeprefix(head)


def test_a_file_that_is_no_database(tmp_path: Path) -> None:
    (tmp_path / "volant.db").write_bytes(b"not a database at all\n" * 1000)
    assert refusal(tmp_path) == "it is not a database. Move it away, or use another --data-dir."
    assert (tmp_path / "volant.db").read_bytes().startswith(b"not a database")


def test_a_missing_directory(tmp_path: Path) -> None:
    assert refusal(tmp_path / "nowhere") == "its directory does not exist. Make it first."


def test_a_directory_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert refusal(tmp_path / "file") == "what should be its directory is a file. Use another --data-dir."


def test_a_database_that_is_a_directory(tmp_path: Path) -> None:
    (tmp_path / "volant.db").mkdir()
    assert "it cannot be opened or created" in refusal(tmp_path)


def test_a_locked_database(tmp_path: Path) -> None:
    open_store(tmp_path).abandon()
    other = sqlite3.connect(tmp_path / "volant.db", isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    with pytest.raises(StartupError, match="another program has the database locked"):
        open_store(tmp_path, busy_s=0.05)
    other.close()


@pytest.mark.parametrize("page", range(1, 14))
async def test_a_damaged_database_is_refused_or_whole(tmp_path: Path, page: int) -> None:
    """Whichever page is lost: what cannot be read is found at the start, not by a controller at work."""
    async with a_store(tmp_path) as store:
        for n in range(10):
            await store.create(a_vm(f"web-{n}"), CREATED)
        whole = store.vms()
    path = tmp_path / "volant.db"
    with path.open("r+b") as file:
        file.seek(page * 4096)
        file.write(os.urandom(4096))
    try:
        store = open_store(tmp_path)
    except StartupError as refused:
        assert "it is damaged" in refused.message
        return
    assert store.vms() == whole
    store.abandon()


async def test_half_a_database(tmp_path: Path) -> None:
    async with a_store(tmp_path) as store:
        await store.create(a_vm(), CREATED)
    path = tmp_path / "volant.db"
    os.truncate(path, path.stat().st_size // 2)
    assert "it is damaged" in refusal(tmp_path)


@pytest.mark.parametrize("number", [errno.EACCES, errno.EPERM, errno.EROFS])
def test_missing_rights_are_told_from_a_missing_disk(number: int) -> None:
    assert meaning(OSError(number, os.strerror(number))).startswith("it may not be written. Check the owner")
    assert meaning(OSError(errno.ENOSPC, "")).startswith("the disk is full")
    assert meaning(OSError(errno.EIO, "Input/output error")) == "Input/output error. Check the disk and its rights"
