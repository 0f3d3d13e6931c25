"""What is read of ELF files."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.builders.elves import PT_INTERP, PT_LOAD, PT_NOTE, a_module, a_note, an_elf

from volant.images.elf import is_static, module_needs, notes


def test_a_module_says_what_it_needs() -> None:
    assert module_needs(a_module("virtio_net", "virtio", "virtio_ring", "net_failover")) == [
        "virtio",
        "virtio_ring",
        "net_failover",
    ]


def test_a_module_may_need_nothing() -> None:
    assert module_needs(a_module("virtio_ring")) == []
    assert module_needs(an_elf(sections={".text": b""})) == []


def test_a_program_with_an_interpreter_is_not_static() -> None:
    assert is_static(an_elf(segments=[(PT_LOAD, b"code")]))
    assert not is_static(an_elf(segments=[(PT_LOAD, b"code"), (PT_INTERP, b"/lib/ld.so\0")]))


def test_real_programs_are_told_apart() -> None:
    assert is_static(Path("/bin/busybox").read_bytes())
    assert not is_static(Path(sys.executable).resolve().read_bytes())


def test_every_note_of_every_note_segment_is_found() -> None:
    first = a_note(b"Linux", 257, b"abc") + a_note(b"Xen", 18)
    elf = an_elf(segments=[(PT_NOTE, first), (PT_LOAD, b"x"), (PT_NOTE, a_note(b"GNU", 3, b"12345"))])
    assert notes(elf) == {(b"Linux", 257), (b"Xen", 18), (b"GNU", 3)}


@pytest.mark.parametrize("data", [b"", b"#!/bin/sh\n", b"\x7fELF\x01\x01" + bytes(100), b"\x7fELF\x02\x01"])
def test_what_is_no_64_bit_elf_file_is_a_value_error(data: bytes) -> None:
    for question in (module_needs, is_static, notes):
        with pytest.raises(ValueError, match="ELF"):
            question(data)


@given(st.data())
def test_a_damaged_file_is_a_value_error_or_an_answer(data: st.DataObject) -> None:
    elf = bytearray(an_elf(segments=[(PT_NOTE, a_note(b"Xen", 18))], sections={".modinfo": b"depends=a\0"}))
    for _ in range(3):
        elf[data.draw(st.integers(6, len(elf) - 1))] = data.draw(st.integers(0, 255))
    cut = bytes(elf[: data.draw(st.integers(0, len(elf)))])
    for question in (module_needs, is_static, notes):
        with contextlib.suppress(ValueError):
            question(cut)
