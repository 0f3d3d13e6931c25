"""Archives of any bytes are entries or a refusal, nothing else; those that are well made read as they were meant."""

from __future__ import annotations

import io
import tarfile

from hypothesis import example, given
from hypothesis import strategies as st
from tests.builders.oci import a_file, a_link, layer

from volant.errors import ArtifactRefused
from volant.images.oci.tar import BLOCK, Archive, Entry

FIELDS = ((0, 100), (100, 8), (108, 8), (116, 8), (124, 12), (136, 12), (156, 1), (157, 100), (257, 8), (345, 155))
WORDS = st.one_of(
    st.binary(max_size=155),
    st.sampled_from(
        [b"x", b"L", b"K", b"g", b"0", b"5", b"S", b"7777777", b"\x80" + b"\xff" * 11, b"-1", b"ustar\x0000"]
    ),
)


def whole(header: bytes) -> bytes:
    """The header with its checksum."""
    said = sum(header[:148]) + sum(header[156:]) + 8 * 32
    return header[:148] + b"%06o\0 " % said + header[156:]


def read(data: bytes) -> list[Entry] | None:
    """Every entry with its content passed over; None for a refusal."""
    try:
        return list(Archive(io.BytesIO(data)).entries())
    except ArtifactRefused:
        return None


@given(st.lists(st.tuples(st.sampled_from(FIELDS), WORDS), max_size=6), st.binary(max_size=2 * BLOCK))
@example([((124, 12), b"7777777")], b"")
def test_a_header_of_any_content_is_an_entry_or_a_refusal(
    changes: list[tuple[tuple[int, int], bytes]], rest: bytes
) -> None:
    """C8: with a right checksum, so that every field is read."""
    header = bytearray(layer(a_file("name", b""))[:BLOCK])
    for (start, length), word in changes:
        header[start : start + length] = word[:length].ljust(length, b"\0")
    read(whole(bytes(header)) + rest)


@given(st.binary(max_size=3000))
def test_an_extended_header_of_any_content_is_read_or_refused(records: bytes) -> None:
    """C8: lengths that are none, that lead backwards or past the end."""
    info = tarfile.TarInfo("pax")
    info.type, info.size = b"x", len(records)
    first = info.tobuf(tarfile.USTAR_FORMAT)
    read(first + records + bytes(-len(records) % BLOCK) + layer(a_file("name", b"")))


NAMES = st.text(
    st.characters(min_codepoint=33, max_codepoint=0x2FFF, exclude_characters="/\x7f", exclude_categories=["Cs"]),
    min_size=1,
    max_size=120,
)


@given(
    st.lists(st.tuples(NAMES, st.binary(max_size=1500), st.integers(0, 2**31), st.integers(0, 0o7777)), max_size=4),
    st.sampled_from([tarfile.GNU_FORMAT, tarfile.PAX_FORMAT]),
)
def test_what_others_have_written_reads_as_they_meant_it(files: list[tuple[str, bytes, int, int]], form: int) -> None:
    """Names, owners, modes and sizes of both forms that are in use; a link after each file."""
    entries = [a_file(name, content, uid=owner, mode=mode) for name, content, owner, mode in files]
    both = [item for entry in entries for item in (entry, a_link(entry[0].name + "~", entry[0].name))]
    found = read(layer(*both, form=form))
    assert found is not None
    expected = [(name, owner, mode, len(content)) for name, content, owner, mode in files]
    assert [(item.name, item.uid, item.mode, item.size) for item in found[::2]] == expected
    assert [item.target for item in found[1::2]] == [name for name, *_ in files]
