"""A console's log read while it is written, moved aside, emptied and removed; QEMU is played by a file."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from volant.clock import Uid
from volant.drivers.qemu import console, transcript
from volant.drivers.qemu.transcript import LOST, Reading, drop, keep, kept, opened

UID = Uid("web")
KEEP, LIMIT = 40, 200


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(console, "KEEP_BYTES", KEEP)
    monkeypatch.setattr(console, "FILE_LIMIT_BYTES", LIMIT)
    monkeypatch.setattr(transcript, "PIECE", 16)
    monkeypatch.setattr(transcript, "KEPT_BYTES", 60)
    yield


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    (tmp_path / UID).mkdir()
    return tmp_path / UID


def write(directory: Path, text: bytes) -> None:
    with (directory / "console.log").open("ab") as log:
        log.write(text)


def reading(directory: Path, *, tail: int | None = None, follows: bool = False) -> Reading:
    said = opened(directory)
    assert said is not None
    return Reading(said, directory / "console.log", tail=tail, follows=follows)


def whole(found: Reading) -> bytes:
    """Everything that there is by now."""
    pieces = []
    while piece := found.read():
        pieces.append(piece)
    return b"".join(pieces)


def numbered(first: int, last: int) -> bytes:
    """Lines of ten bytes."""
    return b"".join(b"%08d\r\n" % number for number in range(first, last))


def test_what_was_moved_aside_is_read_first(directory: Path) -> None:
    write(directory, numbered(0, 10))
    console.tend(directory)
    write(directory, numbered(10, 12))
    assert (directory / "console.log").stat().st_size == 20
    found = reading(directory)
    assert whole(found) == numbered(0, 12)
    found.close()
    found.close()
    assert found.read() == b""


@pytest.mark.parametrize("lines", range(15))
def test_the_last_lines_are_found_over_the_move(directory: Path, lines: int) -> None:
    write(directory, numbered(0, 10))
    console.tend(directory)
    write(directory, numbered(10, 12))
    found = reading(directory, tail=lines)
    assert whole(found) == numbered(max(0, 12 - lines), 12)
    found.close()


@pytest.mark.parametrize(("text", "last"), [(b"a\nb\nc", b"c"), (b"a\nb\n\n", b"\n"), (b"", b""), (b"abc", b"abc")])
def test_what_follows_the_last_end_of_a_line_is_a_line(directory: Path, text: bytes, last: bytes) -> None:
    write(directory, text)
    found = reading(directory, tail=1)
    assert whole(found) == last
    found.close()


def test_who_does_not_follow_is_not_kept_reading_by_a_guest_that_goes_on(directory: Path) -> None:
    write(directory, numbered(0, 3))
    found = reading(directory)
    assert found.read() == numbered(0, 3)[:16]
    write(directory, numbered(3, 6))
    assert whole(found) == numbered(0, 3)[16:]
    assert not found.may_have_more
    found.close()


def test_who_follows_notices_what_is_new_without_reading(directory: Path) -> None:
    write(directory, b"one\n")
    found = reading(directory, follows=True)
    assert found.may_have_more
    assert whole(found) == b"one\n"
    assert not found.may_have_more
    write(directory, b"two\n")
    assert found.may_have_more
    assert whole(found) == b"two\n"
    found.close()
    assert not found.may_have_more


def test_a_log_that_was_emptied_and_has_grown_again_is_not_taken_for_the_old_one(directory: Path) -> None:
    write(directory, numbered(0, 10))
    found = reading(directory, follows=True)
    assert whole(found) == numbered(0, 10)
    console.tend(directory)
    write(directory, numbered(10, 20))
    assert whole(found) == numbered(10, 20)
    found.close()


def test_what_was_moved_out_of_reach_is_said_to_be_missing_once(directory: Path) -> None:
    """A15"""
    write(directory, numbered(0, 10))
    found = reading(directory, follows=True)
    assert found.read() == numbered(0, 10)[:16]
    for first in (10, 20, 30):
        console.tend(directory)
        write(directory, numbered(first, first + 10))
    assert whole(found) == LOST + numbered(20, 40)
    found.close()


def test_a_log_that_somebody_else_emptied_is_read_from_its_new_beginning(directory: Path) -> None:
    write(directory, numbered(0, 3))
    found = reading(directory, follows=True)
    whole(found)
    (directory / "console.log").write_bytes(b"new\n")
    assert whole(found) == LOST + b"new\n"
    found.close()


def test_a_log_far_past_its_limit_begins_where_its_newest_text_does(directory: Path) -> None:
    write(directory, numbered(0, 50))
    console.tend(directory)
    write(directory, numbered(50, 52))
    found = reading(directory)
    assert whole(found) == numbered(30, 52)
    found.close()


def test_what_a_removed_guest_said_last_is_still_read_and_then_what_the_next_one_says(directory: Path) -> None:
    write(directory, b"one\n")
    found = reading(directory, follows=True)
    assert whole(found) == b"one\n"
    write(directory, b"last words\n")
    shutil.rmtree(directory)
    assert whole(found) == b"last words\n"
    assert not found.may_have_more
    directory.mkdir()
    write(directory, b"another\n")
    assert found.may_have_more
    assert whole(found) == b"another\n"
    found.close()


def test_the_end_of_what_was_said_is_kept_and_dropped(tmp_path: Path, directory: Path) -> None:
    write(directory, numbered(0, 10))
    console.tend(directory)
    write(directory, numbered(10, 12))
    keep(tmp_path, UID)
    shutil.rmtree(directory)
    said = kept(tmp_path, UID)
    assert said is not None
    found = Reading(said, directory / "console.log", tail=None, follows=True)
    assert whole(found) == numbered(6, 12)
    directory.mkdir()
    write(directory, b"next\n")
    assert whole(found) == b"next\n"
    found.close()
    drop(tmp_path, UID)
    drop(tmp_path, UID)
    assert kept(tmp_path, UID) is None
    assert sorted(path.name for path in tmp_path.iterdir()) == [UID]


def test_a_guest_that_said_nothing_leaves_nothing(tmp_path: Path, directory: Path) -> None:
    keep(tmp_path, UID)
    write(directory, b"")
    keep(tmp_path, UID)
    assert [path.name for path in tmp_path.iterdir()] == [UID]


def test_a_link_in_the_place_of_a_log_is_not_followed(directory: Path, tmp_path: Path) -> None:
    """A16"""
    (tmp_path / "secret").write_text("secret")
    (directory / "console.log").symlink_to(tmp_path / "secret")
    with pytest.raises(OSError, match="symbolic links"):
        opened(directory)


steps = st.lists(
    st.one_of(
        st.tuples(st.just("write"), st.integers(1, 60)), st.tuples(st.sampled_from(["tend", "read", "read"]), st.none())
    ),
    max_size=60,
)


@given(steps)
def test_nothing_is_read_twice_or_in_another_order_and_what_is_missing_is_said(steps: list[tuple[str, int]]) -> None:
    with tempfile.TemporaryDirectory() as place:
        directory = Path(place) / UID
        directory.mkdir()
        write(directory, b"")
        found, written, heard = reading(directory, follows=True), 0, b""
        for step, count in steps:
            if step == "write":
                write(directory, b"".join(b"%03d," % number for number in range(written, written + count)))
                written += count
            elif step == "tend":
                console.tend(directory)
            else:
                heard += found.read()
        heard += whole(found)
        found.close()
    everything = b"".join(b"%03d," % number for number in range(written))
    *parts, last = heard.split(LOST)
    assert parts or heard == everything
    begin = 0
    for part in parts:
        at = everything.find(part, begin)
        assert at >= begin, (part, heard)
        begin = at + len(part)
    assert everything.endswith(last)
    assert begin + len(last) <= len(everything)
