"""Whatever the bytes of an image, there is an answer: its size, or a refusal."""

from __future__ import annotations

import tempfile
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st
from tests.builders.disk_images import a_qcow2

from volant.errors import ArtifactRefused
from volant.images.rootdisk import MAX_VIRTUAL_BYTES, check_root_disk

FORMATS = st.sampled_from(["raw", "qcow2"])
WHOLE = a_qcow2()
PATCHES = st.lists(st.tuples(st.integers(0, 160), st.binary(min_size=1, max_size=8)), max_size=6)


def size_of(data: bytes, disk_format: str) -> int | None:
    """None when it is refused; anything else that is raised fails the test."""
    with tempfile.NamedTemporaryFile() as file:
        file.write(data)
        file.flush()
        try:
            return check_root_disk(Path(file.name), disk_format)
        except ArtifactRefused:
            return None


@given(st.binary(max_size=2048), FORMATS)
def test_any_bytes_have_an_answer(data: bytes, disk_format: str) -> None:
    """C12"""
    for text in (data, b"QFI\xfb" + data, b"QFI\xfb\0\0\0\3" + data):
        size = size_of(text, disk_format)
        assert size is None or (0 < size <= MAX_VIRTUAL_BYTES and size % 512 == 0)


@given(PATCHES, st.integers(0, len(WHOLE)))
def test_a_damaged_header_has_an_answer(patches: list[tuple[int, bytes]], length: int) -> None:
    """C2: and an image that is taken has no name of another file where a name can be."""
    data = bytearray(WHOLE)
    for at, piece in patches:
        data[at : at + len(piece)] = piece
    if size_of(bytes(data), "qcow2") is not None:
        assert data[8:20] == bytes(12), "no backing file"
        assert data[32:36] == bytes(4), "not encrypted"
        assert data[4:8] == b"\0\0\0\2" or not data[79] & 4, "no data file"
    size_of(bytes(data[:length]), "qcow2")
