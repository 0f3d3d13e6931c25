"""Archives: what is written can be read back, and equal input gives equal bytes."""

from __future__ import annotations

import gzip
import io
import stat
import subprocess
from pathlib import Path
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from volant.images.newc import (
    TRAILER,
    Entry,
    character_device,
    directory,
    gzip_bytes,
    newc,
    regular,
    symlink,
)

BUSYBOX = "/bin/busybox"


class Read(NamedTuple):
    """One entry, as a reader that shares nothing with the writer finds it."""

    name: str
    mode: int
    owner: tuple[int, int]
    mtime: int
    device: tuple[int, int]
    data: bytes


def read(archive: bytes) -> list[Read]:
    """Every entry before the trailer, checking alignment on the way."""
    source = io.BytesIO(archive)
    found: list[Read] = []
    while True:
        assert source.tell() % 4 == 0
        assert source.read(6) == b"070701"
        number = [int(source.read(8), 16) for _ in range(13)]
        name = source.read(number[11])[:-1].decode()
        source.seek(-source.tell() % 4, io.SEEK_CUR)
        data = source.read(number[6])
        source.seek(-source.tell() % 4, io.SEEK_CUR)
        if name == TRAILER:
            assert source.read() == b""
            return found
        found.append(Read(name, number[1], (number[2], number[3]), number[5], (number[9], number[10]), data))


NAMES = st.text(st.characters(min_codepoint=33, blacklist_characters="/\0", blacklist_categories=["Cs"]), min_size=1)
ENTRIES = st.lists(
    st.builds(
        Entry,
        name=NAMES.filter(lambda name: name not in ("..", TRAILER)),
        mode=st.sampled_from([stat.S_IFREG | 0o644, stat.S_IFDIR | 0o755, stat.S_IFLNK | 0o777, stat.S_IFCHR | 0o600]),
        data=st.binary(max_size=40),
        device=st.tuples(st.integers(0, 4095), st.integers(0, 2**20 - 1)),
    ),
    max_size=8,
    unique_by=lambda entry: entry.name,
)


@given(ENTRIES)
def test_what_is_written_is_read_back_as_roots_and_without_time(entries: list[Entry]) -> None:
    assert read(newc(entries)) == [Read(e.name, e.mode, (0, 0), 0, e.device, e.data) for e in entries]


@given(ENTRIES)
def test_equal_entries_give_equal_bytes(entries: list[Entry]) -> None:
    assert newc(list(entries)) == newc(iter(entries))


def test_busybox_reads_the_archive(tmp_path: Path) -> None:
    archive = newc([directory("bin"), regular("bin/tool", b"#!/bin/sh\n", 0o755), symlink("bin/sh", "tool")])
    listed = subprocess.run([BUSYBOX, "cpio", "-tv"], input=archive, capture_output=True, check=True, cwd=tmp_path)
    assert [line.split()[0] for line in listed.stdout.decode().splitlines()] == [
        "drwxr-xr-x",
        "-rwxr-xr-x",
        "lrwxrwxrwx",
    ]
    assert listed.stdout.decode().split()[-3:] == ["bin/sh", "->", "tool"]


def test_busybox_unpacks_the_archive_as_it_was_meant(tmp_path: Path) -> None:
    archive = newc([directory("etc"), regular("etc/name", b"web-1", 0o600), symlink("etc/link", "name")])
    subprocess.run([BUSYBOX, "cpio", "-i"], input=archive, capture_output=True, check=True, cwd=tmp_path)
    assert (tmp_path / "etc/link").read_bytes() == b"web-1"
    assert stat.S_IMODE((tmp_path / "etc/name").stat().st_mode) == 0o600


def test_a_device_node_is_a_header_that_needs_no_root() -> None:
    (node,) = read(newc([character_device("dev/console", 5, 1)]))
    assert (stat.S_ISCHR(node.mode), node.device, node.data) == (True, (5, 1), b"")


@pytest.mark.parametrize("name", ["", "/etc/passwd", "a/../../b", "..", TRAILER, "a\0b"])
def test_a_name_that_leads_elsewhere_is_not_written(name: str) -> None:
    with pytest.raises(ValueError, match="cannot archive"):
        newc([Entry(name, stat.S_IFREG | 0o644)])


def test_a_name_is_not_written_twice() -> None:
    with pytest.raises(ValueError, match="twice"):
        newc([directory("bin"), regular("bin", b"")])


def test_a_number_too_large_for_its_field_is_not_written() -> None:
    with pytest.raises(ValueError, match="32 bits"):
        newc([character_device("dev/x", 2**32, 0)])


@given(st.binary(max_size=2000), st.integers(0, 9))
def test_gzip_gives_the_data_back_and_says_nothing_of_the_machine(data: bytes, level: int) -> None:
    packed = gzip_bytes(data, level)
    assert gzip.decompress(packed) == data
    assert packed[:10] == b"\x1f\x8b\x08" + bytes(6) + b"\xff"
