"""What a guest said, made harmless for a terminal.

A guest decides what is on its console, and a terminal obeys what it is shown: control sequences can change titles,
answer in the operator's name, or hide what was printed before. So they are left out, but for colours where colours are
wanted, and every other control character is shown as what it is (`\\x07`).
"""

from __future__ import annotations

import re

MAX_SEQUENCE = 256
"""Characters after which what began like a control sequence is none."""

_SEQUENCE = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]"  # CSI
    r"|\x1b[\]PX^_][^\x07\x1b\x9c]*(?:\x07|\x1b\\|\x9c)"  # OSC, DCS, SOS, PM, APC: a string, and its end
    r"|\x1b[ -/]*[0-OQ-WYZ\\`-~]"  # two characters
)
_BEGUN = re.compile(r"\x1b(?:\[[0-?]*[ -/]*|[\]PX^_][^\x07\x1b\x9c]*\x1b?|[ -/]*)\Z")
_COLOUR = re.compile(r"\x1b\[[0-9;:]{0,32}m")
_UNUSUAL = re.compile(r"[^\n\t -~]")
_RESET = "\x1b[0m"


class Harmless:
    """Text that comes in pieces: a sequence may be cut anywhere. `coloured`: colours are kept."""

    def __init__(self, *, coloured: bool) -> None:
        self._coloured = coloured
        self._held = ""
        self._is_dyed = False

    def of(self, text: str) -> str:
        """What may be shown of the next piece, and of what was held back before it."""
        text = self._held + text
        # The end of a line, whole or cut: a carriage return alone would let the next words cover the last.
        begun = _BEGUN.search(text, max(0, len(text) - MAX_SEQUENCE))
        cut = begun.start() if begun else len(text) - text.endswith("\r")
        self._held, text = text[cut:], text[:cut]
        return self._shown(text.replace("\r\n", "\n").replace("\r", "\n"))

    def rest(self) -> str:
        """What was held back, at the end, and the terminal's own colours."""
        left, self._held = self._held, ""
        shown = self._shown("\n" if left == "\r" else left)
        return shown + (_RESET if self._is_dyed else "")

    def _shown(self, text: str) -> str:
        shown, place = [], 0
        for found in _SEQUENCE.finditer(text):
            shown.append(_visible(text[place : found.start()]))
            if self._coloured and _COLOUR.fullmatch(found[0]):
                shown.append(found[0])
                self._is_dyed = True
            place = found.end()
        return "".join([*shown, _visible(text[place:])])


def _visible(text: str) -> str:
    return _UNUSUAL.sub(lambda found: _escaped(found[0]), text)


def _escaped(character: str) -> str:
    if character.isprintable():
        return character
    # Blanks of other scripts are no control characters, and say nothing as numbers.
    return " " if character.isspace() and character > "\x7f" else character.encode("unicode_escape").decode()
