"""What a guest said, as a terminal is shown it: B10 and E8 of the checklist."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from volant.cli.consoletext import Harmless

HOSTILE = {
    "a title": "\x1b]0;owned\x07",
    "a title with another end": "\x1b]0;owned\x1b\\",
    "a link": "\x1b]8;;http://evil.example\x1b\\click\x1b]8;;\x1b\\",
    "a question that the terminal answers": "\x1b[6n\x1b[c\x1bZ",
    "a clipboard": "\x1b]52;c;cm0gLXJm\x07",
    "clearing the screen": "\x1b[2J\x1b[H",
    "another screen": "\x1b[?1049h",
    "a device control string": "\x1bP$q q\x1b\\",
    "a reset": "\x1bc",
    "another character set": "\x1b(0",
}


def shown(*pieces: str, coloured: bool = False) -> str:
    harmless = Harmless(coloured=coloured)
    return "".join([*(harmless.of(piece) for piece in pieces), harmless.rest()])


@pytest.mark.parametrize("case", HOSTILE)
def test_no_control_sequence_reaches_the_terminal(case: str) -> None:
    """B10"""
    text = shown(f"before{HOSTILE[case]}after\n", coloured=True)
    assert "\x1b" not in text
    assert text.replace("click", "") == "beforeafter\n"


def test_colours_are_kept_where_they_are_wanted_and_end_with_the_text() -> None:
    assert shown("\x1b[1;32mok\n") == "ok\n"
    assert shown("\x1b[1;32mok\n", coloured=True) == "\x1b[1;32mok\n\x1b[0m"


def test_other_control_characters_are_shown_as_what_they_are() -> None:
    assert shown("a\x07b\x00c\x08d\x9b6n\te\n") == "a\\x07b\\x00c\\x08d\\x9b6n\te\n"


def test_text_that_reads_another_way_round_is_shown_as_what_it_is() -> None:
    assert shown("\N{RIGHT-TO-LEFT OVERRIDE}txt.exe") == "\\u202etxt.exe"


@pytest.mark.parametrize(("text", "lines"), [("a\r\nb\r\n", "a\nb\n"), ("10%\r20%\r\n", "10%\n20%\n"), ("a\r", "a\n")])
def test_a_carriage_return_covers_nothing(text: str, lines: str) -> None:
    assert shown(text) == lines
    assert shown(*text) == lines


@given(st.text(alphabet="\x1b[]0;m\x07\\(Pc\r\na\x9c", max_size=40), st.integers(0, 40), st.booleans())
def test_a_cut_anywhere_changes_nothing(text: str, cut: int, coloured: bool) -> None:
    assert shown(text[:cut], text[cut:], coloured=coloured) == shown(text, coloured=coloured)


@given(st.lists(st.text(), max_size=5))
def test_whatever_is_said_nothing_is_left_that_a_terminal_obeys(pieces: list[str]) -> None:
    """B10"""
    assert all(c.isprintable() or c in "\n\t" for c in shown(*pieces))


def test_a_sequence_that_never_ends_is_not_kept_for_ever() -> None:
    harmless = Harmless(coloured=False)
    text = "".join(harmless.of("\x1b]0;" if n == 0 else "x" * 100) for n in range(10))
    assert text.startswith("\\x1b]0;xxx")
