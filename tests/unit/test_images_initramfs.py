"""One file out of an initramfs: the one that the kernel would find, and nothing of what an archive may try instead."""

from __future__ import annotations

import gzip
import lzma
import stat
from pathlib import Path

import pytest

from volant.errors import ArtifactRefused, ArtifactUnavailable
from volant.images.initramfs import MAX_ENTRIES, read_file
from volant.images.newc import Entry, character_device, directory, gzip_bytes, newc, regular, symlink

WANTED = "/etc/api.json"
LIMIT = 1 << 16
ONE = newc([directory("etc"), regular("etc/api.json", b"one"), regular("etc/other", b"other")])
TWO = newc([regular("etc/api.json", b"two, and longer")])
NONE = newc([regular("init", b"#!/bin/sh\n" * 100, 0o755)])


def header(
    name: bytes, size: int, *, inode: int = 1, mode: int = stat.S_IFREG | 0o644, links: int = 1, name_size: int = 0
) -> bytes:
    """One header with its name, by hand."""
    fields = (inode, mode, 0, 0, links, 0, size, 0, 0, 0, 0, name_size or len(name) + 1, 0)
    raw = b"070701" + b"".join(b"%08X" % field for field in fields) + name + b"\0"
    return raw + b"\0" * (-len(raw) % 4)


def data(content: bytes) -> bytes:
    """Content as it stands in an archive."""
    return content + b"\0" * (-len(content) % 4)


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    """Where the initramfs is."""
    return tmp_path / "initramfs"


def found(archive: Path, content: bytes, name: str = WANTED) -> bytes:
    """The file in an initramfs with that content."""
    archive.write_bytes(content)
    return read_file(archive, name, max_file=LIMIT)


def refused(archive: Path, content: bytes, name: str = WANTED, **limits: int) -> str:
    """Why there is no such file."""
    archive.write_bytes(content)
    with pytest.raises(ArtifactRefused, match=r"^cannot (read|find|look for) ") as refusal:
        read_file(archive, name, max_file=LIMIT, **limits)
    return refusal.value.message


@pytest.mark.parametrize(
    "content",
    [
        ONE,
        gzip_bytes(ONE),
        gzip.compress(ONE),
        NONE + ONE,
        NONE + gzip_bytes(ONE),
        b"\0" * 512 + NONE + b"\0" * 1000 + gzip_bytes(ONE) + b"\0" * 7,
        gzip_bytes(NONE) + gzip_bytes(ONE) + NONE,
        gzip_bytes(NONE + b"\0" * 64 + ONE),
        gzip_bytes(b"") + ONE,
        ONE.replace(b"070701", b"070702"),
    ],
    ids=["plain", "gzip", "python's gzip", "two", "early", "padded", "three", "two in one", "empty", "crc"],
)
def test_a_file_is_found_in_whatever_the_kernel_takes(archive: Path, content: bytes) -> None:
    assert found(archive, content) == b"one"


@pytest.mark.parametrize("content", [ONE + TWO, ONE + gzip_bytes(TWO), gzip_bytes(ONE + TWO)])
def test_of_two_files_of_one_name_the_later_one_counts(archive: Path, content: bytes) -> None:
    assert found(archive, content) == b"two, and longer"


@pytest.mark.parametrize("name", ["./etc/api.json", "/etc/api.json", "etc//api.json", "./././etc/./api.json"])
def test_names_are_relative_to_the_root_however_they_are_written(archive: Path, name: str) -> None:
    content = header(name.encode(), 3) + data(b"one") + newc([])
    assert found(archive, content) == b"one"


def test_an_empty_file_is_a_file(archive: Path) -> None:
    assert found(archive, newc([regular("etc/api.json", b"")])) == b""


def test_a_file_that_is_not_there_is_said_not_to_be(archive: Path) -> None:
    assert refused(archive, NONE) == f"cannot find {WANTED} in the initramfs"
    assert refused(archive, b"") == f"cannot find {WANTED} in the initramfs"
    assert refused(archive, newc([Entry("x", stat.S_IFREG, b"etc/api.json")])).startswith("cannot find")


@pytest.mark.parametrize(
    ("entry", "why"),
    [
        (symlink("etc/api.json", "/etc/shadow"), "symbolic link"),
        (symlink("etc/api.json", "other"), "symbolic link"),
        (directory("etc/api.json"), "not a regular file"),
        (character_device("etc/api.json", 1, 5), "not a regular file"),
        (Entry("etc/api.json", stat.S_IFIFO | 0o600), "not a regular file"),
        (regular("etc/api.json", b"x" * (LIMIT + 1)), f"larger than {LIMIT} bytes"),
    ],
)
def test_what_is_no_small_regular_file_is_not_read(archive: Path, entry: Entry, why: str) -> None:
    assert why in refused(archive, newc([directory("etc"), entry]))
    assert why in refused(archive, ONE + newc([entry])), "the later one counts, also if it cannot be read"
    assert found(archive, newc([entry]) + TWO) == b"two, and longer"


