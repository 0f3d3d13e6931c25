"""The reader of archives against a model, against busybox's own idea of them, and against bytes that are no archive."""

from __future__ import annotations

import stat
import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from volant.errors import ArtifactRefused
from volant.images.initramfs import read_file
from volant.images.newc import Entry, gzip_bytes, newc

NAMES = ("a", "b", "etc/a", "etc/a.json", "etc")
MODES = (stat.S_IFREG | 0o644, stat.S_IFREG, stat.S_IFDIR | 0o755, stat.S_IFLNK | 0o777)
LIMIT = 24

ENTRIES = st.builds(Entry, name=st.sampled_from(NAMES), mode=st.sampled_from(MODES), data=st.binary(max_size=LIMIT + 6))
ARCHIVES = st.lists(ENTRIES, max_size=5, unique_by=lambda entry: entry.name)
SEGMENTS = st.lists(st.tuples(ARCHIVES, st.booleans(), st.integers(0, 9)), max_size=4)


def read(content: bytes, name: str) -> bytes | None:
    """The file, or None when the reader says that it cannot be had."""
    with tempfile.NamedTemporaryFile() as file:
        file.write(content)
        file.flush()
        try:
            return read_file(Path(file.name), name, max_file=LIMIT)
        except ArtifactRefused:
            return None


def image(segments: list[tuple[list[Entry], bool, int]]) -> bytes:
    """Archives in a row, each plain or packed, with zeros behind. A plain one begins where the last one was padded."""
    content = b""
    for entries, is_packed, zeros in segments:
        archive = newc(entries)
        content += (gzip_bytes(archive) if is_packed else archive) + bytes(zeros)
    return content


def expected(segments: list[tuple[list[Entry], bool, int]], name: str) -> bytes | None:
    """What the last entry of that name holds, if it is a regular file of at most LIMIT bytes."""
    named = [entry for entries, _, _ in segments for entry in entries if entry.name == name]
    if not named or not stat.S_ISREG(named[-1].mode) or len(named[-1].data) > LIMIT:
        return None
    return named[-1].data


@given(SEGMENTS, st.sampled_from(NAMES))
def test_the_last_regular_file_of_a_name_is_found_and_nothing_else(
    segments: list[tuple[list[Entry], bool, int]], name: str
) -> None:
    assert read(image(segments), f"/{name}") == expected(segments, name)


@given(SEGMENTS, st.sampled_from(NAMES), st.data())
def test_what_is_cut_off_or_spoilt_gives_a_file_or_a_refusal(
    segments: list[tuple[list[Entry], bool, int]], name: str, draw: st.DataObject
) -> None:
    content = bytearray(image(segments))
    for _ in range(draw.draw(st.integers(0, 3))):
        if content:
            content[draw.draw(st.integers(0, len(content) - 1))] = draw.draw(st.integers(0, 255))
    cut = bytes(content[: draw.draw(st.integers(0, len(content)))])
    found = read(cut, f"/{name}")
    assert found is None or len(found) <= LIMIT


FRAGMENTS = st.lists(
    st.sampled_from(
        [
            b"070701",
            b"070702",
            b"\x1f\x8b\x08",
            b"00000000",
            b"FFFFFFFF",
            b"000081A4",
            b"TRAILER!!!\0",
            b"\0",
            b"etc/a\0",
        ]
    )
    | st.binary(max_size=12),
    max_size=40,
).map(b"".join)


@given(FRAGMENTS | FRAGMENTS.map(gzip_bytes), st.sampled_from(NAMES))
@settings(max_examples=300)
def test_no_bytes_do_harm(content: bytes, name: str) -> None:
    found = read(content, f"/{name}")
    assert found is None or len(found) <= LIMIT