def test_a_link_leads_nowhere_also_on_the_way(archive: Path) -> None:
    content = newc([symlink("config", "/etc"), regular("etc/api.json", b"one")])
    assert "cannot find" in refused(archive, content, "/config/api.json")


def test_a_file_outside_the_archive_is_never_read(archive: Path, tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(b"secret")
    outside = str(tmp_path / "secret")
    content = newc([symlink("etc/api.json", outside), symlink(outside.lstrip("/"), outside)])
    assert "symbolic link" in refused(archive, content)
    assert "symbolic link" in refused(archive, content, outside)


def test_names_of_one_file_share_the_data_that_stands_with_the_last(archive: Path) -> None:
    names = [header(b"a", 0, links=3), header(b"etc/api.json", 0, links=3), header(b"z", 5, links=3) + data(b"links")]
    assert found(archive, b"".join(names) + newc([])) == b"links"
    assert found(archive, b"".join(names) + newc([]), "/z") == b"links"
    elsewhere = b"".join(names[:2]) + newc([]) + names[2] + newc([])
    assert found(archive, elsewhere) == b"", "inodes are counted anew in each archive"
    large = b"".join(names[:2]) + header(b"z", LIMIT + 1, links=3) + data(b"x" * (LIMIT + 1)) + newc([])
    assert "larger than" in refused(archive, large)


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"hello", "no cpio archive"),
        (b"070707" + b"0" * 200, "no cpio archive"),
        (b"070701" + b"Z" * 200, "no cpio archive"),
        (b"070701" + b"+1234567" * 13 + b"x" * 99, "no cpio archive"),
        (gzip_bytes(b"hello"), "no cpio archive"),
        (gzip_bytes(gzip_bytes(ONE)), "no cpio archive"),
        (lzma.compress(ONE), "compressed by xz"),
        (b"\x28\xb5\x2f\xfd" + ONE, "compressed by zstd"),
        (b"\x02\x21\x4c\x18" + ONE, "compressed by lz4"),
        (b"BZh9" + ONE, "compressed by bzip2"),
        (NONE[:-200], "ends in the middle"),
        (gzip_bytes(NONE)[:-30], "ends in the middle"),
        (gzip_bytes(NONE)[:20] + b"\xff" * 40, "gzip data is damaged"),
        (b"\x1f\x8b" + b"\xff" * 40, "gzip data is damaged"),
        (header(b"x", 0xFFFFFFFF) + NONE, "ends in the middle"),
        (NONE + b"trailing", "no cpio archive"),
    ],
)
def test_an_archive_that_cannot_be_read_is_told_why(archive: Path, content: bytes, why: str) -> None:
    message = refused(archive, content)
    assert message.startswith(f"cannot look for {WANTED} in the initramfs: ")
    assert why in message


def test_what_stands_before_damage_is_found(archive: Path) -> None:
    assert found(archive, ONE + b"trailing") == b"one"
    assert found(archive, ONE[: ONE.index(b"etc/other") + 20]) == b"one"


def test_half_a_file_is_none_and_what_was_there_before_is_gone(archive: Path) -> None:
    assert "ends in the middle" in refused(archive, ONE + gzip_bytes(TWO)[:-40])
    assert "ends in the middle" in refused(archive, ONE + TWO[: TWO.index(b"longer")])


@pytest.mark.parametrize("name_size", [5000, 0xFFFF])
def test_a_name_that_the_kernel_passes_over_is_passed_over(archive: Path, name_size: int) -> None:
    raw = header(b"n" * (name_size - 1), 4) + data(b"data")
    assert found(archive, raw + ONE) == b"one"


def test_what_is_looked_at_is_bounded(archive: Path) -> None:
    bomb = gzip_bytes(newc([regular("zeros", bytes(8 << 20))]) + ONE)
    assert len(bomb) < 10_000
    assert "larger than what is looked at" in refused(archive, bomb, max_bytes=4 << 20)
    assert "larger than what is looked at" in refused(archive, bytes(8 << 20) + ONE, max_bytes=4 << 20)
    assert "more entries" in refused(archive, gzip_bytes(b"") * (MAX_ENTRIES + 1) + ONE)


def test_an_archive_that_is_gone_is_worth_another_try(tmp_path: Path) -> None:
    with pytest.raises(ArtifactUnavailable, match="cannot read the initramfs"):
        read_file(tmp_path / "gone", WANTED, max_file=LIMIT)
    with pytest.raises(ArtifactUnavailable, match="cannot read the initramfs"):
        read_file(tmp_path, WANTED, max_file=LIMIT)
